"""The form of the usual call, looked at before a policy is: in microseconds, and never in doubt.

What passes here is `wardline.contract.well_formed`, so that the engine need not look for it: that
took a seventh of a decision. What does not pass is no call of that form, or one that these types
are too narrow for; the policies look at it themselves. The tests hold the one to the other.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

_Whole = Annotated[int, Meta(ge=0, le=9007199254740991)]
_Boundary = Literal["none", "process", "container", "kernel"]


class _Actor(Struct):
    type: str
    id: str


class _Who(Struct):
    roles: list[str]
    on_behalf_of: str | None
    act: list[_Actor]


class _Subject(Struct):
    type: Literal["user", "agent", "service"]
    id: str
    properties: _Who


class _Does(Struct):
    effect: Literal["read", "write", "send", "execute", "irreversible"]
    impact: Literal["low", "medium", "high", "critical"]


class _Action(Struct):
    name: Literal["tools/call"]
    properties: _Does


class _Target(Struct, tag_field="kind"):
    argument: str


class _Path(_Target, tag="path"):
    access: Literal["read", "write"]
    path: str
    resolved: str
    inside_workspace: bool
    hidden: bool
    relative: str | None
    links: _Whole | None
    holds_secrets: bool | None = None


class _Host(_Target, tag="host"):
    host: str
    scheme: str | None
    port: _Whole | None
    path: str | None
    address_class: (
        Literal["global", "private", "loopback", "link_local", "metadata", "reserved"] | None
    )


class _Recipient(_Target, tag="recipient"):
    scheme: Literal["email", "account", "phone", "name"]
    address: str
    domain: str | None


class _Amount(_Target, tag="amount"):
    currency: str
    minor: _Whole


class _Resource(_Target, tag="resource"):
    type: str
    name: str


class _Secret(_Target, tag="secret"):
    new: bool


class _Run(Struct):
    program: str
    argv: list[str]


class _Command(_Target, tag="command"):
    argv: list[str]
    program: str | None
    shell: bool
    complete: bool
    declared: bool
    commands: list[_Run]


class _Statement(Struct):
    classes: list[str]
    reads: list[str]
    writes: list[str]
    columns: list[str]
    functions: list[str]
    unknown_functions: list[str]
    every_column: bool
    one_row: bool
    where: bool
    limit: _Whole | None


class _Sql(_Target, tag="sql"):
    dialect: str
    statements: list[_Statement]


class _Called(Struct):
    args: dict[str, Any]
    args_digest: str
    tool_digest: str
    isolation: _Boundary
    stateful: bool
    confirms: _Whole | None
    workspace: Literal["copy", "overlay"]
    control: list[str]
    marks: dict[
        str,
        Literal[
            "path",
            "host",
            "recipient",
            "amount",
            "command",
            "resource",
            "secret",
            "sql",
            "free",
        ],
    ]
    targets: list[_Path | _Host | _Recipient | _Amount | _Resource | _Secret | _Command | _Sql]
    changes: UnsetType = UNSET  # there is none, or it is no call


class _Tool(Struct):
    type: Literal["tool"]
    id: str
    properties: _Called


class _Site(Struct):
    call: str
    entry: _Whole | None
    pointer: str | None
    cut: list[Any] | None


class _Origin(Struct):
    origin: Literal["user", "plan", "approval", "tool", "default", "unknown"]
    source: str | None
    trusted: bool
    control: bool
    site: _Site | None = msgspec.field(name="from")
    linked: bool
    carries: list[str]


class _Finding(Struct):
    kind: str
    pointer: str
    start: _Whole
    end: _Whole
    site: dict[str, Any] | None = msgspec.field(name="from")


class _Budget(Struct):
    used: _Whole
    limit: _Whole | None


class _Stage(Struct):
    approvers: list[str]
    groups: list[str]


class _Approved(Struct):
    approvers: list[str]
    groups: list[str]
    approved_until: _Whole


class _OfPlan(_Approved):
    digest: str
    steps: list[str]
    stages: list[_Stage] = []


class _OfCall(_Approved):
    args_digest: str
    stages: list[_Stage] = []


class _Plan(Struct):
    verdict: (
        Literal["matched", "undeclared", "exhausted", "not_ready", "mismatch", "expired"] | None
    )
    required: bool
    approval: _OfPlan | None = None


class _Environment(Struct):
    name: str
    workspace: str | None
    isolation: list[_Boundary]


class _Context(Struct):
    run: str
    call: str
    time: _Whole
    labels: list[str]
    environment: _Environment
    provenance: dict[str, _Origin]
    facts: dict[str, Any]
    detected: dict[str, list[_Finding]]
    usage: dict[str, _Budget]
    plan: _Plan | None
    approval: _OfCall | None


class _Question(Struct):
    subject: _Subject
    action: _Action
    resource: _Tool
    context: _Context


_DECODER = msgspec.json.Decoder(_Question)


def is_plainly_formed(question: bytes) -> bool:
    """Whether an input is a call of the contract's form, as far as that is plain to see.

    Args:
        question: a JSON document, written by `permissions.pdp.input_json`.
    """
    try:
        _DECODER.decode(question)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
