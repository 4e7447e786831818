"""A release gate: figures that a run must reach, in a file of its own.

    {"gates": [{"variant": "V5", "plan": "recorded", "figure": "honest/quiet/share",
                "at_least": 0.85},
               {"variant": "V5", "figure": "coverage", "at_least": 1.0},
               {"variant": "V5", "figure": "rates/violations/share", "at_most": 0.003},
               {"variant": "V5", "figure": "seconds", "at_most": 900}]}

`figure` is a path into a row of the report. A figure that is not there fails, for what was not
measured was not reached. `suite` is `all` where a run has several, unless it is named.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from permissions.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from permissions.vocabulary import JsonObject


class Gate(BaseModel):
    """One figure and its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    variant: str
    plan: str = "none"
    suite: str | None = None
    figure: str
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Gate:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a gate has at_least, at_most or both")
        return self


class Thresholds(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gates: list[Gate] = Field(min_length=1)


def read_thresholds(path: Path) -> Thresholds:
    """Reads the file.

    Raises:
        ConfigError: it is no such file; says where.
    """
    try:
        return Thresholds.model_validate(json.loads(path.read_text()))
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"])) or "the top"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from err
    except (OSError, ValueError) as err:
        raise ConfigError(f"{path} is no JSON file: {err}") from err


def judge(thresholds: Thresholds, figures: Sequence[JsonObject]) -> list[JsonObject]:
    """Each gate with the figure found, and whether it holds."""
    return [_judged(gate, figures) for gate in thresholds.gates]


def _judged(gate: Gate, figures: Sequence[JsonObject]) -> JsonObject:
    rows = [
        row
        for row in figures
        if row["variant"] == gate.variant
        and row["plan"] == gate.plan
        and row["suite"] == (gate.suite or _whole(figures))
    ]
    found = _follow(rows[0], gate.figure) if rows else None
    holds = (
        found is not None
        and (gate.at_least is None or found >= gate.at_least)
        and (gate.at_most is None or found <= gate.at_most)
    )
    return {**gate.model_dump(exclude_none=True), "found": found, "holds": holds}


def _whole(figures: Sequence[JsonObject]) -> str:
    names = {str(row["suite"]) for row in figures}
    return "all" if "all" in names else min(names, default="")


def _follow(row: Any, path: str) -> float | None:
    for name in path.split("/"):
        if not isinstance(row, dict) or name not in row:
            return None
        row = row[name]
    return float(row) if isinstance(row, int | float) and not isinstance(row, bool) else None
