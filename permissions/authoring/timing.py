"""How long each rule of a bundle takes, measured: which one to look at when decisions are slow.

Each rule without arguments is asked by itself, with all it reads, about sample calls of every
effect and kind of target. So a rule that others read counts in each of them, and the figures do not
add up to a decision's: the linker (`permissions.pdp.linker`) evaluates what is shared once.
They are of this machine, now; a change by a tenth says nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from permissions.authoring.trial import Circumstances, plain_question
from permissions.pdp.input_json import input_bytes
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse
from permissions.tools.targets import (
    AmountArg,
    CommandArg,
    HostArg,
    PathArg,
    RecipientArg,
    parse_targets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import Effect, Impact, JsonObject, JsonValue
    from permissions.pdp.bundle import PolicyBundle

REPEATS = 3
_NOTHING = "data.wardline.timing.nothing"
_READ_ALL = frozenset({("wardline", "main"), ("wardline", "joined")})
"""Left out: their rules read those of every other package."""
_SAMPLES: tuple[tuple[Effect, Impact, str, Any, JsonValue], ...] = (
    ("read", "low", "path", PathArg(), "notes.txt"),
    ("write", "medium", "path", PathArg(access="write"), "src/app/main.py"),
    ("read", "low", "host", HostArg(), "https://api.example.com/v1/items?q=1"),
    ("send", "medium", "to", RecipientArg(), "kim@example.com"),
    ("irreversible", "high", "amount", AmountArg(currency="EUR"), "980.00"),
    ("execute", "medium", "command", CommandArg(), ["git", "log", "--oneline"]),
)


@dataclass(frozen=True, slots=True)
class RuleTime:
    """One rule.

    Attributes:
        name: as it is called, from its package on.
        mean_us: microseconds, over the sample calls, with all that it reads.
        most_us: of the sample it took longest for.
    """

    name: str
    path: str
    line: int
    mean_us: float
    most_us: float


def time_rules(bundle: PolicyBundle) -> list[RuleTime]:
    """All rules without arguments, the slowest first. Takes a second or so.

    Raises:
        EngineError: the bundle does not load.
    """
    modules = {**bundle.modules, "timing.rego": f"package {_NOTHING[5:-8]}\n\nnothing := 1\n"}
    engine = Engine(modules, json.dumps(bundle.data, ensure_ascii=False))
    questions = [input_bytes(each).decode() for each in _questions()]
    empty = [_seconds(engine, _NOTHING, question) or 0.0 for question in questions]
    found = []
    for name, path, line in _rules(bundle):
        each = [
            max(took - least, 0.0) * 1_000_000
            for question, least in zip(questions, empty, strict=True)
            if (took := _seconds(engine, f"data.{name}", question)) is not None
        ]
        if each:
            found.append(RuleTime(name, path, line, sum(each) / len(each), max(each)))
    return sorted(found, key=lambda rule: -rule.mean_us)


def _questions() -> Iterator[JsonObject]:
    around = Circumstances()
    for effect, impact, argument, mark, value in _SAMPLES:
        targets = parse_targets(mark, argument, value, Path("/srv/work"))
        yield plain_question(
            tool="sample",
            effect=effect,
            impact=impact,
            args={argument: value},
            targets=targets,
            around=around,
        )


def _seconds(engine: Engine, rule: str, question: str) -> float | None:
    """The least of some tries; None when it fails on this question."""
    least: float | None = None
    for _ in range(REPEATS):
        began = perf_counter()
        try:
            engine.ask(rule, question)
        except EngineError:
            return None
        took = perf_counter() - began
        least = took if least is None else min(least, took)
    return least


def _rules(bundle: PolicyBundle) -> Iterator[tuple[str, str, int]]:
    seen: set[str] = set()
    for path, text in bundle.modules.items():
        module = parse(path, text)
        if module.package in _READ_ALL:
            continue
        for rule in module.rules:
            name = ".".join((*module.package, *rule.path))
            if rule.kind in ("value", "set") and not rule.arguments and name not in seen:
                seen.add(name)
                yield name, path, rule.position.line
