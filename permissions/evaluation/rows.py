"""The rows of a data folder: one JSON object a line, and nothing that is not described here.

`docs/reference/evaluation-data.md` says what each file holds. A member that is not known is an
error, so that a misspelt label is never read as the absence of one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    TypeAdapter,
    field_validator,
)


def _plain(name: str) -> str:
    """A name goes to terminals, tables and file names of reports."""
    if not name.isprintable() or "|" in name or "`" in name:
        raise ValueError("a name holds no control characters, no | and no backtick")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]


class _Row(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class HeaderRow(_Row):
    """Where a file of calls comes from."""

    kind: Literal["header"]
    package: str
    package_version: str
    benchmark_version: str
    licence: str
    suites: list[Name]


class VectorRow(_Row):
    """A text in a suite's environment that an untrusted source may have written."""

    kind: Literal["vector"]
    suite: Name
    vector: Name
    default: str


class CallRow(_Row):
    """One call of a task or a goal, with what it returned.

    `untrusted_paths` says where in the output untrusted text stands: per text, JSON pointers
    (`#key` behind one means the member's name).
    """

    i: int
    tool: Name
    args: dict[str, Any]
    output: Any = None
    error: str | None = None
    untrusted_paths: dict[str, list[str]] = Field(default_factory=dict)
    provenance: list[dict[str, Any]] = Field(default_factory=list)
    placeholder_args: dict[str, Any] = Field(default_factory=dict)


class TaskRow(_Row):
    """What a person asks for, and the calls that do it."""

    kind: Literal["user_task"]
    suite: Name
    id: Name
    prompt: str
    final_text: str | None = None
    calls: list[CallRow]
    vectors: list[str] = Field(default_factory=list)
    first_untrusted_call: int | None = None
    utility_ok: bool = True


class GoalRow(_Row):
    """What an attacker wants, and the calls that reach it."""

    kind: Literal["injection_task"]
    suite: Name
    id: Name
    goal: str
    final_text: str | None = None
    origin: Literal["benchmark", "ours", "none"] = "benchmark"
    calls: list[CallRow]
    security_ok: bool = True


class PairRow(_Row):
    """A goal within a task: after which call the attack is seen, and what happens undefended."""

    kind: Literal["pair"]
    suite: Name
    user_task: Name
    injection_task: Name
    attack_after_call: int
    attack_seen: bool = True
    attack_origin: Literal["benchmark", "ours", "none"] = "benchmark"
    attack_errors: list[Any] = Field(default_factory=list)
    undefended_security: bool = True
    undefended_utility: bool = True


class ToolRow(_Row):
    """A tool as a model sees it."""

    suite: Name
    name: Name
    description: str = ""
    parameters: dict[str, Any]

    @field_validator("parameters")
    @classmethod
    def _described(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        properties = parameters.get("properties", {})
        if not isinstance(properties, dict) or not all(
            isinstance(schema, dict) for schema in properties.values()
        ):
            raise ValueError("properties is an object, and describes each argument by one")
        return parameters


EffectLabel = Literal[
    "read", "net_read", "write", "egress", "share", "destroy", "money", "credential", "commit",
    "net_act", "execute",
]  # fmt: skip


class LabelRow(_Row):
    """What a deployer says about a tool; a wrong label is a hole.

    `marks` says what an argument points at where its name does not, and `trusted_fields` which
    fields of the output the service fills in.
    """

    suite: Name
    tool: Name
    effect: EffectLabel
    untrusted_output: bool
    sensitive_args: list[str]
    note: str = ""
    origin: str = ""
    marks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    impact: Literal["low", "medium", "high", "critical"] | None = None
    trusted_fields: list[str] | None = None


class PlanRow(_Row):
    """A plan that a model wrote for a task: tools, and what it knew of their arguments.

    `checklist` is as the model wrote it, in any form; what reads as a list of objects with
    `name` and `required parameters` is used.
    """

    source: Name
    planner: Name
    suite: Name
    user_task: Name
    tools: list[str] | None
    checklist: Any = None
    seen_in: list[str] = Field(default_factory=list)


class SpokenCall(_Row):
    """A call of a recorded run; `cut` is how long an output was that is not whole here."""

    tool: Name
    args: dict[str, Any]
    output: Any = None
    error: str | None = None
    cut: int | None = None


class RunRow(_Row):
    """What a real model called, attacked or not."""

    model: Name
    suite: Name
    user_task: Name
    injection_task: Name | None
    attack: str
    goal: str | None
    prompt: str
    calls: list[SpokenCall]
    utility: bool | None
    attack_succeeded: bool | None


class ShellRow(_Row):
    """An injected shell action in a repository."""

    id: Name
    task_description: str
    issue_text: str
    injection_vector: str
    payload_category: str
    payload_sophistication: str
    severity: str
    payload_indicator: str | None
    expected_malicious_action: str | None
    is_benign: bool
    repo_files: dict[str, str]
    verification_command: str
    expected_fix: str
    persistence_targets: list[str] | None = None
    source: str = ""
    licence: str = ""


class SpokenText(_Row):
    """What the person said, with its position in the talk."""

    msg: int
    text: str


class AirlineCall(_Row):
    """A call of an airline agent, with its position in the talk."""

    msg: int | None = None
    tool: Name
    args: dict[str, Any]
    output: Any = None


class AirlineTaskRow(_Row):
    """The calls with effects that an airline's rules expect for a request."""

    kind: Literal["task", "policy"] = "task"
    task: int | None = None
    id: str | None = None
    domain: str = ""
    user_id: str | None = None
    instruction: str = ""
    purpose: Any = None
    user: Any = None
    actions: list[AirlineCall] = Field(default_factory=list)
    assertions: Any = None
    text: str = ""
    source: str = ""
    licence: str = ""


class AirlineStateRow(BaseModel):
    """A record of the airline: a user, a reservation, one flight on one day, or the rules."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Literal["user", "reservation", "leg", "policy"]


class AirlineRunRow(_Row):
    """What a real model did for an airline's customer; `reward` is 1 when it was right."""

    task: int
    trial: int
    model: str
    reward: float
    user_said: list[SpokenText]
    calls: list[AirlineCall]


CallsFileRow = Annotated[
    HeaderRow | VectorRow | TaskRow | GoalRow | PairRow, Discriminator("kind")
]

FILES: dict[str, TypeAdapter[Any]] = {
    "calls": TypeAdapter(CallsFileRow),
    "tools": TypeAdapter(ToolRow),
    "labels": TypeAdapter(LabelRow),
    "plans": TypeAdapter(PlanRow),
    "traces": TypeAdapter(RunRow),
    "airline_gt": TypeAdapter(AirlineTaskRow),
    "airline_state": TypeAdapter(AirlineStateRow),
    "airline_traces": TypeAdapter(AirlineRunRow),
    "coding_agent": TypeAdapter(ShellRow),
}
"""By the last word of a file's name: `agentdojo_calls.jsonl` holds `calls`."""
