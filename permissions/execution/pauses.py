"""Exceptions by which a tool asks its framework to stop here and to call it again later.

LangGraph's `interrupt()` raises one the first time and gives a person's answer the next; the
tool's function runs from its start each time. Such a call has not failed: it may run again, and
is decided and recorded anew when it does.

Not protected from: effects a tool had before it asked. They happen again, as without a broker.
"""

from __future__ import annotations

import sys
from typing import Final

PAUSED: Final = "paused"
"""`verdict` of an outcome, and status in the journal."""

ASKED_TWICE: Final = (
    "it asked by an interrupt of its framework after a person had approved the call; a call that"
    " policies want approved cannot ask by itself, too"
)
"""Why such a call has failed: LangGraph tells answers apart by their order alone, so that a yes to
the broker's question could be taken for an answer to the tool's."""

_PAUSES: Final = {
    ("langgraph.errors", "GraphInterrupt"),
    ("pydantic_ai.exceptions", "ApprovalRequired"),
}


def is_pause(err: BaseException) -> bool:
    """Whether it is one of those; asks without importing a framework.

    An answer of another form than LangGraph's `interrupt()` was to get is one, too: the same
    question can be answered again.
    """
    says = getattr(sys.modules.get("langgraph.errors"), "is_invalid_resume", None)
    if says is not None and says(err):
        return True
    return any((kind.__module__, kind.__name__) in _PAUSES for kind in type(err).__mro__)
