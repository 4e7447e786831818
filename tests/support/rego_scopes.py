"""Programs about what a scope binds, and about values that some member of a collection lacks.

Each is every way to bind a variable times every way to hold it to a value, with one that fits
and one that does not; or a head times a body that goes over members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BINDERS = (
    "x := {v}; {c}",
    "some x in [{v}]; {c}",
    'some x in [{v}, "q"]; {c}',
    "some x; x = {v}; {c}",
    "x = {v}; {c}",
    "[x, _] := [{v}, 1]; {c}",
    "[x, _] = [{v}, 1]; {c}",
    '{{"a": x}} := {{"a": {v}}}; {c}',
    "xs := [{v}]; x := xs[_]; {c}",
    "walk([{v}], [[0], x]); {c}",
    "{c}; x := {v}",
    "every x in [{v}] {{ {c} }}",
    "every _, x in [{v}] {{ {c} }}",
    "every x, _ in {{{v}: 1}} {{ {c} }}",
    "every x in [{v}] {{ every y in [1] {{ y == 1; {c} }} }}",
    "count([1 | every x in [{v}] {{ {c} }}]) == 1",
    "count([1 | some x in [{v}]; {c}]) == 1",
)
"""Of `{v}`, before the lines `{c}` that hold `x` to something."""

HOLDS = (
    'x = "a"',
    '"a" = x',
    'x == "a"',
    'x = "a" with input as {}',
    '[x, _] = ["a", 1]',
    '["a"] = [x]',
    '[x, y] = ["a", 1]; y == 1',
    '{"k": x} = {"k": "a"}',
    'lower("A", x)',
    'split("a b", " ", [x, _])',
    'json.unmarshal("\\"a\\"", x)',
    'x = lower("A")',
    'lower("A") = x',
    "x = own_lower(input.upper)",
    'own_lower("A", x)',
    "holds(x)",
    "x = input.k",
    "input.k = x",
    'walk(["a"], [_, x])',
    'walk(["a"], [[0], x])',
    'some y in ["a"]; x = y',
    'y := "a"; x = y',
    'some y in [["a", 1]]; [x, _] = y',
    'x in ["a"]',
    '[1 | x = "a"][0] == 1',
    '{1 | [x] = ["a"]} == {1}',
    'count({y: 1 | y := "a"; x = y}) == 1',
    'count([y | y = "a"; x = y]) == 1',
    'not x = "b"',
    'not "b" = x',
    'not [x] = ["b"]',
    "not own_lower(input.upper) = x",
    'every y in ["a"] { x = y }',
    'every y in ["a"] { y = x }',
    'every y in [1] { y == 1; lower("A", x) }',
    'every y in [["a"]] { [x] = y }',
)

FUNCTIONS = 'holds("a") := true\n\nown_lower(x) := lower(x)\n'

HEAD_FORMS = (
    "p contains {t}",
    "p contains [{t}, 1]",
    'p contains {{"code": "c", "values": {{"v": {t}}}}}',
    "p contains read(t)",
    "p contains lower({t})",
    'p contains sprintf("%v", [{t}])',
    'p contains $"{{{t}}}"',
    "p contains {{{t}}}",
    "p contains (\n\t{t}  # }}\n)",
    "p contains [y |\n\ty := {t}\n\ty != 7\n]",
    "p[{t}] := 1",
    "p[{t}] contains 1",
    "p.q contains {t}",
    "p.q := {t}",
    "p := {t}",
    'p := {{"a": {t}, "b": [{t}]}}',
    'default p := "d"\n\np := {t}',
)
"""Of a rule, with a value `{t}` that not all members have."""

BODIES = (
    ("some t in input.xs", "t.k"),
    ('some n in ["k", "z"]; t := {"k": input.one[n]}', "t.k"),
    ("t := input.xs[_]", "t.k"),
    ("input.xs[_] = t", "t.k"),
    ("some i; t := input.xs[i]", "t.k"),
    ("t := input.xs[i]; input.xs[i]", "input.xs[i].k"),
    ("[_, t] := walk(input.xs)", "t.k"),
    ("some t in input.xs; not t.j", "t.k"),
    ("t := input.one", "input.xs[_].k"),
    ('some t in input.xs; every x in ["a", "b"] { x = "a" }', "t.k"),
)

INPUTS: tuple[dict[str, Any], ...] = (
    {"k": "a", "upper": "A", "one": {"k": "A"}, "xs": [{"k": "A"}, {"j": "B"}]},
    {"k": "c", "upper": "C", "one": {"z": "A"}, "xs": [{"j": "B"}, {"k": "A"}]},
    {"k": "a", "upper": "b", "one": {}, "xs": [{"k": "A"}, {}, {"k": "A"}]},
    {"xs": []},
)


def scope_programs() -> Iterator[str]:
    """All of them, as modules whose rule `p` is asked for."""
    for binder in BINDERS:
        for held in HOLDS:
            for value in ('"a"', '"c"'):
                body = binder.replace("{c}", held.replace("{", "{{").replace("}", "}}"))
                yield f"package t\n\np if {{ {body.format(v=value)} }}\n\n{FUNCTIONS}"
    for held in HOLDS:
        for value in ('"a"', '"c"'):
            yield f"package t\n\np if f({value})\n\nf(x) if {{ {held} }}\n\n{FUNCTIONS}"
    for head in HEAD_FORMS:
        for body, term in BODIES:
            rule = head.format(t=term)
            for end in ("", ' else := "e"') if rule.startswith("p :=") else ("",):
                lines = body.replace("; ", "\n\t")
                yield f"package t\n\n{rule} if {{\n\t{lines}  # }}\n}}{end}\n\nread(t) := t.k\n"
                if "; " not in body:
                    yield f"package t\n\n{rule} if {body}{end}\n\nread(t) := t.k\n"
        yield f"package t\n\n{head.format(t='input.xs[_].k')}\n\nread(t) := t.k\n"
