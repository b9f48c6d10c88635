"""A transport that keeps what is written to it."""

import json
from typing import Any


class Transport:
    """Keeps what is written, as the messages in the frames."""

    def __init__(self) -> None:
        self.stream = b""
        self.reading = True
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.stream += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.aborted

    def set_protocol(self, protocol: object) -> None:
        pass

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def messages(self) -> list[dict[str, Any]]:
        found, rest = [], self.stream
        while rest and rest[0] == 0x81:
            size, start = rest[1], 2
            if size == 126:
                size, start = int.from_bytes(rest[2:4]), 4
            found.append(json.loads(rest[start : start + size]))
            rest = rest[start + size :]
        return found

    def events(self) -> list[str]:
        return [message["event"].rpartition(":")[2] for message in self.messages()]
