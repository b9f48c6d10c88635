"""One attempt to hand over a request: by HTTP, or to a function of this process."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol

import httpx2

from oyez.protocol.webhooks import WebhookEvent, read_event

__all__ = ["DeliveryFailed", "HttpSender", "PythonSender", "Sender", "load_hook"]

Hook = Callable[[WebhookEvent], Awaitable[None]]

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
    """POSTs to the endpoint: connections are reused, redirects are not followed.

    Args:
        timeout: seconds for a whole request.
        allow_private: whether hosts in private, link-local or loopback networks may be asked.
    """

    def __init__(self, *, timeout: float, allow_private: bool) -> None:
        self._timeout = timeout
        self._allow_private = allow_private
        self._client = httpx2.AsyncClient(follow_redirects=False, timeout=timeout, trust_env=False)

    async def send(
        self, target: str, headers: Mapping[str, str], body: bytes, events: Sequence[bytes]
    ) -> None:
        """See `Sender.send`; any 2xx is success."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._post(httpx2.URL(target), headers, body)
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._timeout:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """See `Sender.close`."""
        await self._client.aclose()

    async def _post(self, url: httpx2.URL, headers: Mapping[str, str], body: bytes) -> None:
        extensions = {}
        sent = dict(headers)
        if not self._allow_private:
            # Ask the address that was checked, not the name again: it may resolve otherwise.
            address = await _public_address(url)
            sent["Host"] = url.netloc.decode()
            extensions["sni_hostname"] = url.host
            url = url.copy_with(host=address)
        request = self._client.build_request(
            "POST", url, headers=sent, content=body, extensions=extensions
        )
        answer = await self._client.send(request, stream=True)
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
        except Exception as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """See `Sender.close`."""


def load_hook(name: str) -> Hook:
    """The function called ``package.module:function``.

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


async def _public_address(url: httpx2.URL) -> str:
    """An address of the host, all of whose addresses are public.

    Raises:
        DeliveryFailed: one of them is not.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    for address in addresses:
        if not address.is_global or address.is_multicast:
            raise DeliveryFailed(f"{url.host} is {address}, which is not a public address")
    return str(addresses[0])
