"""A tool as an MCP server offers it, and what differs from what was approved. Pure.

Source: Model Context Protocol, revisions 2025-11-25 and 2026-07-28, "Tools".
"""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from permissions.errors import ToolDefinitionError
from permissions.signing.canonical import digest_of

if TYPE_CHECKING:
    from mcp.types import Tool

    from permissions.vocabulary import Digest, JsonObject

MAX_DEFINITION = 64 * 1024
"""Bytes of one tool's definition; a model reads it with every turn."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool's definition, whole: each word of it reaches a model.

    Attributes:
        annotations: hints of the server about itself; they may raise a risk, never lower it.
    """

    name: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    annotations: JsonObject

    @classmethod
    def of(cls, tool: Tool) -> Offered:
        """As the protocol's client read it."""
        hints = (
            {} if tool.annotations is None else tool.annotations.model_dump(exclude_none=True)
        )
        said = [each for each in (tool.title, tool.description) if each]
        return cls(
            tool.name,
            "\n\n".join(said),
            tool.input_schema,
            tool.output_schema,
            hints,
        )

    @classmethod
    def read(cls, document: JsonObject) -> Offered:
        """From `document`.

        Raises:
            ToolDefinitionError: it is none.
        """
        try:
            return cls(**document)
        except TypeError as err:
            raise ToolDefinitionError(f"this is no tool's definition: {err}") from err

    @property
    def document(self) -> JsonObject:
        """As JSON."""
        return asdict(self)

    @property
    def digest(self) -> Digest:
        """What an approval is bound to.

        Raises:
            ToolDefinitionError: it has no canonical form, or is longer than a model should read.
        """
        try:
            if len(json.dumps(self.document)) > MAX_DEFINITION:
                raise ToolDefinitionError(
                    f"the definition of {self.name[:80]!r} takes over {MAX_DEFINITION} bytes"
                )
            return digest_of(self.document)
        except (ValueError, RecursionError) as err:
            raise ToolDefinitionError(
                f"the definition of {self.name[:80]!r} has no canonical form ({err})"
            ) from err

    @property
    def claims_writes(self) -> bool:
        """The server says itself that this does not only read."""
        return self.annotations.get("read_only_hint") is False

    @property
    def claims_destruction(self) -> bool:
        """The server says itself that this may destroy."""
        return self.annotations.get("destructive_hint") is True


def difference(approved: Offered, now: Offered) -> str:
    """What changed, as a unified diff of both definitions; empty when nothing did."""
    before, after = (
        json.dumps(each.document, indent=2, sort_keys=True, ensure_ascii=True).splitlines()
        for each in (approved, now)
    )
    return "\n".join(
        difflib.unified_diff(before, after, "approved", "offered now", lineterm="")
    )
