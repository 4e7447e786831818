"""Makes `api_activity.json`, a JSON Schema of one OCSF class, out of a checkout of the schema.

`python tests/vectors/ocsf/make.py CHECKOUT` (github.com/ocsf/ocsf-schema). Names, types, numbers
and what is required are taken over; descriptions are not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
USED = {
    "actor", "api", "endpoint", "network_endpoint", "metadata", "product", "user", "request",
    "service",
}  # fmt: skip
TYPES = {
    "boolean_t": "boolean", "integer_t": "integer", "long_t": "integer", "port_t": "integer",
    "timestamp_t": "integer", "float_t": "number", "json_t": None,
}  # fmt: skip


class Schema:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.dictionary = self.read("dictionary.json")["attributes"]

    def read(self, name: str) -> Any:
        return json.loads((self.root / name).read_text())

    def attributes(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The attributes of a class or object with those it inherits, and its constraints."""
        found = self.read(name)
        inherited: dict[str, Any] = {}
        constraints = found.get("constraints", {})
        if base := found.get("extends"):
            inherited, above = self.attributes(self.path(base, name))
            constraints = {**above, **constraints}
        own = dict(found.get("attributes", {}))
        for include in own.pop("$include", []):
            for key, value in self.read(include).get("attributes", {}).items():
                inherited.setdefault(key, {**value, "requirement": "optional"})
        for key, value in own.items():
            enum = {**inherited.get(key, {}).get("enum", {}), **value.get("enum", {})}
            inherited[key] = {**inherited.get(key, {}), **value}
            if enum:
                inherited[key]["enum"] = enum
        return inherited, constraints

    def path(self, name: str, near: str) -> str:
        kinds = ["objects"] if near.startswith("objects") else ["events"]
        for kind in kinds:
            for path in (self.root / kind).rglob(f"{name}.json"):
                return str(path.relative_to(self.root))
        raise LookupError(name)

    def compiled(self, name: str) -> dict[str, Any]:
        found, constraints = self.attributes(name)
        made: dict[str, Any] = {
            "type": "object",
            "properties": {key: self.value(key, found[key]) for key in sorted(found)},
            "required": sorted(
                k for k, v in found.items() if v.get("requirement") == "required"
            ),
            "additionalProperties": False,
        }
        if least := constraints.get("at_least_one"):
            made["anyOf"] = [{"required": [each]} for each in least]
        return made

    def value(self, name: str, said: dict[str, Any]) -> dict[str, Any]:
        known = self.dictionary[name]
        kind = known["type"]
        if kind.endswith("_t"):
            of = TYPES.get(kind, "string")
            one: dict[str, Any] = {} if of is None else {"type": of}
            enum = {**known.get("enum", {}), **said.get("enum", {})}
            if of == "integer" and enum:
                one["enum"] = sorted(int(each) for each in enum)
        elif kind in USED:
            one = {"$ref": f"#/$defs/{kind}"}
        else:
            one = {"type": "object"}
        return {"type": "array", "items": one} if known.get("is_array") else one


def main(root: Path) -> None:
    schema = Schema(root)
    category = schema.read("categories.json")["attributes"]["application"]["uid"]
    event = schema.compiled("events/application/api_activity.json")
    number = category * 1000 + schema.read("events/application/api_activity.json")["uid"]
    numbers = event["properties"]  # those that the schema's own compiler computes
    numbers["category_uid"]["enum"], numbers["class_uid"]["enum"] = [category], [number]
    activities = numbers["activity_id"]["enum"]
    numbers["type_uid"]["enum"] = [number * 100 + each for each in activities]
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"OCSF {schema.read('version.json')['version']}, API Activity",
        **event,
        "$defs": {each: schema.compiled(f"objects/{each}.json") for each in sorted(USED)},
    }
    (HERE / "api_activity.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
