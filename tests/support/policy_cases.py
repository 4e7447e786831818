"""Decision tables: `tests/cases/*.json`, each case a patch on one harmless question.

That is a call, or the connection or change set that the table names as `about`.

A case's `patch` is merged member by member; null is null, and lists are replaced as a whole.
`tables.json` is merged the same way over the shipped tables: what an operator would list.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from permissions.model import JsonObject, JsonValue

FOLDER = Path(__file__).parent.parent / "cases"
_NO_CASES = {"base.json", "tables.json", "questions.json"}


@dataclass(frozen=True)
class DecisionCase:
    """One row: a call, and everything that matters of its answer."""

    id: str
    description: str
    document: JsonObject
    decision: bool
    reasons: list[str]
    obligations: list[str]
    access_request: JsonObject | None
    rules: list[str] | None
    nearest: list[JsonValue] | None

    def differences(self, response: JsonObject) -> list[str]:
        """What the answer has otherwise than this row wants it."""
        context = response["context"]
        got = {
            "decision": response["decision"],
            "reasons": [reason["code"] for reason in context["reasons"]],
            "obligations": [obligation["id"] for obligation in context["obligations"]],
            "access_request": context["access_request"],
            "rules": context["rules"],
            "nearest": [reason["nearest"] for reason in context["reasons"]],
        }
        return [
            f"{name}: {got[name]!r}, wanted {getattr(self, name)!r}"
            for name in got
            if getattr(self, name) is not None or name == "access_request"
            if got[name] != getattr(self, name)
        ]


def merged(one: JsonValue, other: JsonValue) -> JsonValue:
    """`other` put over `one`, objects member by member."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return copy.deepcopy(other)
    return {
        **copy.deepcopy(one),
        **{key: merged(one.get(key), value) for key, value in other.items()},
    }


def base_document(about: str = "tool") -> JsonObject:
    """A complete call that reads, of low impact, without arguments; or what one led to."""
    document: JsonObject = _read("base.json")
    return document if about == "tool" else {**document, **_read("questions.json")[about]}


def cases_bundle() -> PolicyBundle:
    """The shipped policies with the tables of an operator."""
    shipped = load_bundle()
    data = merged(shipped.data, {"wardline": {"tables": _read("tables.json")}})
    return PolicyBundle.of(shipped.modules, data)


def decision_cases() -> list[DecisionCase]:
    """Every row of every table."""
    rows = []
    for path in sorted(FOLDER.glob("*.json")):
        if path.name in _NO_CASES:
            continue
        table = _read(path.name)
        base = base_document(table.get("about", "tool"))
        for row in table["cases"]:
            optional = {"rules": row.pop("rules", None), "nearest": row.pop("nearest", None)}
            patch, name = row.pop("patch"), row.pop("id")
            rows.append(
                DecisionCase(
                    id=f"{path.stem}.{name}", document=merged(base, patch), **row, **optional
                )
            )
    return rows


class DirectEngine:
    """The embedded engine in this process: for many questions in little time."""

    def __init__(self, bundle: PolicyBundle) -> None:
        self._engine = Engine(bundle.modules, json.dumps(bundle.data))

    def ask(self, document: JsonValue) -> Any:
        """The entrypoint's value.

        Raises:
            EngineError: the evaluation failed.
        """
        return json.loads(self._engine.ask(ENTRYPOINT, json.dumps(document)))


def _read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))
