"""Modules that OPA's compiler refuses, with what our loader says, and sound twins of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """`bad` is refused by both, `good` by neither. Each stands below a package clause."""

    id: str
    code: str
    bad: str
    good: str


FAULTS = [
    Fault("sum of a text", "rego.types", 'p if input.x + "a" == 1', "p if input.x + 1 == 1"),
    Fault(
        "difference of a truth value",
        "rego.types",
        "p if (input.x == 1) - input.y == 1",
        "p if { {1} - input.y == set() }",
    ),
    Fault(
        "difference of what a rule gives",
        "rego.types",
        "n := lower(input.x)\np if n - 1 == 0",
        "n := abs(input.x)\np if n - 1 == 0",
    ),
    Fault(
        "and of numbers",
        "rego.types",
        "p if { x := 1 & input.x; x }",
        "p if { x := {1} & input.x; x }",
    ),
    Fault(
        "or of arrays",
        "rego.types",
        "p if { x := [1] | input.x; x }",
        "p if { x := {1} | input.x; x }",
    ),
    Fault(
        "kind of an argument",
        "rego.types",
        "s := {1, 2}\np if startswith(s, input.x)",
        's := concat("", {"a"})\np if startswith(s, input.x)',
    ),
    Fault(
        "kind below an argument",
        "rego.types",
        'p if sum([1, "a"]) == input.x',
        "p if sum([1, 2]) == input.x",
    ),
    Fault(
        "argument of a function",
        "rego.types",
        'f(x) := y if y := lower(x)\np if f(1) == "a"',
        'f(x) := y if y := lower(x)\np if f("1") == "a"',
    ),
    Fault(
        "result of a function",
        "rego.types",
        "f(x) := count(x)\np if startswith(f(input.x), input.y)",
        "f(x) := count(x)\np if f(input.x) > 1",
    ),
    Fault(
        "never equal",
        "rego.types",
        'x := [1, "a"]\np if x == [1, 2]',
        'x := [1, "a"]\np if x == [1, input.x]',
    ),
    Fault(
        "never a member",
        "rego.types",
        'x := {"a", "b"}\np if 1 in x',
        'x := {"a", 1}\np if 1 in x',
    ),
    Fault(
        "no such member",
        "rego.types",
        'o := {"a": 1}\np if o.b == input.x',
        'o := {"a": 1}\np if o[input.y] == input.x',
    ),
    Fault("below a number", "rego.types", "o := 1\np if o.b", "o := input.x\np if o.b"),
    Fault(
        "kind in a comprehension",
        "rego.types",
        "xs := [x | some x in [1, 2]]\np if { some s in xs; startswith(s, input.x) }",
        'xs := [x | some x in ["a"]]\np if { some s in xs; startswith(s, input.x) }',
    ),
    Fault(
        "nothing binds it",
        "rego.unbound_local",
        "p if x > 1",
        "p if { x = input.y; x > 1 }",
    ),
    Fault(
        "bound under not only",
        "rego.unbound_local",
        "p if not input.xs[i] == 1",
        "p if { some i; not input.xs[i] == 1; input.ys[i] }",
    ),
    Fault(
        "head without a value",
        "rego.unbound_local",
        "p := x if input.y",
        "p := x if x := input.y",
    ),
    Fault(
        "closed over too early",
        "rego.unbound_local",
        "p if { xs := [y | y := x]; count(xs) == x }",
        "p if { xs := [y | y := x]; x = input.z; count(xs) == 1 }",
    ),
    Fault(
        "bound inside every",
        "rego.unbound_local",
        "p if { every x in input.xs { x == y } }",
        "p if { every x in input.xs { x == y }; y = 1 }",
    ),
    Fault(
        "assigned twice",
        "rego.declared_twice",
        "p if { x := 1; x := 2; x == 1 }",
        "p if { x := 1; x == 1 }",
    ),
    Fault(
        "read before it is assigned",
        "rego.declared_twice",
        "p if { x > 1; some x in input.xs }",
        "p if { some x in input.xs; x > 1 }",
    ),
    Fault(
        "argument assigned",
        "rego.declared_twice",
        "f(x) := y if { x := 1; y := x }",
        "f(x) := y if { z := 1; y := x + z }",
    ),
    Fault(
        "assigned to a call",
        "rego.assignment",
        "p if f(1) := 1\nf(x) := x",
        "p if f(1) == 1\nf(x) := x",
    ),
    Fault(
        "assigned under not", "rego.assigned_in_not", "p if not x := 1", "p if not input.x == 1"
    ),
    Fault(
        "argument computed",
        "rego.rule_argument",
        "f(count(x)) := x",
        "f([x, 1]) := x",
    ),
    Fault("default computed", "rego.default_value", "default p := input.x", "default p := [1]"),
    Fault(
        "unused inside",
        "rego.unused_local",
        "p if { some x; y := [x | some x in input.a]; y == [1] }",
        "p if { y := [x | some x in input.a]; y == [1] }",
    ),
    Fault("no value and no body", "rego.parse", "p.q", "p.q := 1"),
    Fault("braces of a value", "rego.parse", "p if {1, 2}", "p if { {1, 2} }"),
    Fault("set without contains", "rego.parse", 'p["a"]', 'p contains "a"'),
    Fault("named contains", "rego.parse", "contains := 1", "contained := 1"),
    Fault("negated brackets", "rego.parse", "p if -(input.x) == 1", "p if -input.x == 1"),
    Fault("open template", "rego.parse", 'p := $"{input.x"', 'p := $"{input.x}"'),
    Fault(
        "part of a rule replaced",
        "rego.mock",
        "q.a := input.x\np if q.a.b with q.a.b as 1",
        "q.a := input.x\np if q.a.b with input.x as 1",
    ),
    Fault(
        "nothing replaced",
        "rego.mock",
        "p if input.x with inpt.x as 1",
        "p if input.x with input.x as 1",
    ),
    Fault(
        "call of a rule named as builtins are",
        "rego.unknown_function",
        "strings := 1\np if strings.reverse(input.x) == input.y",
        "text := 1\np if strings.reverse(input.x) == input.y",
    ),
    Fault(
        "walk in a value",
        "rego.walk",
        "p if 1 + walk(input, [_, x]) == x",
        "p if { walk(input, [_, x]); x == 1 }",
    ),
    Fault(
        "key with values in it",
        "rego.template_step",
        'import input.args\np if input.x[$"a{args.y}"]',
        'import input.args\np if { k := $"a{args.y}"; input.x[k] }',
    ),
    Fault(
        "bound in a template only",
        "rego.unbound_local",
        'p := $"{input.x[_]}"',
        'p := $"{x}" if x := input.x[_]',
    ),
    Fault(
        "two values in a template",
        "rego.template_step",
        'p := $"{input.x; input.y}"',
        'p := $"{input.x}{input.y}"',
    ),
    Fault(
        "in and a bracket",
        "rego.parse",
        "p if { some x in[1]; x == input.x }",
        "p if { some x in [1]; x == input.x }",
    ),
    Fault(
        "not and a bracket", "rego.parse", "p if not[1] == input.x", "p if not [1] == input.x"
    ),
    Fault(
        "value behind a text of lines",
        "rego.parse",
        "p if { input.x == `a\nb` input.y }",
        "p if { input.x == `a\nb`\ninput.y }",
    ),
    Fault(
        "value behind a text of lines in a template",
        "rego.parse",
        "p := $`{`a\nb` input.y}`",
        "p := $`{`a\nb`}{input.y}`",
    ),
    Fault(
        "member of a rule whose keys are collections",
        "rego.types",
        "p[{}] := 1\nq if p[0] == input.x",
        "p[{}] := 1\nq if p[{}] == input.x",
    ),
    Fault(
        "below a rule that reads what is replaced",
        "rego.types",
        "s contains x if data.b[x]\nq if s.c.y with data.b as input.x",
        "s contains x if data.b[x]\nq if s.c with data.b as input.x",
    ),
]
