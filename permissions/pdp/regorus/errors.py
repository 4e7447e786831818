"""What regorus raises, as one error whose summary holds no value of a policy's input."""

from __future__ import annotations

import re

_POSITION = re.compile(r"--> ([^\n]{1,300}:\d+:\d+)\n")
_KINDS = (
    ("rule conflict", "two rules gave different values"),
    ("complete rules should not produce multiple outputs", "a rule gave different values"),
    ("unsafe", "a variable is never bound"),
    ("could not find function", "a function does not exist"),
    ("answer is too long", "the answer is too long"),
    ("expects", "a builtin or operator was given a value of the wrong type"),
)


class EngineError(Exception):
    """The engine refused or failed.

    Attributes:
        fault: where and what kind of fault, made of policy paths and fixed words only.
    """

    def __init__(self, text: str) -> None:
        self.text = text.split("\n\nStack backtrace:", maxsplit=1)[0].strip()
        found = _POSITION.search(text)
        kind = next((words for mark, words in _KINDS if mark in text), "evaluation failed")
        self.fault = f"{found[1]}: {kind}" if found else kind
        super().__init__(self.fault)


def engine_error(err: BaseException) -> EngineError:
    """What regorus raised, as an `EngineError`; raises `err` itself when it is foreign."""
    if isinstance(err, (RuntimeError, ValueError, TypeError)):
        return EngineError(str(err))
    if type(err).__name__ == "PanicException":
        return EngineError(f"the engine panicked: {err}")
    raise err
