"""A real PostgreSQL in a directory of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def running_postgres() -> Iterator[str]:
    """The SQLAlchemy URL of a server that runs until the block is left."""
    assert PROGRAMS is not None, "install it: sudo apt-get install postgresql"
    with tempfile.TemporaryDirectory() as data:  # pytest's own are closed to other accounts
        if os.geteuid() == 0:
            shutil.chown(data, _USER, _USER)
        with _running_in(data) as url:
            yield url


@contextmanager
def _running_in(data: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run("initdb", "--auth=trust", "--username=oyez", "--no-sync", f"--pgdata={data}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    _run("pg_ctl", "start", "--wait", f"--pgdata={data}", "-o", options, f"--log={data}/log")
    try:
        yield f"postgresql+psycopg://oyez@127.0.0.1:{port}/postgres"
    finally:
        _run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={data}")


def _run(program: str, *arguments: str) -> None:
    assert PROGRAMS is not None
    account = pwd.getpwnam(_USER) if os.geteuid() == 0 else None
    subprocess.run(
        [str(PROGRAMS / program), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        timeout=60,
    )
