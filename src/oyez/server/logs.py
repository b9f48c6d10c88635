"""Structured logs: readable on a terminal, one JSON object per line elsewhere. Never a secret."""

import logging
import sys
from typing import Any, Literal

import msgspec
import structlog

__all__ = ["LogFormat", "configure"]

LogFormat = Literal["auto", "console", "json"]

_MOST_CHARACTERS = 1_000  # of one value: much of what is logged was sent by anybody
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure(log_format: LogFormat, level: str) -> None:
    """Send everything, also what libraries log, to standard error.

    Args:
        log_format: ``auto`` is ``console`` on a terminal and ``json`` elsewhere.
        level: name of a level of the standard library, any case.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not console),
        _shortened,
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
    )
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _shortened(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Bound what one line may take, but for the traceback, which is made later."""
    for name, value in line.items():
        if isinstance(value, str) and len(value) > _MOST_CHARACTERS:
            line[name] = f"{value[:_MOST_CHARACTERS]}… ({len(value)} characters)"
    return line


def _json(value: Any, **_: object) -> str:
    return _encode(value).decode()
