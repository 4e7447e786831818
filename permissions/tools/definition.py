"""What the broker knows about one tool: its options, its schema, and how arguments meet it.

A tool is known by its definition's digest: name, schema, declarations and source text. An
approval or a plan made for one digest does not hold for another.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from permissions.errors import ArgumentsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel, TypeAdapter

    from permissions.tools.fact_kinds import FactKind
    from permissions.tools.targets import Target
    from permissions.tools.trusted_fields import TrustedFields
    from permissions.vocabulary import (
        Digest,
        Effect,
        Impact,
        Isolation,
        JsonObject,
        Trust,
        WorkspaceUse,
    )


@dataclass(frozen=True, slots=True)
class Options:
    """What the decorator was told. The defaults are the most suspicious reading."""

    name: str | None = None
    effect: Effect = "execute"
    impact: Impact = "high"
    sandbox: Isolation = "none"
    profile: str | None = None
    stateful: bool = False
    workspace: WorkspaceUse = "copy"
    control: tuple[str, ...] | None = None
    output: Trust = "untrusted"
    trusted_fields: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    idempotent: bool = False
    confirms: bool = False
    on_deny: Literal["raise", "return"] = "raise"
    requires: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None
    shell: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments that fit the tool's schema, defaults filled in.

    `values` are the coerced Python values the function gets; `document` the same as JSON;
    `defaulted` the names nobody gave.
    """

    values: dict[str, Any]
    document: JsonObject
    defaulted: frozenset[str]

    @property
    def given(self) -> JsonObject:
        """The arguments somebody gave, as JSON: what has the same `defaulted` when validated."""
        return {k: value for k, value in self.document.items() if k not in self.defaulted}


@dataclass(frozen=True)
class ToolDefinition:
    """Everything the stages need to know about one tool."""

    name: str
    description: str
    function: Callable[..., Any]
    options: Options
    model: type[BaseModel]
    schema: JsonObject
    output_adapter: TypeAdapter[Any]
    output_schema: JsonObject | None
    targets: Mapping[str, Target]
    free: frozenset[str]
    unmarked: frozenset[str]
    control: frozenset[str]
    injected: frozenset[str]
    trusted_fields: TrustedFields
    facts: tuple[FactKind, ...]
    digest: Digest

    @property
    def marks(self) -> dict[str, str]:
        """The kind of each marked argument: that of its target, or `free`."""
        kinds = {name: mark.kind for name, mark in self.targets.items()}
        return {**kinds, **dict.fromkeys(self.free, "free")}

    @property
    def effect(self) -> Effect:
        """What the tool does to the world."""
        return self.options.effect

    @property
    def impact(self) -> Impact:
        """How bad a wrong call would be."""
        return self.options.impact

    @property
    def stays_here(self) -> bool:
        """Whether no sandbox can run it: it is made of an object, and found by no import path."""
        made = getattr(self.function, "is_made_of_an_object", False)
        return bool(made) and self.isolation == "none"

    @property
    def isolation(self) -> Isolation:
        """The weakest boundary it may run behind."""
        return self.options.sandbox

    @property
    def workspace(self) -> WorkspaceUse:
        """How it meets the workspace when it runs behind a boundary."""
        return self.options.workspace

    @property
    def output(self) -> Trust:
        """Whether what it returns may be believed."""
        return self.options.output

    @cached_property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Positional and keyword arguments by name.

        Raises:
            ArgumentsError: they do not fit the signature.
        """
        try:
            return dict(inspect.signature(self.function).bind(*args, **kwargs).arguments)
        except TypeError as err:
            raise ArgumentsError([str(err)]) from err

    def validate(self, arguments: Mapping[str, Any]) -> Arguments:
        """Checks arguments with the tool's own schema and fills in defaults.

        The values are read back from the document, so that the function gets exactly what
        was decided: nothing the caller still holds, and nothing that JSON cannot show.

        Raises:
            ArgumentsError: they do not fit; unknown names are refused, injected ones too. Or
                they have no JSON form that reads back as the same.
        """
        checked = self._checked(arguments)
        shown = _document(checked)
        again = self._checked(shown)
        document = _document(again)
        if document != shown:
            raise ArgumentsError(["arguments: a value does not read back from its JSON form"])
        fields = self.model.model_fields
        return Arguments(
            values={str(field.alias): getattr(again, key) for key, field in fields.items()},
            document=document,
            defaulted=frozenset(
                str(field.alias)
                for key, field in fields.items()
                if key not in checked.model_fields_set
            ),
        )

    def _checked(self, arguments: Mapping[str, Any]) -> BaseModel:
        from pydantic import ValidationError

        if not isinstance(arguments, Mapping):
            raise ArgumentsError(["arguments: not an object of names and values"])
        try:
            return self.model.model_validate(dict(arguments))
        except ValidationError as err:
            raise ArgumentsError(
                [
                    f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
                    for fault in err.errors(include_url=False, include_input=False)
                ]
            ) from err


def _document(checked: BaseModel) -> JsonObject:
    try:
        return checked.model_dump(mode="json", by_alias=True, warnings=False)
    except (ValueError, TypeError, RecursionError) as err:
        raise ArgumentsError(
            [f"arguments: a value has no JSON form ({type(err).__name__})"]
        ) from err
