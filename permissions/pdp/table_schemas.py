"""The form of the tables that are shipped: `policies/schemas/<table>.json`, JSON Schema 2020-12.

The tables of the library have theirs beside them (`policies/library/<name>/schema.json`).

The policies compare the lower case of names with a table and never change the table, so an
entry in capitals, a root with a slash at its end or a misspelt member would switch a denial
off without a word. Such a table does not load. A table without a schema is the operator's own.

Not protected from: entries of the right form that are not meant (`id_rsb`).
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject, JsonValue

_FORMATS = jsonschema.FormatChecker(formats=())


@_FORMATS.checks("lower-case")
def _is_lower_case(value: object) -> bool:
    """As the policies lower names: letters beyond ASCII are what no pattern tells apart."""
    return not isinstance(value, str) or value == value.lower()


MOST_FAULTS = 20
"""Faults told of one table; the next run tells the others."""


def table_faults(
    name: str, table: JsonValue, *, library: bool = False
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a table: where in it, what, and what to do.

    `library` asks for the form of the library's table of that name, which counts only where
    that package is in force: an operator's own may have the same name.
    """
    checker = _checker(name, library=library)
    if checker is None:
        return
    faults = sorted(checker.iter_errors(table), key=lambda fault: fault.json_path)
    told: dict[tuple[str, str, str], None] = {}
    for fault in faults:
        where = fault.json_path.removeprefix("$").removeprefix(".") or "the table"
        told[(where[:200], *_said(fault))] = None  # a pattern and a format may say the same
    yield from list(told)[:MOST_FAULTS]


def _said(fault: jsonschema.ValidationError) -> tuple[str, str]:
    schema: JsonObject = fault.schema if isinstance(fault.schema, dict) else {}
    found: JsonValue = fault.instance
    if fault.validator == "additionalProperties":
        known = sorted(schema["properties"])
        unknown = sorted(set(found) - set(known))
        return f"nothing reads {_bounded(unknown)}", f"it is one of {', '.join(known)}"
    if fault.validator == "required":
        missing = sorted(set(schema["required"]) - set(found))
        return f"{', '.join(missing)} is missing", "add what the shipped table has there"
    what = f"{_bounded(found)} does not fit"
    if "description" in schema:
        return what, f"write {schema['description']}"
    return what, f"{fault.validator} is {_bounded(fault.validator_value)}"


def _bounded(value: object) -> str:
    return repr(value)[:80]


@cache
def _checker(name: str, *, library: bool) -> jsonschema.Draft202012Validator | None:
    path = schema_path(name, library=library)
    if path is None:
        return None
    schema = json.loads(path.read_text("utf-8"))
    return jsonschema.Draft202012Validator(schema, format_checker=_FORMATS)


def schema_path(name: str, *, library: bool) -> Path | None:
    """The schema of a shipped table, or of one of the library's; None where there is none."""
    if name == "input":
        return None
    policies = Path(str(resources.files("permissions") / "_policies"))
    if library:
        path = policies / "library" / name / "schema.json"
    else:
        path = policies / "schemas" / f"{name}.json"
    return path if path.is_file() else None
