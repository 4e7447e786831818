"""An OpenAPI document: read from a file, with what its parts refer to in their place.

Versions 3.0 and 3.1. A reference out of the document is refused, and so is a schema that
contains itself: what a call may carry has to be here, whole.

Source: OpenAPI Specification 3.0.4 and 3.1.1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from permissions.errors import ToolDefinitionError

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue

MAX_BYTES = 8 * 1024 * 1024
MAX_PARTS = 20_000
"""Of one operation, with what it refers to in its place: a small file can unfold into a large one."""
MAX_DEPTH = 64
_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://spec.openapis.org/oas/3.1/dialect/base",
)
_NOTES = frozenset({"discriminator", "example", "externalDocs", "xml"})
"""What says nothing of which values are valid."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document that can be read.

    Attributes:
        name: of the file, for errors.
        root: the whole of it.
        is_3_0: whether its schemas are of the older dialect.
    """

    name: str
    root: JsonObject
    is_3_0: bool

    @classmethod
    def read(cls, file: Path) -> Document:
        """From a file of JSON or YAML.

        Raises:
            ToolDefinitionError: it cannot be read, or is no document of a version known here.
        """
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except OSError as err:
            raise ToolDefinitionError(f"{file}: {err.strerror}") from err
        if len(data) > MAX_BYTES:
            raise ToolDefinitionError(f"{file}: over {MAX_BYTES} bytes")
        try:
            found = json.loads(data) if file.suffix == ".json" else _yaml(data)
        except (ValueError, RecursionError) as err:
            said = str(err).partition("\n")[0][:200]
            raise ToolDefinitionError(f"{file}: is not to be read ({said})") from err
        return cls.of(found, file.name)

    @classmethod
    def of(cls, root: Any, name: str = "the document") -> Document:
        """From what was read.

        Raises:
            ToolDefinitionError: as `read`.
        """
        version = root.get("openapi") if isinstance(root, dict) else None
        if not isinstance(version, str) or version.rpartition(".")[0] not in {"3.0", "3.1"}:
            older = isinstance(root, dict) and "swagger" in root
            said = "Swagger 2; convert it first" if older else "of no version known here"
            raise ToolDefinitionError(f"{name}: is {said} (openapi: 3.0.x or 3.1.x)")
        dialect = root.get("jsonSchemaDialect", _DIALECTS[0])
        if dialect not in _DIALECTS:
            raise ToolDefinitionError(f"{name}: jsonSchemaDialect {dialect!r:.80} is not known")
        return cls(name, root, version.startswith("3.0"))

    def part(self, node: JsonValue, where: str) -> Any:
        """A part of the document with what it refers to in its place.

        Raises:
            ToolDefinitionError: it refers out of the document, to nothing, or to itself.
        """
        return _Unfolding(self, where).of(node, frozenset(), 0)

    def schema(self, node: JsonValue, where: str) -> JsonObject:
        """A schema, as JSON Schema of draft 2020-12 has it; raises as `part`."""
        whole = self.part(node, where)
        if whole is True:
            return {}
        if not isinstance(whole, dict):
            raise ToolDefinitionError(f"{self.name}: {where}: the schema is no object")
        made = self._plain(whole, where)
        return made if isinstance(made, dict) else {}

    def _plain(self, node: JsonValue, where: str) -> JsonValue:
        if isinstance(node, list):
            return [self._plain(each, where) for each in node]
        if not isinstance(node, dict):
            return node
        if odd := sorted(node.keys() & {"$id", "$dynamicRef", "$recursiveRef"}):
            raise ToolDefinitionError(
                f"{self.name}: {where}: {odd[0]} in a schema is not understood"
            )
        made: JsonObject = {}
        for key, value in node.items():
            if key in ("properties", "patternProperties", "$defs") and isinstance(value, dict):
                made[key] = {name: self._plain(each, where) for name, each in value.items()}
            elif key in ("enum", "const", "default", "examples"):
                made[key] = value
            elif key not in _NOTES:
                made[key] = self._plain(value, where)
        return _of_3_0(made) if self.is_3_0 else made


def _of_3_0(schema: JsonObject) -> JsonObject:
    """`nullable` and exclusive limits in the words of draft 2020-12."""
    nullable = schema.pop("nullable", False)
    if nullable is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    for exclusive, limit in (
        ("exclusiveMinimum", "minimum"),
        ("exclusiveMaximum", "maximum"),
    ):
        if (
            isinstance(schema.get(exclusive), bool)
            and schema.pop(exclusive)
            and limit in schema
        ):
            schema[exclusive] = schema.pop(limit)
    return schema


class _Unfolding:
    """References followed, and how much came of it."""

    def __init__(self, document: Document, where: str) -> None:
        self._document = document
        self._where = where
        self._parts = 0

    def of(self, node: JsonValue, above: frozenset[str], depth: int) -> JsonValue:
        self._parts += 1
        if self._parts > MAX_PARTS or depth > MAX_DEPTH:
            raise self._fault(f"takes over {MAX_PARTS} parts, or is nested too deep")
        if isinstance(node, list):
            return [self.of(each, above, depth + 1) for each in node]
        if isinstance(node, date):  # as YAML reads `2026-11-30`, which JSON has as a text
            return node.isoformat()
        if not isinstance(node, dict):
            return node
        target = node.get("$ref")
        if not isinstance(target, str):
            return {key: self.of(each, above, depth + 1) for key, each in node.items()}
        if target in above:
            raise self._fault(f"{target[:120]} contains itself")
        whole = self.of(self._found(target), above | {target}, depth + 1)
        beside = {key: each for key, each in node.items() if key != "$ref"}
        beside = beside if not self._document.is_3_0 else {}  # as 3.0 says
        beside.pop("description", None)
        beside.pop("summary", None)
        if not beside:
            return whole
        return {
            "allOf": [whole],
            **{k: self.of(v, above, depth + 1) for k, v in beside.items()},
        }

    def _found(self, target: str) -> JsonValue:
        if not target.startswith("#/"):
            raise self._fault(
                f"refers to {target[:120]!r}, which is outside of this document; make one"
                " document of both first (as `redocly bundle` does)"
            )
        node: Any = self._document.root
        for step in target[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                raise self._fault(f"refers to {target[:120]!r}, which is not there")
            node = node[name]
        return node

    def _fault(self, said: str) -> ToolDefinitionError:
        return ToolDefinitionError(f"{self._document.name}: {self._where}: {said}")


def _yaml(data: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as err:
        raise ValueError(str(err)) from err
