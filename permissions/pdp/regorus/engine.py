"""A regorus engine made safe to ask: JSON in and out, and Python builtins where it differs.

Used by the evaluator process, the test runner and the linter. Imports neither pydantic nor
anyio, because an evaluator has to start in a few tens of milliseconds.

regorus panics as `PanicException`, a `BaseException` known by name only; it becomes an
`EngineError` like every other failure of the engine. The texts of regorus quote the values it
met: `EngineError.fault` is what may be logged, `text` is not.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from permissions.pdp.regorus.builtins import install

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDEFINED = '"<undefined>"'
"""How regorus prints a rule without a value. The text itself, as a value, is no valid answer
either, so nothing is lost by taking one for the other."""

MAX_COLUMNS = 1024
MAX_LINES = 20_000
"""Set here so that they do not change with the engine's own defaults."""

_PLACE = re.compile(r"--> ([^\n]{1,300}:\d+:\d+)\n")
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
        found = _PLACE.search(text)
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


class Engine:
    """One regorus engine with modules and data loaded. Bound to the thread that made it."""

    __slots__ = ("_engine",)

    def __init__(
        self, modules: Mapping[str, str], data_json: str, *, compiled: bool = True
    ) -> None:
        """Parses the modules and loads the data.

        Not `compiled` is for reading the tree of a module that names others.

        Raises:
            EngineError: a module does not parse, or a variable of it is never bound.
        """
        # Read by the Rust runtime when the first error is made; with it, every error text
        # carries a native stack.
        os.environ.pop("RUST_BACKTRACE", None)
        import regorus

        self._engine = engine = regorus.Engine()
        try:
            engine.set_policy_length_config(
                max_col=MAX_COLUMNS, max_file_bytes=1_000_000, max_lines=MAX_LINES
            )
            engine.set_gather_prints(True)
            install(engine)
            for path, text in modules.items():
                engine.add_policy(path, text)
            engine.add_data_json(data_json)
            if compiled:
                engine.eval_query_as_json("true")  # finds what the parser cannot
        except BaseException as err:
            raise engine_error(err) from err

    def ask(self, rule: str, input_json: str) -> str:
        """The value of a rule as JSON text, or `UNDEFINED`.

        Raises:
            EngineError: the evaluation failed.
        """
        try:
            self._engine.set_input_json(input_json)
            answer: str = self._engine.eval_rule_as_json(rule)
        except BaseException as err:
            raise engine_error(err) from err
        return answer

    def watch(self) -> None:
        """Begins to note which lines are evaluated."""
        self._engine.set_enable_coverage(True)

    def coverage(self) -> str:
        """The coverage report as JSON text, since `watch` or the last call; then forgets it."""
        report: str = self._engine.get_coverage_report_as_json()
        self._engine.clear_coverage_data()
        return report

    def prints(self) -> list[str]:
        """What `print` calls wrote since the last call. Discarded unless asked for."""
        return list(self._engine.take_prints())

    def ast(self) -> str:
        """The syntax trees of all modules as JSON text."""
        tree: str = self._engine.get_ast_as_json()
        return tree
