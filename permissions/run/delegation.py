"""What a sub-agent was given: a part of what the one who sent it may do. Pure.

A delegation names tools, how their arguments are bounded, budgets and a time. It never widens
anything: policies, plans and approvals decide each call of a sub-agent as they decide any other,
and every delegation of the chain has to cover it.

Not protected from: what a sub-agent tells the one who sent it. Its outputs and labels count as
the run's own, but words that it returns are words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from permissions.errors import DelegationError
from permissions.plan.schemas import broken_keyword, require_closed
from permissions.signing.canonical import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.model import Digest, JsonObject

MAX_DEPTH: Final = 8
"""Sub-agents of sub-agents; deeper than that a chain is a loop."""
MAX_SECONDS: Final = 30 * 24 * 3600
"""Longest time a delegation may last."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class DelegatedTool(_Part):
    """What a sub-agent may do with one tool.

    Attributes:
        arguments: per argument, the JSON Schema that its value has to fit, in the keywords of a
            plan's holes. An argument named here has to be given.
        use: whether it may call the tool itself.
        delegate: whether it may give the tool, so bounded, to a sub-agent of its own.
    """

    arguments: dict[str, dict[str, Any]] = Field(default_factory=dict)
    use: bool = True
    delegate: bool = False

    @field_validator("arguments")
    @classmethod
    def _closed(cls, schemas: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for schema in schemas.values():
            require_closed(schema)
        return schemas


class Delegation(_Part):
    """What a sub-agent may do, at most.

    Attributes:
        tools: by name; a tool that is not named is denied.
        budgets: limits by name, as of a session; what the sub-agent uses is taken from those who
            sent it, too.
        seconds: how long it holds; never longer than the one it comes from.
    """

    tools: dict[str, DelegatedTool] = Field(min_length=1)
    budgets: dict[str, Annotated[int, Field(ge=0, le=2**53 - 1)]] = Field(default_factory=dict)
    seconds: int | None = Field(default=None, ge=1, le=MAX_SECONDS)

    @property
    def payload(self) -> bytes:
        """RFC 8785 bytes, as the trace keeps them."""
        return canonical(self.model_dump(mode="json"))

    @property
    def digest(self) -> Digest:
        """Names it by its content."""
        return digest(self.payload)

    def names(self, *, delegable: bool = False) -> list[str]:
        """Tools that may be used, or those that may be given on."""
        return sorted(
            name
            for name, part in self.tools.items()
            if (part.delegate if delegable else part.use)
        )

    def excess(self, tool: str, arguments: JsonObject, *, use: bool) -> str | None:
        """Why a call is not covered, without any value of it; None when it is.

        Args:
            tool: its name.
            arguments: the effective ones, defaults filled in.
            use: whether the holder calls the tool, or somebody does to whom it was given on.
        """
        part = self.tools.get(tool)
        if part is None or not (part.use if use else part.delegate):
            return "the tool was not given" if use else "the tool was not given on"
        for name, schema in part.arguments.items():
            if name not in arguments:
                return f"argument {name} has to be given"
            if (keyword := broken_keyword(schema, arguments[name])) is not None:
                return f"argument {name} breaks its bound ({keyword})"
        return None

    def widens(
        self, held: Delegation | None, limits: Mapping[str, int | None]
    ) -> Iterator[str]:
        """What it gives that its giver does not have.

        Bounds of arguments are not compared: at each call those of every giver hold, too.

        Args:
            held: the giver's own delegation; None for one who was sent by nobody.
            limits: the giver's budgets.
        """
        if held is not None:
            for name in sorted(self.tools.keys() - {*held.names(delegable=True)}):
                yield f"tool {name[:80]!r} may not be given on"
        for name, limit in self.budgets.items():
            most = limits.get(name)
            if most is not None and limit > most:
                yield f"budget {name[:80]!r} is {limit}, and its giver has {most}"


def delegation_from(document: Mapping[str, Any]) -> Delegation:
    """A delegation from its JSON form.

    `tools` may be a list of names, for tools without bounds.

    Raises:
        DelegationError: says where it is not of the form.
    """
    tools = document.get("tools")
    if isinstance(tools, list):
        document = {**document, "tools": {str(name): {} for name in tools}}
    try:
        return Delegation.model_validate(document)
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"])) or "the top"
        raise DelegationError(f"delegation: {where[:120]}: {first['msg']}") from err


def parse_delegation(payload: bytes) -> Delegation:
    """A delegation as the trace keeps it.

    Raises:
        DelegationError: it is not of the form.
    """
    import json

    try:
        document = json.loads(payload)
    except ValueError as err:
        raise DelegationError("delegation: is no JSON") from err
    if not isinstance(document, dict):
        raise DelegationError("delegation: is no object")
    return delegation_from(cast("dict[str, Any]", document))
