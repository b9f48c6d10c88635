"""A real PostgreSQL in a directory of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_USER = "postgres"  # Debian's package makes it; PostgreSQL does not run as root


def _programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are; Debian keeps them out of the PATH."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


PROGRAMS = _programs()
postgres_is_installed = pytest.mark.skipif(
    PROGRAMS is None and not os.environ.get("CI"),
    reason="PostgreSQL is not installed: sudo apt-get install postgresql",
)


class Postgres:
    """A server that can be stopped and started again at the same address."""

    def __init__(self, data: str) -> None:
        self._data = data
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql+psycopg://oyez@127.0.0.1:{self._port}/postgres"
        _run("initdb", "--auth=trust", "--username=oyez", "--no-sync", f"--pgdata={data}")

    def start(self) -> None:
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1"
            " -c unix_socket_directories='' -c fsync=off"
        )
        log = f"--log={self._data}/log"
        _run("pg_ctl", "start", "--wait", f"--pgdata={self._data}", "-o", options, log)

    def stop(self) -> None:
        """As if it had crashed."""
        _run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={self._data}")


@contextmanager
def started_postgres() -> Iterator[Postgres]:
    """One that runs now, and is stopped at the latest when the block is left."""
    assert PROGRAMS is not None, "install it: sudo apt-get install postgresql"
    with tempfile.TemporaryDirectory() as data:  # pytest's own are closed to other accounts
        if os.geteuid() == 0:
            shutil.chown(data, _USER, _USER)
        server = Postgres(data)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # the test has stopped it
                server.stop()


@contextmanager
def running_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a server that runs until the block is left."""
    with started_postgres() as server:
        yield server.url


def _run(program: str, *arguments: str) -> None:
    assert PROGRAMS is not None
    account = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
    subprocess.run(
        [str(PROGRAMS / program), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        timeout=120,
    )
