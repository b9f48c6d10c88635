"""The publishing libraries as the tests see them: PyPI pusher and npm pusher.

`Sdk` is what both offer, in the words of PyPI pusher, so that one test can run with either.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from pusher import Pusher

from tests.end_to_end.driver import TIMEOUT, Application, Driver


class Sdk(Protocol):
    """An official server library."""

    def trigger(
        self,
        channels: str | Sequence[str],
        event_name: str,
        data: Any,
        socket_id: str | None = None,
    ) -> Any: ...

    def trigger_batch(self, batch: Sequence[dict[str, Any]]) -> Any: ...

    def channels_info(
        self, prefix_filter: str | None = None, attributes: Sequence[str] = ()
    ) -> Any: ...

    def channel_info(self, channel: str, attributes: Sequence[str] = ()) -> Any: ...

    def users_info(self, channel: str) -> Any: ...

    def send_to_user(self, user_id: str, event_name: str, data: Any) -> Any: ...

    def terminate_user_connections(self, user_id: str) -> Any: ...


class NpmPusher:
    """npm pusher, called in the Node process. What it answers was a 200; others raise."""

    def __init__(self, driver: Driver, app: Application) -> None:
        self._driver = driver
        self._app = app.as_json()

    def trigger(
        self,
        channels: str | Sequence[str],
        event_name: str,
        data: Any,
        socket_id: str | None = None,
        *,
        info: str | None = None,
    ) -> Any:
        options = {"socket_id": socket_id, "info": info}
        params = {name: value for name, value in options.items() if value is not None}
        return self._answer(
            "sdk_trigger", channels=channels, event=event_name, data=data, params=params
        )

    def trigger_batch(self, batch: Sequence[dict[str, Any]]) -> Any:
        return self._answer("sdk_trigger_batch", batch=batch)

    def channels_info(
        self, prefix_filter: str | None = None, attributes: Sequence[str] = ()
    ) -> Any:
        params = {} if prefix_filter is None else {"filter_by_prefix": prefix_filter}
        return self._get("/channels", attributes, params)

    def channel_info(self, channel: str, attributes: Sequence[str] = ()) -> Any:
        return self._get(f"/channels/{channel}", attributes, {})

    def users_info(self, channel: str) -> Any:
        return self._get(f"/channels/{channel}/users", (), {})

    def send_to_user(self, user_id: str, event_name: str, data: Any) -> Any:
        return self._answer("sdk_send_to_user", user_id=user_id, event=event_name, data=data)

    def terminate_user_connections(self, user_id: str) -> Any:
        return self._answer("sdk_terminate_user_connections", user_id=user_id)

    def get(self, path: str, params: Mapping[str, str]) -> Any:
        """Ask for something that the library has no method for."""
        return self._answer("sdk_get", path=path, params=params)

    def post(self, path: str, params: Mapping[str, str], body: Any, *, status: int = 200) -> Any:
        """Likewise; the library sends the body as JSON."""
        return self._answer("sdk_post", status=status, path=path, params=params, body=body)

    def _get(self, path: str, attributes: Sequence[str], params: Mapping[str, str]) -> Any:
        info = {"info": ",".join(attributes)} if attributes else {}
        return self.get(path, {**params, **info})

    def _answer(self, operation: str, *, status: int = 200, **arguments: Any) -> Any:
        answer = self._driver.call(operation, app=self._app, **arguments)
        assert answer["status"] == status
        return answer["body"]


@contextmanager
def open_pypi_pusher(app: Application) -> Iterator[Pusher]:
    """PyPI pusher for an app; its connections are closed at the end."""
    sdk = Pusher(
        app_id=app.app_id,
        key=app.key,
        secret=app.secret,
        ssl=False,
        host=app.host,
        port=app.port,
        encryption_master_key_base64=app.master_key,
    )
    try:
        yield sdk
    finally:
        # It offers no way to close them, and a socket left to the garbage collector is a warning.
        sdk._pusher_client.http.session.close()


def ask_until(ask: Callable[[], Any], expected: Any) -> None:
    """Ask the server again and again until it gives the expected answer.

    For a closed connection only: no client is told when the server has noticed.
    """
    deadline = time.monotonic() + TIMEOUT
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, f"still {answer}, not {expected}"
