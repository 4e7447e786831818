"""The builtins policies may call: those that OPA and the embedded engine agree on.

Signatures are OPA's (`opa capabilities`, 1.22). What is missing here is refused by the linter:
the engine does not have it (crypto, JWT, GraphQL, ...), has another idea of it (`units.*`,
`semver.*`, `yaml.*`, ...), or it makes a decision depend on more than its input (`http.send`,
`time.now_ns`, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Signature:
    """The kinds each argument and the result may have; `any` allows all."""

    arguments: tuple[frozenset[str], ...]
    result: frozenset[str]


def _signature(text: str) -> Signature:
    before, after = text.split("->")
    kinds = [frozenset(part.split("|")) for part in (*before.split(), after.strip())]
    return Signature(tuple(kinds[:-1]), kinds[-1])


BUILTINS: Mapping[str, Signature] = {
    name: _signature(text)
    for name, text in {
        "abs": "number -> number",
        "array.concat": "array array -> array",
        "array.reverse": "array -> array",
        "array.slice": "array number number -> array",
        "base64.decode": "string -> string",
        "base64.encode": "string -> string",
        "base64url.decode": "string -> string",
        "base64url.encode": "string -> string",
        "bits.and": "number number -> number",
        "bits.lsh": "number number -> number",
        "bits.negate": "number -> number",
        "bits.or": "number number -> number",
        "bits.rsh": "number number -> number",
        "bits.xor": "number number -> number",
        "ceil": "number -> number",
        "concat": "string array|set -> string",
        "contains": "string string -> boolean",
        "count": "array|object|set|string -> number",
        "endswith": "string string -> boolean",
        "floor": "number -> number",
        "format_int": "number number -> string",
        "glob.match": "string array|null string -> boolean",
        "hex.decode": "string -> string",
        "hex.encode": "string -> string",
        "indexof": "string string -> number",
        "intersection": "set -> set",
        "is_array": "any -> boolean",
        "is_boolean": "any -> boolean",
        "is_null": "any -> boolean",
        "is_number": "any -> boolean",
        "is_object": "any -> boolean",
        "is_set": "any -> boolean",
        "is_string": "any -> boolean",
        "json.filter": "object array|set -> object",
        "json.marshal": "any -> string",
        "json.remove": "object array|set -> object",
        "json.unmarshal": "string -> any",
        "lower": "string -> string",
        "max": "array|set -> any",
        "min": "array|set -> any",
        "net.cidr_contains": "string string -> boolean",
        "net.cidr_intersects": "string string -> boolean",
        "net.cidr_is_valid": "string -> boolean",
        "numbers.range": "number number -> array",
        "object.filter": "object array|object|set -> object",
        "object.get": "object any any -> any",
        "object.keys": "object -> set",
        "object.remove": "object array|object|set -> object",
        "object.subset": "array|object|set array|object|set -> boolean",
        "object.union": "object object -> object",
        "object.union_n": "array -> object",
        "product": "array|set -> number",
        "regex.find_n": "string string number -> array",
        "regex.is_valid": "string -> boolean",
        "regex.match": "string string -> boolean",
        "regex.split": "string string -> array",
        "replace": "string string string -> string",
        "round": "number -> number",
        "sort": "array|set -> array",
        "split": "string string -> array",
        "sprintf": "string array -> string",
        "startswith": "string string -> boolean",
        "strings.any_prefix_match": "array|set|string array|set|string -> boolean",
        "strings.any_suffix_match": "array|set|string array|set|string -> boolean",
        "strings.count": "string string -> number",
        "strings.replace_n": "object string -> string",
        "strings.reverse": "string -> string",
        "substring": "string number number -> string",
        "sum": "array|set -> number",
        "time.add_date": "number number number number -> number",
        "time.clock": "array|number -> array",
        "time.date": "array|number -> array",
        "time.weekday": "array|number -> string",
        "trim": "string string -> string",
        "trim_left": "string string -> string",
        "trim_prefix": "string string -> string",
        "trim_right": "string string -> string",
        "trim_space": "string -> string",
        "trim_suffix": "string string -> string",
        "type_name": "any -> string",
        "union": "set -> set",
        "upper": "string -> string",
        "urlquery.decode": "string -> string",
        "urlquery.encode": "string -> string",
        "walk": "any -> array",
    }.items()
}
"""Signature per builtin."""
