"""Where the log of a server goes that runs among a user's tests: where pytest collects logs.

The server logs through structlog, whose settings are global and may be the user's own. They are
left alone, here and in the standard library: only the loggers of the server's modules are replaced.
"""

import contextlib
import logging
import sys
from collections.abc import Generator

import structlog

__all__ = ["in_standard_logging"]

_SERVER = "oyez.server"


@contextlib.contextmanager
def in_standard_logging() -> Generator[None, None, None]:
    """While this is open, modules of the server that are loaded log to loggers of their names."""
    with contextlib.ExitStack() as stack:
        for name, module in sorted(sys.modules.items()):
            names = vars(module) if name.startswith(_SERVER) else {}
            if "log" in names:
                stack.callback(names.__setitem__, "log", names["log"])
                names["log"] = _logger(name)
        yield


def _logger(name: str) -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.dev.ConsoleRenderer(
                colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
    )
    return logger
