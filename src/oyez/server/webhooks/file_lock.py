"""One owner of a SQLite outbox.

A node that believes to be alone keeps in memory who was told to be there; two of them on one file
would tell everything twice. The lock is the kernel's (``flock``): it ends with the process, however
that ends. Nodes that share the file on purpose hold it together.
"""

import errno
import fcntl
import os
from pathlib import Path

from sqlalchemy import make_url

from oyez.server.webhooks.ledger import OutboxInUse

__all__ = ["FileLock"]


class FileLock:
    """Holds a file beside the database; does nothing for other databases.

    Args:
        url: an SQLAlchemy URL.
        suffix: of the file's name, after that of the database.
        shared: whether others may hold it, too, if they share it.
    """

    def __init__(self, url: str, suffix: str = "lock", *, shared: bool) -> None:
        parsed = make_url(url)
        name = parsed.database if parsed.get_backend_name() == "sqlite" else None
        on_disk = name and name != ":memory:"
        self._path = Path(f"{os.path.realpath(name)}.{suffix}") if name and on_disk else None
        self._outbox = name
        self._shared = shared
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take it at once or not at all.

        Raises:
            OutboxInUse: another server has it.
            OSError: the file cannot be made.
        """
        if self._path is None or self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # there is no such directory, as the database will say
            return
        try:
            kind = fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise OutboxInUse(
                    f"another server uses the outbox {self._outbox}: give each its "
                    "own data_directory, or have them share an engine and set "
                    "webhooks.one_machine = true"
                ) from None
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Leave it to others."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
