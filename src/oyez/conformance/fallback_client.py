"""One session of the HTTP fallbacks: receives by streaming or polling, sends by POST."""

import asyncio
import json
import secrets

import httpx2

from oyez.conformance.expectations import Failed, Silence, shown
from oyez.conformance.target import Credentials, Target

__all__ = ["FallbackSession"]

_LETTERS = "abcdefghijklmnopqrstuvwxyz012345"
_HEADERS = {"Content-Type": "application/json", "Origin": "https://example.com"}
_MOST = 200  # frames read while waiting for one


class FallbackSession:
    """What pusher-js does where WebSockets do not get through.

    Attributes:
        frames: all that came so far, heartbeats left out.
    """

    def __init__(self, http: httpx2.AsyncClient, target: Target, app: Credentials) -> None:
        name = "".join(secrets.choice(_LETTERS) for _ in range(8))
        self.path = f"{target.prefix}/app/{app.key}/{secrets.randbelow(1000)}/{name}"
        self.frames: list[str] = []
        self._http = http
        self._target = target
        self._response: httpx2.Response | None = None
        self._lines: asyncio.Queue[str | Failed] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None
        self._messages: list[dict[str, object]] = []
        self._polling = False

    async def close(self) -> None:
        """End the open response."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._response is not None:
            await self._response.aclose()
        self._response = self._reading = None

    async def stream(self, query: str) -> httpx2.Response:
        """Open a streaming response; an older one of this session is ended first."""
        await self.close()
        request = self._http.build_request(
            "POST",
            f"{self._target.origin}{self.path}/xhr_streaming?{query}",
            headers=_HEADERS,
            timeout=60,
        )
        try:
            async with asyncio.timeout(self._target.patience * 2):
                self._response = await self._http.send(request, stream=True)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise Failed("a streaming response", f"{type(error).__name__}: {error}") from None
        self._lines = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(self._response))
        return self._response

    async def poll(self, query: str) -> httpx2.Response:
        """One polling request and all of its answer."""
        self._polling = True
        response = await self.post(f"/xhr?{query}")
        for line in response.content.decode("utf-8", "replace").split("\n"):
            self._take(line)
        return response

    async def post(self, rest: str, body: bytes = b"", method: str = "POST") -> httpx2.Response:
        """Any request below the session."""
        try:
            return await self._http.request(
                method,
                f"{self._target.origin}{self.path}{rest}",
                content=body,
                headers=_HEADERS,
            )
        except httpx2.HTTPError as error:
            raise Failed("an HTTP answer", f"{type(error).__name__}: {error}") from None

    async def send(self, *messages: object) -> None:
        """Send messages, each as a JSON text of its own."""
        body = json.dumps([json.dumps(message) for message in messages]).encode()
        response = await self.post("/xhr_send?t=1&n=1", body)
        if response.status_code != 204:
            raise Failed("status 204 for xhr_send", f"{response.status_code} {response.text[:100]}")

    async def next_frame(self, query: str = "") -> str:
        """The next frame that is no heartbeat, streamed or, if the session polls, polled for."""
        before = len(self.frames)
        for _ in range(_MOST):
            if len(self.frames) > before:
                return self.frames[before]
            if self._polling:
                await self.poll(query)
            else:
                self._take(await self._line())
        raise Failed("a frame", f"{_MOST} heartbeats")

    async def event(self, name: str, query: str = "") -> dict[str, object]:
        """The next message with this event; others are passed."""
        for _ in range(_MOST):
            while self._messages:
                message = self._messages.pop(0)
                if message.get("event") == name:
                    return message
            await self.next_frame(query)
        raise Failed(name, f"{_MOST} other frames")

    async def _read(self, response: httpx2.Response) -> None:
        """Put each line of a stream into the queue, and at last why there are no more.

        In a task of its own, because waiting for a line ends sometimes before the line comes.
        """
        rest = b""
        try:
            async for data in response.aiter_bytes():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._lines.put_nowait(line.decode("utf-8", "replace"))
            self._lines.put_nowait(Failed("a frame", "the end of the response"))
        except httpx2.ReadTimeout:
            self._lines.put_nowait(Failed("a frame", "nothing for a long time"))
        except httpx2.HTTPError as error:
            self._lines.put_nowait(Failed("a frame", f"{type(error).__name__}: {error}"))

    async def _line(self) -> str:
        try:
            async with asyncio.timeout(self._target.patience):
                found = await self._lines.get()
        except TimeoutError:
            raise Silence("a frame", f"nothing within {self._target.patience:g} s") from None
        if isinstance(found, Failed):
            raise found
        return found

    def _take(self, line: str) -> None:
        """Understand one frame."""
        if not line or line[0] == "h":
            return
        self.frames.append(line)
        if line[0] not in "oamc":
            raise Failed("a frame o, a, m, h or c", shown(line))
        if line[0] in "am":
            try:
                texts = json.loads(line[1:])
                found = [json.loads(text) for text in (texts if line[0] == "a" else [texts])]
            except (ValueError, TypeError):
                raise Failed("JSON texts in a frame", shown(line)) from None
            self._messages += [message for message in found if isinstance(message, dict)]
