"""A regorus engine made safe to ask: JSON in and out, and Python builtins where it differs.

Used by the evaluator process, the test runner and the linter. Imports neither pydantic nor
anyio, because an evaluator has to start in a few tens of milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.pdp.regorus.builtins import install
from permissions.pdp.regorus.errors import engine_error
from permissions.pdp.regorus.parse import new_engine

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDEFINED = '"<undefined>"'
"""How regorus prints a rule without a value. The text itself, as a value, is no valid answer
either, so nothing is lost by taking one for the other."""


class Engine:
    """One regorus engine with modules and data loaded. Bound to the thread that made it."""

    __slots__ = ("_engine", "_has_failed", "_loaded")

    def __init__(
        self, modules: Mapping[str, str], data_json: str, *, translated: bool = False
    ) -> None:
        """Parses the modules and loads the data.

        Args:
            modules: Rego by path.
            data_json: the data document.
            translated: whether the modules come from `translate` already.

        Raises:
            EngineError: a module does not parse, or a variable of it is never bound.
        """
        if not translated:
            from permissions.pdp.regorus.translate import translate  # no evaluator needs it

            modules = translate(modules)
        self._engine = engine = new_engine()
        self._has_failed = False
        try:
            engine.set_gather_prints(True)
            install(engine)
            for path, text in modules.items():
                engine.add_policy(path, text)
            engine.add_data_json(data_json)
            engine.eval_query_as_json("true")  # finds what the parser cannot
            self._loaded = engine.clone()
        except BaseException as err:
            del self._engine, engine  # as in `parse`: the error's traceback holds this frame
            raise engine_error(err) from err

    def ask(self, rule: str, input_json: str) -> str:
        """The value of a rule as JSON text, or `UNDEFINED`.

        Raises:
            EngineError: the evaluation failed.
        """
        if self._has_failed:
            # An evaluation that failed leaves what it had bound behind, and the next one would
            # find it: the same input could then be answered otherwise.
            self._engine = self._loaded.clone()
            self._has_failed = False
        try:
            self._engine.set_input_json(input_json)
            answer: str = self._engine.eval_rule_as_json(rule)
        except BaseException as err:
            self._has_failed = True
            raise engine_error(err) from err
        return answer

    def watch(self) -> None:
        """Begins to note which lines are evaluated."""
        for engine in (self._engine, self._loaded):
            engine.set_enable_coverage(True)

    def coverage(self) -> str:
        """The coverage report as JSON text, since `watch` or the last call; then forgets it."""
        report: str = self._engine.get_coverage_report_as_json()
        self._engine.clear_coverage_data()
        return report

    def prints(self) -> list[str]:
        """What `print` calls wrote since the last call. Discarded unless asked for."""
        return list(self._engine.take_prints())
