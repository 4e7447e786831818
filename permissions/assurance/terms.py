"""What a release has to hold: the thresholds of `wardline assure gate`, a TOML file.

    form = 1
    tools = "my_agent.tools"

    [release]                      # the last one; without, the shipped policies
    overlay = "release/policies"

    [evaluation]
    data = "attacks"
    gates = [{ variant = "V5", figure = "attacks/share", at_most = 0.003 }]

    [trace]
    require = ["signed", "anchored"]

Relative paths start from the file's folder. Nothing is left out by leaving out a table: a part
that cannot be measured is not passed, and only a signed exemption lets it by.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.errors import ConfigError
from permissions.evaluation.thresholds import Gate  # noqa: TC001 - pydantic reads it
from permissions.signing.canonical import digest_of
from permissions.trace.report import Requirement  # noqa: TC001 - pydantic reads it

DEFAULT_TERMS = "wardline-gate.toml"

PARTS = (
    "policy-check",
    "policy-tests",
    "policy-diff",
    "evaluation",
    "probe",
    "trace",
    "what-if",
    "register",
)
"""The parts of the gate, in the order in which they are measured: the register's is last, for it
looks at what the others came to."""

Names = Annotated[tuple[str, ...], Field(strict=False)]
Paths = Annotated[tuple[Path, ...], Field(strict=False)]
FilePath = Annotated[Path, Field(strict=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReleaseTerms(_Table):
    """The policies of the last release, as the settings name those in force."""

    policies: FilePath | None = Field(default=None, description="Their folder.")
    overlay: FilePath | None = Field(default=None, description="What was added to them.")
    evaluation: FilePath | None = Field(
        default=None,
        description="Folder of its evaluation; without, its policies are evaluated anew.",
    )


class TestTerms(_Table):
    """What tests of the policies have to reach."""

    coverage: float = Field(
        default=0.8, ge=0, le=1, description="Share of the lines that a test evaluates."
    )


class DiffTerms(_Table):
    """How far calls are compared."""

    calls: int = Field(default=500, ge=1, description="Calls tried for each tool, at most.")


class EvaluationTerms(_Table):
    """What is played, and what it has to reach."""

    data: FilePath | None = Field(
        default=None, description="Data folder; without, the shipped red-team set."
    )
    suites: Names = Field(default=(), description="Suites to play; all when empty.")
    variants: Names = Field(default=("V0", "V5"), description="What the broker gets.")
    kinds: Annotated[
        tuple[Literal["honest", "attack", "hijack", "adaptive", "run"], ...],
        Field(strict=False, description="Kinds of scenarios."),
    ] = ("honest", "attack", "hijack", "adaptive", "run")
    planner: str | None = Field(default=None, description="Whose recorded plans are declared.")
    limit: int = Field(default=0, ge=0, description="Tasks of each suite, at most; 0 for all.")
    gates: Annotated[tuple[Gate, ...], Field(strict=False)] = Field(
        min_length=1, description="Figures and their bounds, as `wardline eval report` takes."
    )
    chance: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Honest work that the last release did better counts as worse when the"
        " probability that it is chance is below this.",
    )


class ProbeTerms(_Table):
    """Which abuse cases are attempted, and where."""

    backends: Names = Field(default=(), description="Backends; all of this machine when empty.")
    cases: Annotated[tuple[int, ...], Field(strict=False)] = Field(
        default=(), description="Cases by number; all when empty."
    )


class TraceTerms(_Table):
    """What the record has to be."""

    folder: FilePath | None = Field(
        default=None, description="State folder or trace; that of the settings when not given."
    )
    require: Annotated[tuple[Requirement, ...], Field(strict=False)] = Field(
        default=(), description="As `wardline trace verify --require`."
    )
    key: FilePath | None = Field(default=None, description="Key that must have signed it.")
    checkpoints: Paths = Field(default=(), description="Checkpoints kept outside.")
    witnesses: Names = Field(default=(), description="Verifier keys of witnesses.")


class WhatIfTerms(_Table):
    """Which recorded calls are decided again."""

    days: int = Field(default=7, ge=1, description="Of runs that went on in the last days.")


class AlertTerms(_Table):
    """Where alerts are, for the register."""

    rules: Paths = Field(default=(), description="Rule files of Prometheus.")
    tests: Paths = Field(default=(), description="Their tests, as promtool takes them.")


class ExemptionTerms(_Table):
    """Who may let a finding by, and for how long."""

    file: FilePath = Field(
        default=Path("wardline-exemptions.jsonl"), description="Where they are kept, signed."
    )
    groups: Names = Field(
        default=(), description="Groups of approvers who may; every approver when empty."
    )
    days: int = Field(default=90, ge=1, le=366, description="Longest time of one.")


class Terms(_Table):
    """The whole file."""

    form: Literal[1] = Field(description="Version of the file's form.")
    tools: str | None = Field(default=None, description="Module of the guarded tools.")
    risks: FilePath = Field(
        default=Path("wardline-risks.toml"), description="The risk register."
    )
    kept_hours: int = Field(
        default=24,
        ge=1,
        description="How long the result of a part counts when others alone are measured.",
    )
    release: ReleaseTerms | None = Field(default=None, description="The last release.")
    tests: TestTerms = Field(default=TestTerms(), description="Tests of the policies.")
    diff: DiffTerms = Field(default=DiffTerms(), description="Comparison of the policies.")
    evaluation: EvaluationTerms | None = Field(default=None, description="Evaluation.")
    probe: ProbeTerms = Field(default=ProbeTerms(), description="Abuse cases of sandboxes.")
    trace: TraceTerms = Field(default=TraceTerms(), description="The record.")
    what_if: WhatIfTerms = Field(default=WhatIfTerms(), description="Recorded calls.")
    alerts: AlertTerms = Field(default=AlertTerms(), description="Alerts.")
    exemptions: ExemptionTerms = Field(default=ExemptionTerms(), description="Exemptions.")

    def basis(self, part: str, *about: str) -> str:
        """Digest of what a part was asked to hold, so that a kept result of other terms is seen.

        Args:
            part: one of `PARTS`.
            about: what else it was held to: digests of tools and files.
        """
        tables = {
            "policy-tests": ["tests"],
            "policy-diff": ["release", "diff"],
            "evaluation": ["release", "evaluation"],
            "what-if": ["trace", "what_if"],
            "register": ["alerts"],
        }.get(part, [part])
        said = self.model_dump(mode="json")
        held = {name: said.get(name) for name in tables}
        return digest_of({"part": part, "terms": held, "about": [*about]})


_PATHS = {
    "": ("risks",),
    "release": ("policies", "overlay", "evaluation"),
    "evaluation": ("data",),
    "trace": ("folder", "key", "checkpoints"),
    "alerts": ("rules", "tests"),
    "exemptions": ("file",),
}


def read_terms(path: Path) -> Terms:
    """Reads the file, with its paths from its folder.

    Raises:
        ConfigError: it is none; says where.
    """
    try:
        document = tomllib.loads(path.read_text())
        return Terms.model_validate(_anchored(document, path.parent))
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"])) or "the top"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from err
    except OSError as err:
        raise ConfigError(
            f"{path} cannot be read: {err.strerror}; `wardline assure init` writes one"
        ) from err
    except ValueError as err:
        raise ConfigError(f"{path} is no TOML file: {err}") from err


def _anchored(document: dict[str, object], folder: Path) -> dict[str, object]:
    anchored = {"risks": "wardline-risks.toml", **document}
    exemptions = anchored.setdefault("exemptions", {})
    if isinstance(exemptions, dict):
        exemptions.setdefault("file", "wardline-exemptions.jsonl")
    for table, names in _PATHS.items():
        within = anchored if not table else anchored.get(table)
        if not isinstance(within, dict):
            continue
        for name in names:
            match within.get(name):
                case str(text):
                    within[name] = folder / text
                case list(texts):
                    within[name] = [folder / str(text) for text in texts]
    return anchored
