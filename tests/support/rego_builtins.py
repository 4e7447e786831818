"""Derives `permissions/pdp/rego/builtins.json`: which builtins policies may call.

    python tests/support/rego_builtins.py [--calls 300] [--seed N] [--write]

Every builtin of the OPA on PATH (its `opa capabilities`) is called at random, by OPA and by the
embedded engine. One is allowed when the engine answered as OPA in `LEAST_EQUAL` calls or more
and never otherwise; that it refused others does not count. The file names the versions that
were compared, so another engine or another OPA means another run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rego_calls import Caller
from rego_oracle import calls_of_opa, opa_version, oracle

from permissions.pdp.rego.signatures import Signature
from permissions.pdp.regorus.builtins import BANNED, SHIMS
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rego_oracle import Oracle

TABLE = Path(__file__).parents[2] / "permissions/pdp/rego/builtins.json"
SEED = 20261129
LEAST_EQUAL = 20
WALK = "walk"
"""Compared as a relation, by policies: as a call its value is not one but many."""

MAYBE_UNDEFINED = frozenset({"max", "min"})
"""Without a value for nothing, in both; the linter asks for it before a `not`."""

REFUSED = object()


@dataclass
class Compared:
    """What became of the calls of one builtin.

    `opa_refused` are those that OPA does not even load, because of their kinds.
    """

    equal: int = 0
    refused: int = 0
    both_refused: int = 0
    opa_refused: int = 0
    differences: list[tuple[str, Any, Any]] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """All of them."""
        every = self.equal + self.refused + self.both_refused + self.opa_refused
        return every + len(self.differences)


def capabilities() -> list[dict[str, Any]]:
    """What `opa capabilities` says of each builtin."""
    text = subprocess.run(
        ["opa", "capabilities", "--current"], capture_output=True, check=True, text=True
    ).stdout
    found: list[dict[str, Any]] = json.loads(text)["builtins"]
    return found


def signatures() -> dict[str, Signature]:
    """Types of arguments and result of every builtin of OPA that a policy can call by name."""
    return {
        builtin["name"]: _signature(builtin)
        for builtin in capabilities()
        if "infix" not in builtin
        and not builtin["name"].startswith("internal.")
        and builtin["name"] not in BANNED
    }


def operators() -> dict[str, Any]:
    """Types of the operators."""
    return {
        builtin["name"]: _signature(builtin).declared
        for builtin in capabilities()
        if "infix" in builtin
    }


def _signature(builtin: Mapping[str, Any]) -> Signature:
    declared = builtin["decl"]
    return Signature.of(
        {
            "arguments": [_plain(each) for each in declared.get("args", ())],
            "result": _plain(declared.get("result", {"type": "any"})),
        }
    )


def _plain(declared: Any) -> Any:
    """A type without names and descriptions."""
    if isinstance(declared, list):
        return [_plain(each) for each in declared]
    if not isinstance(declared, dict):
        return declared
    return {
        key: _plain(value)
        for key, value in declared.items()
        if key not in ("name", "description")
    }


def embedded(call: str) -> Any:
    """The value in a list of one, empty when undefined; `REFUSED` when it fails."""
    try:
        engine = Engine({"p.rego": f"package p\n\nx := [y | y := {call}]\n"}, "{}")
        return json.loads(engine.ask("data.p.x", "{}"))
    except EngineError:
        return REFUSED


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same; integers and fractions by value, exactly."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def compare(
    server: Oracle, calls: Sequence[str], *, may_be_undefined: bool = False
) -> Compared:
    """Asks both for the same calls.

    A value that is undefined here counts as different even where OPA has none: a `not` over it
    would hold.
    """
    found = Compared()
    for call, theirs in zip(calls, calls_of_opa(server, calls), strict=True):
        ours = embedded(call)
        if ours is REFUSED:
            if theirs:
                found.refused += 1
            else:
                found.both_refused += 1
        elif equal(ours, theirs) and (theirs or may_be_undefined):
            found.equal += 1
        elif theirs is None:
            found.opa_refused += 1
        else:
            found.differences.append((call, ours, theirs))
    return found


def calls_of(
    name: str, arguments: Sequence[frozenset[str]], count: int, seed: int
) -> list[str]:
    """Random calls of one builtin."""
    caller = Caller(f"{seed} {name}")
    return [caller.call(name, arguments) for _ in range(count)]


def written(document: Mapping[str, Any], **tables: Mapping[str, Any]) -> str:
    """The table's file: a line for each builtin, so that a change is one line of a diff."""
    parts = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items()]
    for key, table in tables.items():
        rows = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in table.items()
        )
        parts.append(f" {json.dumps(key)}: {{\n{rows}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    """Compares all and prints, or writes, the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    table: dict[str, Any] = {}
    sums: Counter[str] = Counter()
    with oracle() as server:
        for name, signature in sorted(signatures().items()):
            if options.only not in (None, name) or name == WALK:
                continue
            calls = calls_of(name, signature.arguments, options.calls, options.seed)
            found = compare(server, calls, may_be_undefined=name in MAYBE_UNDEFINED)
            sums.update(
                calls=found.calls, equal=found.equal, differences=len(found.differences)
            )
            allowed = not found.differences and found.equal >= LEAST_EQUAL
            sys.stdout.write(
                f"{'+' if allowed else '-'} {name}: {found.equal} equal, {found.refused} refused,"
                f" {found.both_refused} refused by both, {found.opa_refused} by OPA, {len(found.differences)} different\n"
            )
            for call, ours, theirs in found.differences[:3]:
                sys.stdout.write(f"    {call[:150]} ours {ours!r:.90} OPA {theirs!r:.90}\n")
            if allowed:
                table[name] = {
                    **signature.declared,
                    "by": "python" if name in SHIMS else "regorus",
                    "equal": found.equal,
                    "refused": found.refused,
                }
    sys.stdout.write(f"{len(table)} builtins allowed; {dict(sums)}\n")
    document = {
        "opa": opa_version(),
        "regorus": version("gordon-to-regorus"),
        "seed": options.seed,
        "calls_per_builtin": options.calls,
    }
    if options.write:
        TABLE.write_text(written(document, builtins=table, operators=operators()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
