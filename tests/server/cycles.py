"""What only a search for reference cycles would free, and that may be long in coming."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def cycles() -> Iterator[list[Any]]:
    """Give our objects that only a search for cycles would free; known after the end."""
    found: list[Any] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [each for each in gc.garbage if (type(each).__module__ or "").startswith("oyez.")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
