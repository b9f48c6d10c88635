"""What must not be cut in two by a fork."""

import os
import threading
from contextlib import AbstractContextManager

__all__ = ["no_fork"]


def no_fork() -> AbstractContextManager[bool]:
    """Return what to hold while this process must not be forked.

    A forked process has one thread, but the locks of all: one that another thread held at the fork
    is held for ever. Importing a module takes such locks, and so does OpenSSL when it reads
    certificates; neither can mend them in the child. So forks wait for the end of that.
    """
    return _forking


_forking = threading.RLock()


def _begin_anew() -> None:
    global _forking
    _forking = threading.RLock()


if hasattr(os, "register_at_fork"):  # there are no forks on Windows
    os.register_at_fork(
        before=lambda: _forking.acquire(),
        after_in_parent=lambda: _forking.release(),
        after_in_child=_begin_anew,
    )
