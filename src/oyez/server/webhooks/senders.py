"""One attempt to hand over a request: by HTTP, or to a function of this process."""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

import httpx2

from oyez.protocol.webhooks import WebhookEvent, read_event

__all__ = ["CONNECTIONS", "DeliveryFailed", "HttpSender", "PythonSender", "Sender", "load_hook"]

Hook = Callable[[WebhookEvent], Awaitable[None]]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

CONNECTIONS: Final = 10
"""At most so many to one endpoint at once, which is also how many lanes a courier has."""

_MOST_ADDRESSES: Final = 4  # of one host, each of which gets a share of the time to connect
_READ_AT_MOST = 65_536  # bytes of an answer, whose content nobody needs


class DeliveryFailed(Exception):
    """The receiver has not taken it; the message says why."""


class Sender(Protocol):
    """Hands one request to one kind of receiver."""

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        """Hand it over.

        Raises:
            DeliveryFailed: it has not been taken, as far as we know.
        """

    async def close(self) -> None:
        """Give back what is held."""


class HttpSender:
    """POSTs to one endpoint, over connections that are nobody else's.

    Nothing is kept from one request to the next but the connections: no cookies, no redirects, no
    proxies or passwords of the environment. Connections are kept by address, so each endpoint needs
    a sender of its own: a second name at that address would go over those of the first.

    Args:
        timeout: seconds for a whole request.
        may_ask: whether an address (a string as in URLs) may be connected to.
        tls: trusts whom we trust; made once for all endpoints, as it is expensive.
        resolve: finds the addresses of a host and port, the best first.
    """

    def __init__(
        self,
        *,
        timeout: float,
        may_ask: Callable[[str], bool],
        tls: ssl.SSLContext,
        resolve: Resolve | None = None,
    ) -> None:
        self._timeout = timeout
        self._may_ask = may_ask
        self._resolve = resolve or _resolve
        limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        # Not a client, which would keep cookies: what a receiver sets is no business of ours.
        self._transport = httpx2.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False)

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        """See `Sender.send`; any 2xx is success."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._post(httpx2.URL(target), headers, body)
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """See `Sender.close`."""
        await self._transport.aclose()

    async def _post(self, url: httpx2.URL, headers: Mapping[str, str], body: bytes) -> None:
        sent = {**headers, "Host": url.netloc.decode()}
        if url.userinfo:
            credentials = b64encode(unquote_to_bytes(url.userinfo)).decode()
            sent.setdefault("Authorization", f"Basic {credentials}")
        addresses = await self._addresses(url)
        *others, last = [partial(self._request, url, sent, body, each) for each in addresses]
        share = self._timeout / len(addresses)
        for request in others:
            try:
                return await _read(await request(share))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                pass  # nothing was sent: another address of the host may answer
        return await _read(await last(share))

    async def _request(
        self,
        url: httpx2.URL,
        headers: Mapping[str, str],
        body: bytes,
        address: str,
        patience: float,
    ) -> httpx2.Response:
        """Ask one address of the host: the one that was checked, as the name may change meanwhile.

        Args:
            patience: seconds to connect.
        """
        extensions = {"sni_hostname": url.host, "timeout": {"connect": patience}}
        request = httpx2.Request(
            "POST",
            url.copy_with(host=address),
            headers=headers,
            content=body,
            extensions=extensions,
        )
        return await self._transport.handle_async_request(request)

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        """Return the addresses of the host, each of which we may ask.

        Raises:
            DeliveryFailed: there is none, or one of them may not be asked.
        """
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = list(dict.fromkeys(await self._resolve(url.host, port)))
        for address in addresses:
            if not self._may_ask(address):
                raise DeliveryFailed(f"{url.host} is {address}, which is not a public address")
        if not addresses:
            raise DeliveryFailed(f"{url.host} has no address")
        return addresses[:_MOST_ADDRESSES]


async def _read(answer: httpx2.Response) -> None:
    """Read an answer, of which nobody needs the content.

    Raises:
        DeliveryFailed: it is no 2xx.
    """
    try:
        size = 0
        async for part in answer.aiter_raw():
            size += len(part)
            if size > _READ_AT_MOST:
                break
    finally:
        await answer.aclose()
    if not answer.is_success:
        raise DeliveryFailed(f"answered {answer.status_code}")


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class PythonSender:
    """Calls an async function with each event, one after another."""

    def __init__(self, hook: Hook, *, timeout: float) -> None:
        self._hook = hook
        self._timeout = timeout

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        """See `Sender.send`; whatever the function raises is a failure."""
        try:
            async with asyncio.timeout(self._timeout):
                for event in events:
                    await self._hook(read_event(event))
        except TimeoutError:
            raise DeliveryFailed(f"not done within {self._timeout:g} s") from None
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # it is we who are to end
            raise DeliveryFailed("CancelledError") from error
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # an application's function, which may raise what it likes
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """See `Sender.close`."""


def load_hook(name: str) -> Hook:
    """Return the function called ``package.module:function``.

    Raises:
        ValueError: there is no such function, or it is not async.
    """
    module, _, function = name.partition(":")
    try:
        hook: Hook = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"on_webhook: cannot load {name}: {error}") from error
    if not asyncio.iscoroutinefunction(hook):
        raise ValueError(f"on_webhook: {name} is not an async function")
    return hook
