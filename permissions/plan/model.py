"""A plan: the calls an agent declares before it reads untrusted content.

A plan is one JSON object. Its steps form a directed graph through `needs`; each argument of
a step is one of four forms, told apart by their first key:

    {"literal": "march.pdf"}                     chosen by the planner, pinned
    {"user": "DE02120300000000202051"}           said by the person, pinned
    {"step": "read", "pointer": "/total"}        a field (RFC 6901) of what a needed step gave,
                                                 any of them, or one chosen among records
    {"hole": {"type": "string", "maxLength": 200}, "kind": "free_text"}
                                                 open until the call, within a schema

The digest is taken over the RFC 8785 bytes of the plan with every default filled in: it
follows what a plan means, not how it was spelt. A signed plan is a DSSE envelope around
`Plan.payload()` with `PAYLOAD_TYPE`, made by whoever answers for it.

A plan does not say that its steps are wise. It fixes what was declared, so that it can be
verified (`verifier`), decided, approved once, and held to (`cursor`).
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from permissions.errors import PlanError, SigningError
from permissions.model import JsonObject, JsonValue  # noqa: TC001 - pydantic reads them
from permissions.plan.pointers import tokens_of
from permissions.plan.schemas import require_closed
from permissions.signing.canonical import MAX_INTEGER, canonical, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import Digest, Effect, Impact
    from permissions.tools.trusted_fields import TrustedFields

PAYLOAD_TYPE = "application/vnd.wardline.plan+json"
"""The DSSE `payloadType` of a signed plan."""

MAX_PLAN_BYTES = 256 * 1024
MAX_STEPS = 200
MAX_ARGUMENTS = 64
MAX_USES = 1000

Source = Literal["user", "plan", "tool", "untrusted", "default", "unknown"]
"""Where a hole's value may come from: `tool` is a vouched output, `untrusted` any other
output, `unknown` whatever the agent composed."""

_TRUSTED: tuple[Source, ...] = ("user", "plan", "tool", "default")
_ANYWHERE: tuple[Source, ...] = (*_TRUSTED, "untrusted", "unknown")

StepId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
ToolName = Annotated[str, Field(min_length=1, max_length=200)]
Principal = Annotated[str, Field(pattern=r"^(user|agent|service):.{1,200}$")]


class PlannedTool(Protocol):
    """What a plan has to know of a tool."""

    @property
    def name(self) -> str:
        """The name it is called by."""
        ...

    @property
    def effect(self) -> Effect:
        """What a call does to the world."""
        ...

    @property
    def impact(self) -> Impact:
        """How bad a wrong call is."""
        ...

    @property
    def output(self) -> Literal["trusted", "untrusted"]:
        """Whether its results may be believed."""
        ...

    @property
    def trusted_fields(self) -> TrustedFields:
        """Fields of any output that the tool's service fills in."""
        ...

    @property
    def control(self) -> frozenset[str]:
        """Arguments that say where an effect goes: recipient, URL, path, amount."""
        ...

    @property
    def schema(self) -> JsonObject:
        """JSON Schema of the arguments object."""
        ...

    @property
    def output_schema(self) -> JsonObject | None:
        """JSON Schema of the result, when there is one."""
        ...

    @property
    def digest(self) -> Digest:
        """Digest of the definition."""
        ...


class _Form(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class LiteralValue(_Form):
    """A value the planner chose. The call must have exactly it."""

    literal: JsonValue


class UserValue(_Form):
    """A value the person said. The call must have exactly it."""

    user: JsonValue


Pointer = Annotated[str, Field(max_length=500, pattern=r"^(/([^~/]|~[01])*)*$")]
Selector = Literal["first", "only", "max", "min", "count", "sum"]


class Reference(_Form):
    """A value out of what an earlier step returned. The call must have exactly it.

    It is the field at `pointer`; or, with `any`, any one field that the tool vouches for; or,
    with `select`, a choice among the records of the list at `records` that hold what `where`
    says: the `first` or `only` one, that with the `max` or `min` of the member `by`, of which
    `pointer` is a member, their `count`, or the `sum` of that member.

    `extract` is the declared extractor: a narrow schema the value must fit as well. Only
    with it may a field of an untrusted output reach a control argument.
    """

    step: StepId
    pointer: Pointer = ""
    any: bool = False
    select: Selector | None = None
    records: Pointer = ""
    by: Pointer | None = None
    where: dict[Pointer, str | int | float | bool] = Field(default_factory=dict, max_length=8)
    extract: JsonObject | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Reference:
        if self.any and (self.pointer or self.select is not None):
            raise ValueError("any field is meant, or one at a pointer, or a choice; not both")
        if self.select is None and (self.records or self.by is not None or self.where):
            raise ValueError("records, by and where belong to a choice; add select")
        if (self.select in ("max", "min")) != (self.by is not None):
            raise ValueError("max and min say by which member, and nothing else does")
        if self.select == "sum" and not self.pointer:
            raise ValueError("sum says of which member; add its pointer")
        if self.select == "count" and self.pointer:
            raise ValueError("count is of records and has no pointer")
        return self

    @property
    def key(self) -> str:
        """What tells it apart from other references into the same step."""
        if not self.any and self.select is None:
            return self.pointer
        return canonical(self.model_dump(mode="json", exclude={"extract"})).decode()

    @property
    def read_paths(self) -> tuple[tuple[str, ...], ...]:
        """Paths to every field that has a say in the value; of a record, of the first one."""
        if self.select is None:
            return (self.tokens,)
        into = (*tokens_of(self.records), "0")
        members = [*self.where, *([] if self.by is None else [self.by])]
        members += [] if self.select == "count" else [self.pointer]
        return tuple((*into, *tokens_of(each)) for each in members)

    @field_validator("extract")
    @classmethod
    def _closed(cls, schema: JsonObject | None) -> JsonObject | None:
        if schema is not None:
            require_closed(schema)
        return schema

    @property
    def tokens(self) -> tuple[str, ...]:
        """The pointer's reference tokens, unescaped (RFC 6901 section 4)."""
        return tokens_of(self.pointer)


class Hole(_Form):
    """A value left open until the call, within a schema and from allowed sources.

    `hole` is a JSON Schema of a closed keyword set; `pattern` is RE2 and must match the whole
    string. Sources default to everything for free text and to trusted origins for control.
    """

    hole: JsonObject
    kind: Literal["free_text", "control"] = "control"
    sources: tuple[Source, ...] = Field(
        default_factory=lambda data: _ANYWHERE if data.get("kind") == "free_text" else _TRUSTED,
        min_length=1,
        strict=False,
    )

    @field_validator("hole")
    @classmethod
    def _closed(cls, schema: JsonObject) -> JsonObject:
        require_closed(schema)
        return schema

    @property
    def admits_untrusted(self) -> bool:
        """Whether untrusted content may fill it, directly or through the agent."""
        return "untrusted" in self.sources or "unknown" in self.sources


_FORM_KEYS = ("literal", "user", "step", "hole")


def _form(value: Any) -> str | None:
    if not isinstance(value, dict):
        return _FORM_OF.get(type(value))
    keys = [key for key in _FORM_KEYS if key in value]
    return keys[0] if len(keys) == 1 else None


_FORM_OF: dict[type, str] = {
    LiteralValue: "literal",
    UserValue: "user",
    Reference: "step",
    Hole: "hole",
}

Argument = Annotated[
    Annotated[LiteralValue, Tag("literal")]
    | Annotated[UserValue, Tag("user")]
    | Annotated[Reference, Tag("step")]
    | Annotated[Hole, Tag("hole")],
    Discriminator(
        _form,
        custom_error_type="argument_form",
        custom_error_message="an argument has exactly one of the keys literal, user, step, hole",
    ),
]


class PlanStep(_Form):
    """One declared call, allowed `uses` times once each step in `needs` has succeeded once."""

    id: StepId
    tool: ToolName
    tool_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    uses: int = Field(default=1, ge=1, le=MAX_USES)
    needs: tuple[StepId, ...] = Field(default=(), max_length=MAX_STEPS, strict=False)
    arguments: dict[Annotated[str, Field(max_length=200)], Argument] = Field(
        default_factory=dict, max_length=MAX_ARGUMENTS
    )


class PlanBudget(_Form):
    """What the whole plan may cost. `calls` counts planned uses and reads in the scope."""

    calls: int = Field(ge=1, le=1_000_000)


class Plan(_Form):
    """What an agent declares it will do, for whom, at most how often, and until when.

    `expires_at` is in microseconds since 1970-01-01 UTC. `read_scope` names read tools that
    may be called beside the steps, as far as the budget leaves calls over.
    """

    id: StepId
    goal: str = Field(max_length=2000)
    subject: Principal
    on_behalf_of: Principal | None = None
    steps: tuple[PlanStep, ...] = Field(min_length=1, max_length=MAX_STEPS, strict=False)
    budget: PlanBudget
    expires_at: int = Field(ge=0, le=MAX_INTEGER)
    read_scope: tuple[ToolName, ...] = Field(default=(), max_length=MAX_STEPS, strict=False)

    @model_validator(mode="after")
    def _has_canonical_form(self) -> Plan:
        try:
            size = len(self.payload())
        except SigningError as err:
            raise ValueError(str(err)) from err
        if size > MAX_PLAN_BYTES:
            raise ValueError(f"the plan has {size} bytes; at most {MAX_PLAN_BYTES} are read")
        return self

    def document(self) -> JsonObject:
        """The plan as JSON, every default filled in."""
        return self.model_dump(mode="json")

    def payload(self) -> bytes:
        """The bytes to sign: RFC 8785 of `document()`."""
        return canonical(self.document())

    @cached_property
    def digest(self) -> Digest:
        """Names the plan by its content."""
        return digest(self.payload())

    def pinned_values(self) -> Iterator[JsonValue]:
        """Every literal and user value, for the provenance ledger."""
        for step in self.steps:
            for argument in step.arguments.values():
                if isinstance(argument, LiteralValue):
                    yield argument.literal
                elif isinstance(argument, UserValue):
                    yield argument.user


def parse_plan(text: str | bytes) -> Plan:
    """Reads a plan from strict JSON: no duplicate keys, no NaN, no unknown members.

    Raises:
        PlanError: says where and what is wrong, never the value given.
    """
    if len(text) > MAX_PLAN_BYTES:
        raise PlanError(f"the plan is longer than {MAX_PLAN_BYTES} bytes; split the work")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise PlanError(f"the plan is not strict JSON: {_bounded(err)}") from err
    return plan_from(value)


def plan_from(value: JsonValue) -> Plan:
    """Reads a plan from parsed JSON.

    Raises:
        PlanError: as `parse_plan`.
    """
    try:
        return Plan.model_validate(value)
    except ValidationError as err:
        problems = err.errors(include_url=False, include_input=False)
        said = "; ".join(f"{_where(p['loc'])}: {p['msg']}" for p in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise PlanError(f"not a plan: {said}{more}") from err


def plan_schema() -> JsonObject:
    """The JSON Schema of a plan, to hand to a model or an editor."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Plan.model_json_schema(),
    }


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _no_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _where(location: tuple[int | str, ...]) -> str:
    return _SHOWN.sub("?", "/".join(map(str, location)))[:200] or "plan"


def _bounded(err: BaseException) -> str:
    return str(err)[:200]


_SHOWN = re.compile(r"[^\x20-\x7e]")
