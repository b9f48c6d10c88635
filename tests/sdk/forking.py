"""A program that forks while its threads make their first calls: `python -m tests.sdk.forking`.

A process of its own, because what hangs may be an import, and a test run has imported everything.
"""

import asyncio
import faulthandler
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import oyez

CHILDREN = 6
KINDS = ("Client", "encrypted", "aiohttp", "httpx2", "Pusher", "AsyncPusher", "requests", "tornado")
_THREADS, _CLIENTS = 3, 3
_HANGS = 25  # seconds; a call takes milliseconds


def maker(kind: str) -> Callable[..., Any]:
    """What makes a client; a thread that calls it may be the first to need a library."""
    match kind:
        case "Client" | "encrypted":
            return lambda **options: oyez.Client(**options)
        case "httpx2":
            sys.modules["oyez.sdk.aiohttp_transport"] = None  # type: ignore[assignment]
            return lambda **options: oyez.AsyncClient(**options)
        case "aiohttp":
            return lambda **options: oyez.AsyncClient(**options)
    from oyez import pusher

    if kind == "tornado":
        from oyez.pusher.tornado import TornadoBackend

        return partial(pusher.AsyncPusher, backend=TornadoBackend)
    if kind == "requests":
        return partial(pusher.Pusher, verify=False, proxies={})  # options of requests
    return pusher.Pusher if kind == "Pusher" else pusher.AsyncPusher


def call(client: Any, channel: str) -> None:
    """Publish, and wait for the answer."""

    async def publish() -> Any:
        return await client.trigger(channel, "e", "x")

    waits = inspect.iscoroutinefunction(client.trigger)
    answer = asyncio.run(publish()) if waits else client.trigger(channel, "e", "x")
    assert answer == {}


def in_child(clients: list[Any], make: Callable[[], Any], channel: str) -> None:
    """Call in a process that has just been forked, and end it; one that hangs says where."""
    faulthandler.dump_traceback_later(_HANGS, exit=True)  # making a client may be what hangs
    code = 1
    try:
        for client in [*clients[-3:], make()]:
            call(client, channel)
        code = 0
    finally:
        os._exit(code)


def main(kind: str, options: dict[str, Any]) -> None:
    """Fork again and again while other threads call, and say how the children ended."""
    make = partial(maker(kind), **options)
    channel = "private-encrypted-forked" if kind == "encrypted" else "forked"
    clients: list[Any] = []
    begun = threading.Event()

    def hammer() -> None:
        begun.set()
        for _ in range(_CLIENTS):
            clients.append(make())
            call(clients[-1], channel)

    threads = [threading.Thread(target=hammer) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    begun.wait()
    children: list[int] = []
    for _ in range(CHILDREN):
        child = os.fork()
        if not child:
            in_child(clients, make, channel)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(ended))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
