"""Random policies made of what the linter may admit, and arguments for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from permissions.model import JsonObject

LINES = [
    *(
        f"args.{name} {operator} {value}"
        for name in "abn"
        for operator in ("<", ">", "==", "!=")
        for value in ("1", '"a"', "args.b")
    ),
    'startswith(args.s, "a")',
    "contains(args.t, args.s)",
    "args.s in args.list",
    "some {x} in args.list; {x} == args.s",
    'some {x}, {y} in args.o; {y} == 1; {x} != "z"',
    "every {x} in args.list {{ {x} != args.b }}",
    "every {x}, {y} in args.o {{ {y} != {x} }}",
    "args.o[args.s] == 1",
    "{x} := args.o[args.s]; {x} > 0",
    "args.list[_] == args.a",
    "args.list[{x}] == args.a; {x} > 0",
    "count(args.list) > 1",
    "count(args.s) == 1",
    "count(args.o) != 1",
    "sum(args.nums) > 2",
    "max(args.nums) < 5",
    "{x} := max(args.nums); not {x} < 2",
    "{x} := [{y} | some {y} in args.list; {y} != 1]; count({x}) > 0",
    "{x} := {{{y} | some {y} in args.list}}; args.s in {x}",
    "{x} := {{{y}: 1 | some {y}, _ in args.o}}; {x}.a == 1",
    "not args.a",
    "not args.a == 1",
    "not args.o.a",
    "{x} := args.n; not {x} < 2",
    "{x} := args.s; not {x} in args2",
    "{x} := args.list; not args2 == {x}",
    "not startswith(args.s, args.t)",
    "not startswith(_s, _t)",
    "not lower(_s) == _t",
    "not _n + 1 > 2",
    'not "a" in _list',
    "not count(_list) == 1",
    "not {{args.a}} == {{1}}",
    "not f(args.s)",
    "not f(_s)",
    "not some_word",
    "not startswith(constant, _s)",
    "not startswith(constant, constant)",
    'not constant in {{"a", "b"}}',
    '{x} := object.get(args, "zz", 3); {x} > args.n',
    '{x} := object.get(args, ["o", "a"], 0); {x} == 1',
    "helper",
    "not helper",
    'f("a")',
    "f(args.t)",
    "{x} := g(args.n); {x} > 1",
    "g(args.n, {x}); {x} > 1",
    "tern == 1",
    "tern != 2",
    "is_null(args.a)",
    "is_string(args.s)",
    "lower(args.s) == args.t",
    "upper(args.t) != args.s",
    'trim(args.s, "a") == ""',
    'split(args.s, "a")[0] == ""',
    'split(args.s, "a", {x}); count({x}) == 2',
    'concat("-", args.strs) == "a-b"',
    'regex.match("^a", args.s)',
    'glob.match("a*", [], args.s)',
    "{x} := union({{{{1}}, {{args.a}}}}); count({x}) == 2",
    'type_name(args.a) == "number"',
    "args.a + args.n > 2",
    "args.a + args.n == 0.3",
    "args.a - args.n < 0.5",
    "args.a / args.n > 0.4",
    "args.a * 2 == args.n",
    "args.n % 2 == 0",
    "-args.n < 0",
    "abs(args.n) == 1",
    'json.marshal(args.list) == "[1]"',
    "args.list == [1]",
    'args.o == {{"a": 1}}',
    "{{1, args.a}} == {{1}}",
    '"a" in object.keys(args.o)',
    "sort(args.list)[0] == 1",
    'array.concat(args.list, [1])[0] == "a"',
    'object.union(args.o, {{"b": 2}}).b == 2',
    'startswith(concat("/", ["", args.s]), "/a")',
    "walk(args.o, [{x}, {y}]); {y} == 1; count({x}) == 1",
    "[_, {x}] := walk(args); {x} == 1",
    "[{x}, {y}] = walk(args.o); {y} == 1; count({x}) == 1",
    "not walk(args.o, [_, 1])",
    '{x} := sprintf("%s-%d", [args.s, 1]); {x} == "a-1"',
    'strings.replace_n({{"a": "b", "b": "a"}}, args.s) == "b"',
    'some {{"a": {x}}} in [args.o]; {x} == 1',
    '{{"a": {x}}} = args.o; {x} == 1',
    '"a", 1 in args.o',
    "args.s, args.s in args2",
    'json.filter(args, ["/o/a"]) == {{"o": {{"a": 1}}}}',
]


def random_policy(rng: random.Random, package: str, lines: Sequence[str] = LINES) -> str:
    """One module of rules over a few arguments, whose bodies are made of these lines."""

    def body() -> str:
        chosen = rng.sample(lines, min(rng.randrange(1, 5), len(lines)))
        return "\n\t".join(line.format(x=f"x{n}", y=f"y{n}") for n, line in enumerate(chosen))

    return f"""package {package}

import input.resource.properties.args

default response := {{"decision": false}}

response := {{"decision": true, "hits": hits, "o": obj}} if {{
	{body()}
}} else := {{"decision": "else"}} if {{
	{body()}
}}

hits contains 1 if {{
	{body()}
}}

hits contains args.s if {{
	{body()}
}}

obj[k] := v if {{
	some k, v in args.o
	{body()}
}}

args2 contains x if some x in args.list

_s := args.s

_t := {rng.choice(["args.t", "lower(args.t)", "[x | x := args.t][0]", '"a"'])}

_n := args.n

_list := args.list

constant := "ab"

some_word := args.s if args.a

helper if args.{rng.choice("abnst")} == {rng.choice(["1", '"a"'])}

f(x) if x == args.{rng.choice("st")}

g(x) := x + 1 if x > 0
else := 2

default tern := 0

tern := 1 if args.a == 1
"""


_SCALARS: list[Any] = ["a", "b", "Aa", "é", "🎉", "", 1, 2, 0, -1, 1.5, 0.1, 0.2, None, True]


def random_arguments(rng: random.Random) -> JsonObject:
    """Arguments that such a policy reads, some of them missing."""
    found: JsonObject = {
        name: rng.choice(_SCALARS) for name in rng.sample("abnst", rng.randrange(1, 6))
    }
    if rng.random() < 0.8:
        found["list"] = [rng.choice(_SCALARS) for _ in range(rng.randrange(4))]
    if rng.random() < 0.8:
        found["o"] = {rng.choice("abz"): rng.choice(_SCALARS) for _ in range(rng.randrange(3))}
    if rng.random() < 0.6:
        found["nums"] = [rng.choice([0, 1, 2, -1, 1.5]) for _ in range(rng.randrange(4))]
    if rng.random() < 0.6:
        found["strs"] = [rng.choice("ab") for _ in range(rng.randrange(3))]
    return found
