"""How a request reaches an endpoint: as on a public host, with names, addresses and certificates.

The resolver is the test's own, and says of addresses of this machine what a public one would be.
"""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import httpx2
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from oyez.server.webhooks.public import is_public
from oyez.server.webhooks.senders import CONNECTIONS, DeliveryFailed, HttpSender, PythonSender
from tests.webhooks.receiver import closed_port

Answer = Callable[[list[str]], Awaitable[bytes]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Endpoint:
    """A server of a few lines: keeps the heads of requests, and answers as it is told."""

    def __init__(self, answer: bytes = OK) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0
        self.answer = answer
        self.arrived = asyncio.Condition()
        self.tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks[task] = writer
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                async with self.arrived:
                    self.heads.append(head)
                    self.arrived.notify_all()
                length = next(x for x in head.lower().split("\r\n") if x.startswith("content-le"))
                await reader.readexactly(int(length.partition(":")[2]))
                if not self.answer:
                    await reader.read()  # hangs until the other side gives up
                    break
                writer.write(self.answer)
        writer.close()


@contextlib.asynccontextmanager
async def listening(
    endpoint: Endpoint, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Endpoint]:
    server = await asyncio.start_server(endpoint.serve, host, port, ssl=tls)
    endpoint.port = server.sockets[0].getsockname()[1]
    async with server:
        yield endpoint
    for writer in endpoint.tasks.values():
        writer.transport.abort()
    await asyncio.gather(*endpoint.tasks, return_exceptions=True)


def sender(
    addresses: Mapping[str, Sequence[str]],
    *,
    tls: ssl.SSLContext | None = None,
    may_ask: Callable[[str], bool] = lambda _: True,
    timeout: float = 10,
) -> HttpSender:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses[host]

    trusted = tls or httpx2.create_ssl_context(trust_env=False)
    return HttpSender(timeout=timeout, may_ask=may_ask, tls=trusted, resolve=resolve)


async def post(sender: HttpSender, url: str) -> None:
    await sender.send(url, {"X-Pusher-Key": "k"}, b"{}", [b"{}"])


@pytest.mark.parametrize(
    "cookie", ["flash=\u00c9t\u00e9", "s=1; Domain=example.com; Path=/", "s=1", "x" * 3000]
)
async def test_what_a_receiver_sets_is_never_sent_back(cookie: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\nContent-Length: 0\r\n\r\n".encode()
    async with listening(Endpoint(answer)) as one:
        sending = sender({"a.example.com": ["127.0.0.1"], "b.example.com": ["127.0.0.1"]})
        for host in ("a", "b", "a"):
            await post(sending, f"http://{host}.example.com:{one.port}/hook")
        await sending.close()

    assert len(one.heads) == 3
    assert not any("cookie" in head.lower() for head in one.heads)


async def test_each_name_is_proven_by_its_own_certificate() -> None:
    authority = trustme.CA()
    trusted = httpx2.create_ssl_context(trust_env=False)
    authority.configure_trust(trusted)
    names = {"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("good.example").configure_cert(tls)
    asked: list[str | None] = []

    def note(_: object, name: str | None, __: object) -> None:
        asked.append(name)

    tls.sni_callback = note
    async with listening(Endpoint(), tls=tls) as one:
        sending = sender(names, tls=trusted)
        await post(sending, f"https://good.example:{one.port}/")
        other = sender(names, tls=trusted)
        with pytest.raises(DeliveryFailed, match="certificate"):
            await post(other, f"https://other.example:{one.port}/")
        for each in (sending, other):
            await each.close()

    assert len(one.heads) == 1
    assert f"Host: good.example:{one.port}" in one.heads[0]
    assert asked == ["good.example", "other.example"]


async def test_a_certificate_of_nobody_we_know_is_refused() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("a.example").configure_cert(tls)
    async with listening(Endpoint(), tls=tls) as one:
        sending = sender({"a.example": ["127.0.0.1"]})
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await post(sending, f"https://a.example:{one.port}/")
        await sending.close()
    assert one.heads == []


async def test_another_address_is_tried_where_the_first_does_not_answer() -> None:
    async with listening(Endpoint(), "127.0.0.3") as one:
        sending = sender({"a.example": ["127.0.0.2", "127.0.0.3"]})
        for _ in range(2):
            await post(sending, f"http://a.example:{one.port}/")
        await sending.close()
    assert len(one.heads) == 2

    sending = sender({"a.example": ["127.0.0.2", "127.0.0.3"]})
    with pytest.raises(DeliveryFailed, match="ConnectError"):
        await post(sending, f"http://a.example:{closed_port()}/")
    await sending.close()


async def test_nothing_is_sent_twice_to_two_addresses() -> None:
    answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    async with (
        listening(Endpoint(answer), "127.0.0.2") as one,
        listening(Endpoint(answer), "127.0.0.3", port=one.port) as two,
    ):
        sending = sender({"a.example": ["127.0.0.2", "127.0.0.3"]})
        with pytest.raises(DeliveryFailed, match="answered 500"):
            await post(sending, f"http://a.example:{one.port}/")
        await sending.close()
    assert (len(one.heads), len(two.heads)) == (1, 0)


async def test_a_host_with_any_private_address_is_not_asked() -> None:
    async with listening(Endpoint()) as one:
        sending = sender(
            {"a.example": ["127.0.0.1", "10.0.0.1"], "none.example": []},
            may_ask=lambda address: address == "127.0.0.1",
        )
        with pytest.raises(
            DeliveryFailed, match=r"a\.example is 10\.0\.0\.1, which is not a public"
        ):
            await post(sending, f"http://a.example:{one.port}/")
        with pytest.raises(DeliveryFailed, match=r"none\.example has no address"):
            await post(sending, f"http://none.example:{one.port}/")
        await sending.close()
    assert one.connections == 0


async def test_user_and_password_of_the_url_are_sent() -> None:
    async with listening(Endpoint()) as one:
        sending = sender({"a.example": ["127.0.0.1"]})
        await post(sending, f"http://ann:p%40ss@a.example:{one.port}/x?y=1")
        await sending.close()
    assert "Authorization: Basic YW5uOnBAc3M=" in one.heads[0]
    assert one.heads[0].startswith("POST /x?y=1 HTTP/1.1")


async def test_an_endpoint_that_hangs_holds_connections_of_its_own_only() -> None:
    names = {"hangs.example": ["127.0.0.1"], "works.example": ["127.0.0.1"]}
    async with listening(Endpoint(b"")) as hangs, listening(Endpoint()) as works:
        slow = [sender(names, timeout=60) for _ in range(12)]
        under_way = [
            asyncio.create_task(post(each, f"http://hangs.example:{hangs.port}/"))
            for each in slow
            for _ in range(CONNECTIONS)
        ]
        async with hangs.arrived:
            await hangs.arrived.wait_for(lambda: len(hangs.heads) == len(under_way))
        healthy = sender(names)
        await post(healthy, f"http://works.example:{works.port}/")  # while all of them hang
        assert not any(task.done() for task in under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for each in (*slow, healthy):
            await each.close()


@pytest.mark.parametrize("url", ["http://a..invalid/", "http://[::1/", "http://a.example:99999/"])
async def test_what_can_be_no_request_is_a_failure_like_others(url: str) -> None:
    sending = HttpSender(
        timeout=5, may_ask=lambda _: True, tls=httpx2.create_ssl_context(trust_env=False)
    )
    with pytest.raises(DeliveryFailed):
        await post(sending, url)
    await sending.close()


class Rude(BaseException):
    """No `Exception`, as an application may have."""


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("no"), asyncio.CancelledError(), SystemExit(3), Rude()),
        BaseExceptionGroup("of a TaskGroup", [asyncio.CancelledError()]),
    ],
)
async def test_whatever_a_function_raises_is_a_failure(error: BaseException) -> None:
    async def hook(event: object) -> None:
        raise error

    sending = PythonSender(hook, timeout=5)
    with pytest.raises(DeliveryFailed, match=type(error).__name__):
        await sending.send("python:x", {}, b"", [b'{"name":"channel_occupied","channel":"a"}'])


async def test_who_is_cancelled_while_a_function_runs_is_cancelled() -> None:
    running = asyncio.Event()

    async def hook(event: object) -> None:
        running.set()
        await asyncio.Event().wait()

    event = b'{"name":"channel_occupied","channel":"a"}'
    task = asyncio.create_task(PythonSender(hook, timeout=60).send("python:x", {}, b"", [event]))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "224.0.0.1", "100.64.0.1",
        "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "fec0::1", "feff::1", "ff02::1",
        "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1", "64:ff9b:1:ffff::808:808",
        "2002:7f00:1::", "2002:a00:1::1", "2001::1", "2001:db8::1", "nonsense", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "2002:{}::1"]))
def test_an_address_in_another_form_is_no_more_public(
    address: ipaddress.IPv4Address, form: str
) -> None:
    plain, high, low = str(address), int(address) >> 16, int(address) & 0xFFFF
    carried = form.format(f"{high:x}:{low:x}" if form.startswith("2002") else plain)
    assert is_public(carried) == is_public(plain)
