"""A regorus engine made safe to ask: JSON in and out, and Python builtins where it differs.

Used by the evaluator process, the test runner and the linter. Imports neither pydantic nor
anyio, because an evaluator has to start in a few tens of milliseconds.
"""

from __future__ import annotations

import threading
import weakref
from itertools import count
from typing import TYPE_CHECKING, Any

from permissions.pdp.regorus.builtins import install
from permissions.pdp.regorus.errors import engine_error
from permissions.pdp.regorus.parse import new_engine

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDEFINED = '"<undefined>"'
"""How regorus prints a rule without a value. The text itself, as a value, is no valid answer
either, so nothing is lost by taking one for the other."""


_NUMBERS = count()


class _OfThread(threading.local):
    """The library's engines of one thread, by the `Engine` each is of: to be dropped here only.

    The last to hold an `Engine` may be the collector in another thread. What it was goes with
    the next one that is made here, or with the thread.
    """

    def __init__(self) -> None:
        self.raw: dict[int, list[Any]] = {}
        self.gone: list[int] = []

    def add(self, owner: Engine, engine: Any) -> int:
        """Keeps an engine, and forgets those whose owners are gone."""
        while self.gone:
            self.raw.pop(self.gone.pop(), None)
        key = next(_NUMBERS)
        self.raw[key] = [engine]
        weakref.finalize(owner, self.gone.append, key).atexit = False
        return key


_OWN = _OfThread()


class Engine:
    """One regorus engine with modules and data loaded. Bound to the thread that made it."""

    __slots__ = ("__weakref__", "_has_failed", "_key")

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
        engine = new_engine()
        self._key = _OWN.add(self, engine)
        self._has_failed = False
        try:
            engine.set_gather_prints(True)
            install(engine)
            for path, text in modules.items():
                engine.add_policy(path, text)
            engine.add_data_json(data_json)
            engine.eval_query_as_json("true")  # finds what the parser cannot
            self._raw.append(engine.clone())
        except BaseException as err:
            del engine  # as in `parse`: the error's traceback holds this frame
            raise engine_error(err) from err

    @property
    def _raw(self) -> list[Any]:
        """The engine that is asked, and the same as it was loaded."""
        return _OWN.raw[self._key]

    def ask(self, rule: str, input_json: str) -> str:
        """The value of a rule as JSON text, or `UNDEFINED`.

        Raises:
            EngineError: the evaluation failed.
        """
        if self._has_failed:
            # An evaluation that failed leaves what it had bound behind, and the next one would
            # find it: the same input could then be answered otherwise.
            self._raw[0] = self._raw[1].clone()
            self._has_failed = False
        try:
            self._raw[0].set_input_json(input_json)
            answer: str = self._raw[0].eval_rule_as_json(rule)
        except BaseException as err:
            self._has_failed = True
            raise engine_error(err) from err
        return answer

    def watch(self) -> None:
        """Begins to note which lines are evaluated."""
        for engine in self._raw:
            engine.set_enable_coverage(True)

    def coverage(self) -> str:
        """The coverage report as JSON text, since `watch` or the last call; then forgets it."""
        report: str = self._raw[0].get_coverage_report_as_json()
        self._raw[0].clear_coverage_data()
        return report

    def prints(self) -> list[str]:
        """What `print` calls wrote since the last call. Discarded unless asked for."""
        return list(self._raw[0].take_prints())
