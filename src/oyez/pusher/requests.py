"""The backend of PyPI ``pusher`` for ``requests``: ``backend=RequestsBackend``."""

import copy
import importlib
import os
from typing import TYPE_CHECKING, Any

from oyez.pusher.errors import PusherConnectionError, PusherTimeout
from oyez.pusher.http import Request, receive
from oyez.sdk.owners import OfProcess
from oyez.sdk.transport import Response

try:
    import requests
except ImportError as error:
    raise ImportError("this backend and its options need requests: pip install requests") from error

if TYPE_CHECKING:
    from oyez.pusher.client import Client

importlib.import_module("netrc")  # which requests does at the first request; see `no_fork`

__all__ = ["RequestsBackend"]


class RequestsBackend:
    """Sends through one ``requests.Session``; a forked process has a copy of it.

    Args:
        client: whose requests they are.
        options: for ``requests.request``, such as ``proxies``, ``verify`` and ``cert``.
    """

    def __init__(self, client: "Client", **options: Any) -> None:
        self.client = client
        self.options: dict[str, Any] = {"allow_redirects": False, **options}
        self.session = requests.Session()

    @property
    def session(self) -> "requests.Session":
        """The session of this process, which may be changed or replaced."""
        return self._session.get()

    @session.setter
    def session(self, session: "requests.Session") -> None:
        home = os.getpid()
        self._session = OfProcess(
            lambda: session if os.getpid() == home else copy.deepcopy(session)
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"client": self.client, "options": self.options, "session": self.session}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def send_request(self, request: Request) -> dict[str, Any]:
        """See `oyez.pusher.http.Backend`."""
        try:
            answer = self.session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                timeout=self.client.timeout,
                **self.options,
            )
        except requests.ConnectTimeout as error:
            raise PusherTimeout(_message(request, error)) from error
        except requests.Timeout as error:
            raise PusherTimeout(_message(request, error), may_have_arrived=True) from error
        except requests.RequestException as error:
            raise PusherConnectionError(_message(request, error), may_have_arrived=True) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return receive(request, Response(answer.status_code, answer.content, headers))

    def close(self) -> None:
        """Let go of connections."""
        self.session.close()


def _message(request: Request, error: Exception) -> str:
    # What requests says of it has the signed query in it.
    return f"no answer from {request.base_url}{request.path}: {type(error).__name__}"
