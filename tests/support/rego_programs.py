"""Random policies of typed expressions: every kind of rule, line and value that Rego has.

What comes out is mostly sound, and its answer holds the values it computed, so that a difference
deep inside one is seen. Arguments mostly have the kind that is expected of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from permissions.model import JsonObject

LIB = """package wardline.lib

double(x) := x * 2

grade(x) := "high" if x > 5

grade(x) := "low" if x <= 5

first([x]) := x

first([x, _]) := x

first([]) := "none"

default size(_) := -1

size(x) := count(x) if not is_number(x)

pick(x, "a") := x

pick(_, "b") := "b"

sign(x) := 1 if x > 0
else := 0 if x == 0
else := -1

names contains "a"

names contains x if {
	some x in input.resource.properties.args.strs
}

ages[name] := age if {
	some name, age in input.resource.properties.args.o
}

tree[x].seen contains y if {
	some x, y in input.resource.properties.args.o
}

deep.er.value := input.resource.properties.args.n

limits := {"low": 1, "high": 10}

default flag := false

flag if input.resource.properties.args.n > 1

up := lower(input.resource.properties.args.s)
"""
"""What the random module reads through imports and aliases."""


class Writer:
    """Writes expressions of a kind; `names` are locals that hold a value of it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count = 0
        self._names: dict[str, list[str]] = {}

    def fresh(self, kind: str = "") -> str:
        """A new local, known as one of a kind."""
        self._count += 1
        name = f"v{self._count}"
        if kind:
            self._names.setdefault(kind, []).append(name)
        return name

    def hidden(self) -> dict[str, list[str]]:
        """The locals that are known here."""
        return {kind: list(names) for kind, names in self._names.items()}

    def restore(self, names: dict[str, list[str]]) -> None:
        """Forgets the locals of an inner scope."""
        self._names = names

    def expression(self, kind: str, depth: int) -> str:
        """An expression that mostly has this kind."""
        known = self._names.get(kind)
        if known and self._rng.random() < 0.3:
            return self._rng.choice(known)
        if depth <= 0:
            return self._rng.choice(_LEAVES[kind])
        options = _NODES[kind]
        return self._rng.choice(options)(self, depth - 1)

    def any(self, depth: int) -> str:
        """An expression of some kind."""
        return self.expression(self._rng.choice(KINDS), depth)

    def record(self) -> str:
        """A record that may lack any of its members: a local, or each of those of the input."""
        return self._rng.choice([*self._names.get("record", []), "args.recs[_]", "args.rec"])

    def choice(self, options: list[str]) -> str:
        """One of some texts."""
        return self._rng.choice(options)

    def body(self, count: int, depth: int) -> str:
        """Some lines, in braces."""
        lines = [self.line(depth) for _ in range(count)]
        return "{\n\t" + "\n\t".join(lines) + "\n}"

    def line(self, depth: int) -> str:
        """One line of a body; later ones may read what it binds."""
        return self._rng.choice(_LINES)(self, depth)


KINDS = ["number", "string", "boolean", "array", "set", "object"]

_LEAVES: dict[str, list[str]] = {
    "number": [
        "0",
        "1",
        "2",
        "-1",
        "0.1",
        "10",
        "args.n",
        "args.a",
        "args.b",
        "lib.deep.er.value",
    ],
    "string": ['"a"', '"b"', '""', '"ab"', '"é"', "args.s", "args.t", "`a`", "lib.up"],
    "boolean": ["true", "false", "lib.flag", "args.yes", "helper", 'lib.names["a"]'],
    "array": ["[]", "[1]", '["a", "b"]', "args.list", "args.nums", "args.strs", "[null, true]"],
    "set": ["set()", "{1}", '{"a", "b"}', "lib.names", "hits", "{1, 2}"],
    "object": ["{}", '{"a": 1}', "args.o", "lib.ages", '{"a": {"b": 1}}', "args", "lib.limits"],
}


def _call(name: str, *kinds: str) -> Callable[[Writer, int], str]:
    return lambda w, d: f"{name}({', '.join(w.expression(kind, d) for kind in kinds)})"


def _infix(operator: str, kind: str, other: str = "") -> Callable[[Writer, int], str]:
    return lambda w, d: f"({w.expression(kind, d)} {operator} {w.expression(other or kind, d)})"


def _text(template: str, *kinds: str) -> Callable[[Writer, int], str]:
    return lambda w, d: template.format(*(w.expression(kind, d) for kind in kinds))


def _comprehension(form: str) -> Callable[[Writer, int], str]:
    def write(w: Writer, depth: int) -> str:
        before = w.hidden()
        lines = [_iteration(w, depth)]
        if w.choice(["y", "n"]) == "y":
            lines.append(w.line(depth))
        value = w.any(depth)
        key = w.expression("string", 0)
        w.restore(before)
        rest = "; ".join(lines)
        match form:
            case "array":
                return f"[{value} | {rest}]"
            case "set":
                return f"{{{value} | {rest}}}"
            case _:
                return f"{{{key}: {value} | {rest}}}"

    return write


_NODES: dict[str, list[Callable[[Writer, int], str]]] = {
    "number": [
        *(_infix(operator, "number") for operator in "+-*"),
        _infix("%", "number"),
        _infix("/", "number"),
        _call("count", "array"),
        _call("count", "set"),
        _call("count", "string"),
        _call("count", "object"),
        _call("abs", "number"),
        _call("round", "number"),
        _call("ceil", "number"),
        _call("floor", "number"),
        _text("sum([{}, {}])", "number", "number"),
        _text("product([{}, {}])", "number", "number"),
        _text("max([{}, {}])", "number", "number"),
        _text("min([{}, {}])", "number", "number"),
        _call("lib.double", "number"),
        _call("lib.sign", "number"),
        _call("lib.size", "string"),
        _call("indexof", "string", "string"),
        _text("to_number(format_int({}, 10))", "number"),
        _text('object.get({}, "a", {})', "object", "number"),
        _text("lib.limits[{}]", "string"),
        _text('{{"a": {}}}.a', "number"),
        _text("[{}, {}][1]", "string", "number"),
        _call("strings.count", "string", "string"),
        lambda w, _: f"-{w.choice(['args.n', 'args.a', '1'])}",
        *([lambda w, _: f"{w.record()}.n"] * 4),
    ],
    "string": [
        _call("lower", "string"),
        _call("upper", "string"),
        _call("trim", "string", "string"),
        _call("trim_prefix", "string", "string"),
        _call("trim_space", "string"),
        _call("replace", "string", "string", "string"),
        _text("concat({}, [{}, {}])", "string", "string", "string"),
        _text("substring({}, 0, {})", "string", "number"),
        _text('sprintf("%v", [{}])', "array"),
        _text('sprintf("%s-%d", [{}, {}])', "string", "number"),
        _text('sprintf("%v|%v", [{}, {}])', "object", "set"),
        lambda w, d: '$"a {' + w.any(d) + '} b"',
        lambda w, _: (
            '$"{' + w.expression("string", 0) + "}{" + w.expression("number", 0) + '}"'
        ),
        _call("type_name", "array"),
        _text("split({}, {})[0]", "string", "string"),
        lambda w, d: f"json.marshal({w.any(d)})",
        _text("format_int({}, 16)", "number"),
        _call("lib.grade", "number"),
        _text("base64.encode({})", "string"),
        _text("urlquery.encode({})", "string"),
        _text("strings.reverse({})", "string"),
        _text('regex.replace({}, "a+", {})', "string", "string"),
        _text('strings.replace_n({{"a": "b", "b": "a"}}, {})', "string"),
        _text("crypto.sha256({})", "string"),
        *([lambda w, _: f"{w.record()}.s"] * 4),
    ],
    "boolean": [
        *(_infix(o, "number") for o in ("<", "<=", ">", ">=", "==", "!=")),
        *(_infix(o, "string") for o in ("<", "==", "!=")),
        _infix("==", "array"),
        _infix("==", "set"),
        _infix("==", "object"),
        _infix("<", "array"),
        _infix("in", "string", "array"),
        _infix("in", "number", "set"),
        _infix("in", "string", "object"),
        _text("({}, {} in {})", "number", "string", "array"),
        _text("({}, {} in {})", "string", "number", "object"),
        _call("startswith", "string", "string"),
        _call("endswith", "string", "string"),
        _call("contains", "string", "string"),
        _text('regex.match("^[ab]+$", {})', "string"),
        _text('glob.match("a*", [], {})', "string"),
        lambda w, d: f"is_string({w.any(d)})",
        lambda w, d: f"is_number({w.any(d)})",
        lambda w, d: f"is_array({w.any(d)})",
        lambda w, d: f"is_null({w.any(d)})",
        _call("object.subset", "object", "object"),
        _call("strings.any_prefix_match", "string", "array"),
        _text("json.is_valid({})", "string"),
        lambda w, d: f"({w.any(d)} != {w.any(d)})",
    ],
    "array": [
        _comprehension("array"),
        _text("[{}, {}]", "number", "string"),
        _text("[{}, {}]", "object", "set"),
        _call("array.concat", "array", "array"),
        _call("array.reverse", "array"),
        _text("array.slice({}, 0, {})", "array", "number"),
        _call("split", "string", "string"),
        _call("sort", "array"),
        _call("sort", "set"),
        _text("numbers.range(0, 3)"),
        _text("json.unmarshal(json.marshal({}))", "array"),
        _text('regex.find_n("a", {}, -1)', "string"),
        _text('object.get({}, ["a", "b"], {})', "object", "array"),
        lambda w, d: f"[x | x := {w.any(d)}]",
        _text("[lib.first({})]", "array"),
        _text("indexof_n({}, {})", "string", "string"),
        _text("[{}][_] ", "array"),
    ],
    "set": [
        _comprehension("set"),
        *(_infix(operator, "set") for operator in "|&-"),
        _text("{{{}, {}}}", "number", "string"),
        _text("{{{}, {}}}", "array", "object"),
        _text("union({{{}, {}}})", "set", "set"),
        _text("intersection({{{}, {}}})", "set", "set"),
        _call("object.keys", "object"),
        _text('graph.reachable({{"a": ["b"], "b": []}}, {})', "set"),
    ],
    "object": [
        _comprehension("object"),
        _text('{{"a": {}, "b": {}}}', "number", "string"),
        _text("{{{}: {}}}", "string", "array"),
        _call("object.union", "object", "object"),
        _call("object.remove", "object", "array"),
        _call("object.filter", "object", "array"),
        _text("object.union_n([{}, {}])", "object", "object"),
        _text('json.filter({}, ["a"])', "object"),
        _text('json.remove({}, ["a/b"])', "object"),
        _text(
            'json.patch({}, [{{"op": "add", "path": "/c", "value": {}}}])', "object", "number"
        ),
        _text("json.unmarshal(json.marshal({}))", "object"),
        lambda _, __: "lib.tree",
        lambda _, __: "table",
    ],
}


def _iteration(w: Writer, depth: int) -> str:
    if w.choice(["records", "others"]) == "records":
        return f"some {w.fresh('record')} in args.recs"
    kind = w.choice(["array", "set", "object"])
    over = w.expression(kind, depth)
    if w.choice(["one", "two"]) == "one":
        return f"some {w.fresh()} in {over}"
    key, value = w.fresh(), w.fresh()
    if kind == "set":
        return f"some {value} in {over}"
    return f"some {key}, {value} in {over}"


def _assignment(w: Writer, depth: int) -> str:
    kind = w.choice(KINDS)
    value = w.expression(kind, depth)
    return f"{w.fresh(kind)} := {value}"


def _condition(w: Writer, depth: int) -> str:
    found = w.expression("boolean", depth)
    if found.startswith("("):  # the engine's parser would take it for a call of the line before
        name = w.fresh()
        return f"{name} := {found}\n\t{name}"
    return found


def _destructured(w: Writer, depth: int) -> str:
    number, text = w.expression("number", depth), w.expression("string", depth)
    one, other = w.fresh("number"), w.fresh("string")
    return w.choice(
        [
            f"[{one}, {other}] := [{number}, {text}]",
            f"[{one}, [{other}]] = [{number}, [{text}]]",
            f'{{"a": {one}, "b": {other}}} := {{"a": {number}, "b": {text}}}',
            f"[{one}, {other}] := [{number}, [x | x := {text}][0]]",
        ]
    )


def _every(w: Writer, depth: int) -> str:
    before = w.hidden()
    kind = w.choice(["array", "set", "object"])
    over = w.expression(kind, depth)
    key, value = w.fresh(), w.fresh()
    test = w.choice(
        [
            f"{value} != {w.any(depth)}",
            f"type_name({value}) == type_name({w.any(0)})",
            f"not {value} == {w.any(0)}",
            f"not is_null({value})",
            f"some x in {w.expression('array', depth)}\n\t\tx == {value}",
            f"{value} = {w.any(0)}",
            f"[{value}, _] = {w.expression('array', 0)}",
            f"lower({w.expression('string', 0)}, {value})",
            f"x := {w.any(0)}\n\t\t{value} = x",
            f"count([1 | {value} = {w.any(0)}]) == 1",
        ]
    )
    w.restore(before)
    if w.choice(["one", "two"]) == "one" or kind == "set":
        return f"every {value} in {over} {{\n\t\t{test}\n\t}}"
    return f"every {key}, {value} in {over} {{\n\t\t{test}\n\t\t{key} != 7\n\t}}"


def _walk(w: Writer, depth: int) -> str:
    over = w.expression(w.choice(["array", "object"]), depth)
    path, value = w.fresh("array"), w.fresh()
    return w.choice(
        [
            f"walk({over}, [{path}, {value}])\n\tis_string({value})",
            f"[{path}, {value}] := walk({over})\n\tcount({path}) < 2",
            f"[_, {value}] := walk({over})\n\tis_number({value})",
            f"walk({over}, [{path}, 1])",
            f"{path} := [p | walk({over}, [p, _])]",
            f"some {path}, {value}\n\twalk({over}, [{path}, {value}])",
        ]
    )


def _nested_reference(w: Writer, _: int) -> str:
    one, other = w.fresh(), w.fresh()
    return w.choice(
        [
            f"args.o[{one}] == {w.expression('number', 0)}",
            f"args.list[{one}] == args.list[{other}]",
            f"lib.tree[{one}].seen[{other}]",
            f"lib.ages[{one}] == {other}",
            f"args[{one}][{other}] == {w.any(0)}",
            f"data.wardline.lib.limits[{one}] > {w.expression('number', 0)}",
            f"table[{one}][_] == {other}",
            f"some {one}\n\thits[{one}]",
            f"{one} := args.list[_]\n\t{other} := args.strs[_]\n\t{one} == {other}",
            f"{one} = args.nums[{other}]",
            f'input["resource"].properties["args"].o[{one}]',
            f'lib["limits"][{one}] == {other}',
        ]
    )


def _pattern(w: Writer, depth: int) -> str:
    name = w.fresh()
    over = w.expression("array", depth)
    return w.choice(
        [
            f'some {{"a": {name}}} in {over}',
            f'some {{"a": {name}, "b": _}} in [{{"a": 1, "b": 2}}, {{"a": 3}}, args.o]',
            f"some [{name}, _] in {over}",
            f'{{"a": {name}}} = args.o',
            f"[{name}] = {over}",
            f"[{name}, _] = [args.n, {w.any(depth)}]",
            f'some "a", {name} in args.o',
            f"some {name}, 1 in args.o",
        ]
    )


def _negation(w: Writer, depth: int) -> str:
    kind = w.choice(KINDS)
    name = w.fresh(kind)
    bound = f"{name} := {w.expression(kind, depth)}"
    return w.choice(
        [
            f"{bound}\n\tnot {name} == {w.choice(_LITERALS[kind])}",
            f"{bound}\n\tnot {name} in [{w.choice(_LITERALS[kind])}]",
            f"{bound}\n\tnot is_string({name})",
            "not args.o.a",
            "not args.missing",
            "not helper",
            "not lib.flag",
            "not args.a == args.b",
            f"not lib.ages[{w.choice(_QUOTED)}]",
            f"not {w.expression('boolean', 0)}",
            "not hits[1]",
            f"{bound}\n\tnot {name} != {w.choice(_LITERALS[kind])}",
        ]
    )


_QUOTED = ['"a"', '"b"', '"c"']
_LITERALS = {
    "number": ["1", "0"],
    "string": ['"a"', '""'],
    "boolean": ["true", "false"],
    "array": ["[]", "[1]"],
    "set": ["set()", "{1}"],
    "object": ["{}", '{"a": 1}'],
}


def _mocked(w: Writer, depth: int) -> str:
    name = w.fresh()
    return w.choice(
        [
            f'{name} := helper with input.resource.properties.args as {{"a": {w.expression("number", 0)}}}',
            f"{name} := lib.deep.er.value with input.resource.properties.args.n as {w.expression('number', depth)}",
            f"{name} := lib.names with input.resource.properties.args.strs as {w.expression('array', 0)}",
            f'{name} := lib.ages with input as {{"resource": {{"properties": {{"args": {{"o": {w.expression("object", 0)}}}}}}}}}',
            f"{name} := lib.double(2) with lib.double as 7",
            f"{name} := lib.grade({w.expression('number', 0)}) with lib.grade as lib.double",
            f"{name} := lib.up with input.resource.properties.args.s as {w.expression('string', 0)}",
            f"not helper with input.resource.properties.args.a as {w.expression('number', 0)}",
            f"{name} := count([1]) with count as lib.double",
        ]
    )


def _unified(w: Writer, depth: int) -> str:
    """What was bound before, held to something further in."""
    kind = w.choice(KINDS)
    name, other = w.expression(kind, 0), w.expression(kind, depth)
    bound = w.fresh(kind)
    return f"{bound} := {name}\n\t" + w.choice(
        [
            f"{bound} = {other}",
            f"not {bound} = {w.choice(_LITERALS[kind])}",
            f"every x in [{other}] {{ {bound} = x }}",
            f"count([1 | {bound} = {other}]) == 1",
            f"[y | [y, {bound}] = [1, {other}]] == [1]",
            f"every x in [1] {{ x == 1; {bound} = {other} }}",
        ]
    )


def _output(w: Writer, depth: int) -> str:
    name = w.fresh("array")
    text = w.expression("string", depth)
    return w.choice(
        [
            f'split({text}, "a", {name})',
            f"lib.double({w.expression('number', depth)}, {w.fresh('number')})",
            f"lib.pick({text}, {w.choice(_QUOTED)}, {w.fresh()})",
            f"lower({text}, {w.fresh('string')})",
        ]
    )


_LINES: list[Callable[[Writer, int], str]] = [
    _condition,
    _condition,
    _assignment,
    _assignment,
    _assignment,
    _destructured,
    _every,
    _walk,
    _nested_reference,
    _nested_reference,
    _pattern,
    _negation,
    _negation,
    _mocked,
    _output,
    _unified,
    _unified,
    _iteration,
    _iteration,
]


def random_program(rng: random.Random) -> dict[str, str]:
    """Modules by path: `lib`, and a `main` whose answer holds what it computed."""

    def value(depth: int) -> str:
        writer = Writer(rng)
        return writer.any(depth)

    def rule(head: str) -> str:
        writer = Writer(rng)
        body = writer.body(rng.randrange(1, 3), rng.randrange(3))
        return f"{head} {writer.any(1)} if {body}"

    picked = rng.sample(
        [
            rule("one :="),
            rule("many contains"),
            f"{rule('chain :=')} else := {value(1)} if {Writer(rng).body(1, 1)} else := {value(0)}",
            f"default plain := {rng.choice(['1', '[x | some x in [1, 2]]', '{}'])}\n\n{rule('plain :=')}",
            f"fun(x, y) := {rng.choice(['[x, y]', 'y', '{x: 1}'])} if {Writer(rng).body(1, 1)}\n\nused := [fun({value(1)}, {value(1)}) | true]",
            f"fact := {value(3)}",
            f"part[k] := v if {{\n\tsome k, v in args.o\n\t{Writer(rng).line(1)}\n}}",
            f"nest[k].inner contains v if {{\n\tsome k, v in args.o\n\t{Writer(rng).line(1)}\n}}",
            rule("other :="),
        ],
        rng.randrange(1, 4),
    )
    names = [text.split("\n\n")[-1].split()[0].split("[")[0].split("(")[0] for text in picked]
    names = [name if name != "default" else "plain" for name in names]
    parts = ",\n\t".join(f'"{name}": [x | x := {name}]' for name in names)
    rules = "\n\n".join(picked)
    main = f"""package wardline.main

import data.wardline.lib
import input.resource.properties.args
import data.wardline.lib.ages as table

response := {{
	"decision": true,
	{parts},
}}

helper if args.a == 1

helper if args.yes

hits contains 1 if args.n > 0

hits contains x if some x in args.strs

low := lower(args.s)

{rules}
"""
    return {"lib/lib.rego": LIB, "main/main.rego": main}


_TEXTS = ["a", "b", "ab", "Aa", "é", "🎉", "", "aab"]
_NUMBERS: list[Any] = [0, 1, 2, -1, 1.5, 0.1, 3, 10]
_ALL: list[Any] = [*_TEXTS, *_NUMBERS, None, True, False, [1, "a"], {"a": 1}, [], {}]


def random_values(rng: random.Random) -> JsonObject:
    """Arguments of the expected kinds, and now and then of others, or missing."""

    def one(usual: list[Any]) -> Any:
        return rng.choice(_ALL if rng.random() < 0.06 else usual)

    def several(usual: list[Any]) -> list[Any]:
        return [one(usual) for _ in range(rng.randrange(4))]

    def record() -> JsonObject:
        whole = {"n": one(_NUMBERS), "s": one(_TEXTS)}
        return {name: value for name, value in whole.items() if rng.random() < 0.6}

    found: JsonObject = {name: one(_NUMBERS) for name in "abn"}
    found |= {"s": one(_TEXTS), "t": one(_TEXTS), "yes": one([True, False])}
    found |= {"list": several(_ALL), "nums": several(_NUMBERS), "strs": several(_TEXTS)}
    found["rec"] = record()
    found["recs"] = [record() for _ in range(rng.randrange(4))]
    found["o"] = {rng.choice("abz"): one(_ALL) for _ in range(rng.randrange(3))}
    for name in list(found):
        if rng.random() < 0.05:
            del found[name]
    return found
