"""A real HTTP proxy that leads every tunnel to one place, whatever was asked for."""

import contextlib
import selectors
import socket
import socketserver
import threading
from types import TracebackType


class Tunnel(socketserver.ThreadingTCPServer):
    """Answers ``CONNECT``; what goes through is not looked at.

    Attributes:
        wanted: where clients wanted to go.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.destination = ("127.0.0.1", port)
        self.wanted: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "Tunnel":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()


class _Handler(socketserver.BaseRequestHandler):
    server: Tunnel
    request: socket.socket

    def handle(self) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += self.request.recv(65536)
        self.server.wanted.append(asked.split()[1].decode())
        with socket.create_connection(self.server.destination, 10) as there:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                _pump(self.request, there)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Until either has nothing more to say."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(65536)
                if not data:
                    return
                key.data.sendall(data)
