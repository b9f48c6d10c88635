"""Requests that find the worker of their session, over real Unix sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from oyez.server.http_reader import Request
from oyez.server.http_response import Response, StreamOutput
from oyez.server.siblings import Siblings

COUNT = 2
SESSIONS = [f"session{number}" for number in range(50)]


class Said:
    """A stream on the side of the session."""

    def __init__(self) -> None:
        self.output: StreamOutput | None = None
        self.resumptions = 0
        self.ended = asyncio.Event()

    def attached(self, output: StreamOutput) -> None:
        self.output = output

    def resumed(self) -> None:
        self.resumptions += 1

    def detached(self) -> None:
        self.ended.set()


class Client:
    """The client's connection at the worker that passes on."""

    def __init__(self) -> None:
        self.writable = True
        self.read = b""
        self.ended = asyncio.Event()

    def write_piece(self, data: bytes) -> None:
        self.read += data

    def end_stream(self) -> None:
        self.ended.set()


class Workers:
    """Two of them, and what the second one was asked."""

    def __init__(self, directory: Path) -> None:
        self.first, self.second = (Siblings(directory, number, COUNT) for number in range(COUNT))
        self.asked: list[Request] = []
        self.said = Said()
        self.elsewhere = next(each for each in SESSIONS if self.second.is_here(each))

    def handle(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path.endswith(b"xhr_send"):
            return Response(404, b"no such session")
        return Response(200, stream=self.said)

    def request(self, kind: bytes) -> Request:
        found = Request(
            b"POST", b"/app/k/7/s/" + kind + b"?a=%2F", {b"origin": b"o"}, keep_alive=True
        )
        found.body, found.secure = b"\x00[]", True
        return found


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    workers = Workers(tmp_path)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(workers.second.listening(workers.handle))
        yield workers
        await asyncio.sleep(0)


async def eventually(condition: object) -> None:
    for _ in range(500):
        if callable(condition) and condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def test_all_workers_agree_and_each_has_some(tmp_path: Path) -> None:
    each = [Siblings(tmp_path, number, 4) for number in range(4)]
    homes = [one.home(session) for session in SESSIONS for one in each]
    assert homes[::4] == homes[1::4] == homes[2::4] == homes[3::4]
    assert set(homes) == {0, 1, 2, 3}
    assert [one.is_here(SESSIONS[0]) for one in each].count(True) == 1


async def test_a_request_arrives_whole_and_its_answer_too(workers: Workers) -> None:
    answer = await workers.first.answer_of(workers.request(b"xhr_send"), workers.elsewhere)

    assert answer == (404, b"no such session")
    (asked,) = workers.asked
    assert (asked.method, asked.path, asked.query) == (b"POST", b"/app/k/7/s/xhr_send", b"a=%2F")
    assert (asked.headers, asked.body, asked.secure) == ({b"origin": b"o"}, b"\x00[]", True)


async def test_a_stream_comes_piece_by_piece_until_it_ends(workers: Workers) -> None:
    client = Client()
    workers.first.stream_of(workers.request(b"xhr"), workers.elsewhere).attached(client)
    await eventually(lambda: workers.said.output)
    assert workers.said.output is not None
    workers.said.output.write_piece(b"o\n")
    await eventually(lambda: client.read == b"o\n")
    workers.said.output.write_piece(b"h\n")
    workers.said.output.end_stream()

    await client.ended.wait()
    assert client.read == b"o\nh\n"
    assert not workers.said.ended.is_set()


@pytest.mark.parametrize("full", ["first", "second"])
async def test_what_is_passed_on_takes_no_descriptors_that_are_reserved(
    workers: Workers, full: str
) -> None:
    getattr(workers, full).files = 0
    client = Client()
    workers.first.stream_of(workers.request(b"xhr"), workers.elsewhere).attached(client)
    await client.ended.wait()
    with pytest.raises(ConnectionError):
        await workers.first.answer_of(workers.request(b"xhr_send"), workers.elsewhere)

    assert workers.asked == []


async def test_a_client_that_goes_is_missed(workers: Workers) -> None:
    client = Client()
    stream = workers.first.stream_of(workers.request(b"xhr"), workers.elsewhere)
    stream.attached(client)
    await eventually(lambda: workers.said.output)
    stream.detached()

    await workers.said.ended.wait()
    assert not client.ended.is_set()


async def test_a_client_that_does_not_read_holds_the_session_up(workers: Workers) -> None:
    client = Client()
    client.writable = False
    stream = workers.first.stream_of(workers.request(b"xhr"), workers.elsewhere)
    stream.attached(client)
    await eventually(lambda: workers.said.output)
    output = workers.said.output
    assert output is not None
    sent = 0
    while output.writable:
        output.write_piece(b"x" * 65_536)
        sent += 65_536
        await asyncio.sleep(0)
        assert sent < 10_000_000
    assert workers.said.resumptions == 0

    client.writable = True
    stream.resumed()
    await eventually(lambda: workers.said.resumptions)
    await eventually(lambda: len(client.read) == sent)
    stream.detached()
    await workers.said.ended.wait()


async def test_a_worker_that_is_not_there_ends_the_stream_and_answers_nothing(
    workers: Workers,
) -> None:
    missing = next(each for each in SESSIONS if workers.first.is_here(each))
    client = Client()
    workers.second.stream_of(workers.request(b"xhr"), missing).attached(client)
    await client.ended.wait()

    with pytest.raises(OSError, match="No such file"):
        await workers.second.answer_of(workers.request(b"xhr_send"), missing)
