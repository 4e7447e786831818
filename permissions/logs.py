"""Loggers of this package: structured events over the standard library's logging.

A library does not decide where a program's log goes. Events are keys and values, never
arguments, results or secrets; the log is not the trace.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger under the name `wardline.<name>`; its threshold and handlers are the program's."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"wardline.{name}"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            _without_controls,
            structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def _without_controls(_: object, __: str, event: EventDict) -> EventDict:
    """Ids come from callers: none may move a terminal's cursor or begin a line of its own."""
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in str(value)
    )
