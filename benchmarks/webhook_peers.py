"""The two ends of the webhook measurement, each a process that takes orders as the C programs do.

`python -m benchmarks.webhook_peers receiver DELAY_S` is an endpoint that answers 200 after a while;
it prints {"port":…}, and its order "EVENTS SECONDS" waits until so many different events arrived.
`… client PORT KEY SECRET` is one client that sends client events to another one; it prints
{"ready":2}, and its order is "EVENTS PER_SECOND".
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.signed_requests import payload

CHANNEL = "private-bench"
QUIET_S = 5.0  # how long the other client waits for what is still on its way

Order = Callable[[int, int], Awaitable[dict[str, Any]]]


class Receiver:
    """Counts the events of the requests that it answers; looks into them when it is asked."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._ids: set[str] = set()
        self._bodies: list[bytes] = []
        self._arrival = asyncio.Event()

    async def serve(self) -> int:
        """The port on which it listens."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        self._server = server
        return port

    async def wait_for(self, events: int, seconds: int) -> dict[str, Any]:
        """Wait until so many events arrived, at most so long, and say what has arrived."""
        await _until(lambda: len(self._ids) >= events, self._arrival, seconds)
        told = [event for body in self._bodies for event in json.loads(body)["events"]]
        return {
            "events": len(told),
            "ids": len(self._ids),
            "payloads": len({event["data"] for event in told}),
            "requests": len(self._bodies),
        }

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.partition(":") for line in head.split("\r\n")[1:]]
        headers = {name.lower(): text.strip() for name, _, text in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        self._ids.update(headers["x-oyez-event-ids"].split(","))
        self._bodies.append(body)
        self._arrival.set()
        if self._delay:
            await asyncio.sleep(self._delay)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()


class Talkers:
    """Two clients in a private channel: one sends events at a steady rate, the other counts."""

    def __init__(self, port: int, key: str, secret: str) -> None:
        self._url = f"ws://127.0.0.1:{port}/app/{key}?protocol=7"
        self._key = key
        self._secret = secret
        self._sent = 0
        self._heard = 0
        self._hearing = asyncio.Event()

    async def join(self) -> None:
        """Have both subscribed."""
        self._sender = await self._subscribed()
        self._listener = await self._subscribed()
        self._listening = [
            asyncio.create_task(self._listen(self._listener)),
            asyncio.create_task(self._ignore(self._sender)),
        ]

    async def send(self, events: int, per_second: int) -> dict[str, Any]:
        """Send events when they are due, at once what is overdue; every one has its own number."""
        began = time.monotonic()
        for number in range(events):
            wait = began + number / per_second - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            event = {"event": "client-bench", "channel": CHANNEL, "data": payload(self._sent)}
            await self._sender.send(json.dumps(event))
            self._sent += 1
        seconds = time.monotonic() - began
        await _until(lambda: self._heard >= self._sent, self._hearing, QUIET_S)
        return {"events": events, "seconds": seconds, "sent": self._sent, "heard": self._heard}

    async def _subscribed(self) -> ClientConnection:
        connection = await connect(self._url, proxy=None, compression=None)
        greeting = json.loads(await connection.recv())
        socket_id = json.loads(greeting["data"])["socket_id"]
        text = f"{socket_id}:{CHANNEL}".encode()
        signature = hmac.new(self._secret.encode(), text, hashlib.sha256).hexdigest()
        data = {"channel": CHANNEL, "auth": f"{self._key}:{signature}"}
        await connection.send(json.dumps({"event": "pusher:subscribe", "data": data}))
        while True:
            event = json.loads(await connection.recv())["event"]
            if event == "pusher_internal:subscription_succeeded":
                return connection
            if event == "pusher:error":
                raise RuntimeError("the subscription was refused")

    async def _listen(self, connection: ClientConnection) -> None:
        async for message in connection:
            self._heard += '"client-bench"' in str(message)
            self._hearing.set()

    async def _ignore(self, connection: ClientConnection) -> None:
        async for message in connection:
            if '"pusher:error"' in str(message):
                print(message, file=sys.stderr)
                sys.exit(1)


async def _until(reached: Callable[[], bool], change: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not reached():
                change.clear()
                await change.wait()


async def _take_orders(order: Order) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        first, second = line.split()
        print(json.dumps(await order(int(first), int(second))), flush=True)


async def _receiver(delay: str) -> None:
    receiver = Receiver(float(delay))
    print(json.dumps({"port": await receiver.serve()}), flush=True)
    await _take_orders(receiver.wait_for)


async def _client(port: str, key: str, secret: str) -> None:
    talkers = Talkers(int(port), key, secret)
    await talkers.join()
    print(json.dumps({"ready": 2}), flush=True)
    await _take_orders(talkers.send)


if __name__ == "__main__":
    _, role, *arguments = sys.argv
    asyncio.run(_receiver(*arguments) if role == "receiver" else _client(*arguments))
