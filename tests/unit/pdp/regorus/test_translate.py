"""What is written for OPA and translated for the engine means the same: value, or no value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.parse import parse
from permissions.pdp.regorus.translate import translate

INPUT = {"a": {"b": ["AA", "x", {"c": "z"}]}, "o": {"k": 1}, "os": [{"k": 1}, {"k": 2, "l": 3}]}

RULES: dict[str, Any] = {
    'x := y if split("a,b", ",", y)': ["a", "b"],
    'x if split("a,b", ",", ["a", "b"])': True,
    'x if split("a,b", ",", ["a"])': None,
    'x := y if {\n\tconcat(\n\t\t"-",  # (, )\n\t\t["a", "b, c"],\n\t\ty,\n\t)\n}': "a-b, c",
    "f(a, b) := a + b\n\nx := y if f(1, 2, y)": 3,
    "f(a) := a + 1\n\nx if not f(1, 3)": True,
    "f(a) := a + 1\n\nx if not f(1, 2)": None,
    "x contains v if {\n\t[_, v] := walk(input.a)\n\tis_string(v)\n}": ["AA", "x", "z"],
    "x contains v if {\n\t[_, v] = walk(input.a)\n\tis_string(v)\n}": ["AA", "x", "z"],
    'x contains p if [p, "z"] = walk(input.a)': [["b", 2, "c"]],
    'x if not y\n\ny if {\n\t[_, v] := walk(input)\n\tv == "z"\n}': None,
    'x := v if {"k": v} = input.o': 1,
    'x if {"l": 3} = input.os[1]': None,
    'x contains v if some {"k": v} in input.os': [1],
    'x if {\n\t{"k": v} := input.os[1]\n\tv == 2\n}': None,
    "x if 0.1 + 0.2 == 0.3": True,
    "x := 1 - 3 * (2 + 1)": -8,
    "x := -input.o.k": -1,
    "x := {[1], {1}} - {[1]}": [[1]],
    'x := count("a🎉")': 2,
    'x := count({{"a": 1}, {"a": 2}})': 2,
    'x := [count(y) | some y in ["é🎉", [1], {{1}}]]': [2, 1, 1],
    'x := sort([{1}, {"a": 1}])': [{"a": 1}, [1]],
    'x := sort({{"b": 1}, {"a": 1}})': [{"a": 1}, {"b": 1}],
    "x := max([y | some y in []])": None,
    'x := max([{1}, {"a": 1}])': [1],
    "x := input.o.default": None,
    'x := $"<{input.o.k}> {input.none}"': "<1> <undefined>",
    'x := $"\\{{$"{[1, "}"]}"}"': '{[1, "}"]',
    "x := $`{input.o}\n{{1, 2}}`": '{"k": 1}\n{1, 2}',
    "x := (input.o.k / 5) * (4 - input.o.k)": 0.6,
    "x if -input.o.k == -1": True,
    "x := 1 - 2 in {-1}": True,
    "x := [y | y := input.none in [1]]": [],
    "x if 1, input.none in {}": None,
    'x := [y | y := ("in" in input.o.in)]': [],
    "x := [y | y := {1} | input.none]": [],
    "x := p\n\np[k].q contains v if some k, v in input.none": {},
    "x := p\n\np.q.r := 1 if input.none": {"q": {}},
    "x := v if v := y with input.o.k as y + 1\n\ny := input.o.k": 2,
    "x := v if v := y with input.o.k as input.none\n\ny := 1": None,
    "x := v if {\n\tv := [z | z := y with input.o.k as count([1, 2])]\n}\n\ny := input.o.k": [
        2
    ],
    "x := v if v := y with input.o.k as 1 + 1 with input.a as [3]\n\ny := [input.o.k, input.a]": [
        2,
        [3],
    ],
    "x := v if v := [z | z := y with input.o.k as count(input.a)] with input.a as [1 + 2, 3]\n\n"
    "y := input.o.k": [2],
    # A value that the last member lacks drops nothing of the others.
    'x contains t.k if some t in [{"k": 1}, {}]': [1],
    "x contains [1, {}][_].k": [],
    'x contains [{"k": 1}, {}][_].k': [1],
    'x contains {"v": t.k} if {\n\tsome t in [{"k": 1}, {}]  # }\n}': [{"v": 1}],
    'x := t.k if some t in [{"k": 1}, {}]': 1,
    'x := input.none[t] if some t in ["a"] else := "e"': "e",
    'x := input.os[i].l if input.os[i] else := "e"': 3,
    'x[t.l] := 1 if some t in [{"l": "a"}, {}]': {"a": 1},
    "f(y) := y.none if true else := 2\n\nx := f(input.o)": 2,
    # What a scope binds is what OPA binds there.
    'x if every y in ["c"] { y = "a" }': None,
    'x if every y in ["c"] { "a" = y }': None,
    'x if every y, _ in {"c": 1} { lower("A", y) }': None,
    'x if every y in ["a"] { lower("A", y) }': True,
    "x if every y in [9] { walk(input.o, [_, y]) }": None,
    'x if every y in ["c"] { [1 | y = "a"][0] == 1 }': None,
    'x if {\n\ty := "c"\n\tevery z in ["a"] { y = z }\n}': None,
    'x if {\n\twalk(["c"], [[0], y])\n\tnot y = "b"\n}': True,
    'x if {\n\twalk(["c"], [[0], y])\n\tevery z in ["a"] { y = z }\n}': None,
    'x if {\n\t[[0], y] := walk(["a"])\n\tevery z in ["a"] { y = z }\n}': True,
}
"""The rule and its value; None when it has none."""


@pytest.mark.parametrize(("rule", "value"), RULES.items(), ids=RULES)
def test_it_means_what_it_means_to_opa(rule: str, value: Any) -> None:
    engine = Engine({"p.rego": f"package p\n\n{rule}\n"}, "{}")

    answer = engine.ask("data.p.x", json.dumps(INPUT))

    assert (None if answer == UNDEFINED else json.loads(answer)) == value


def test_what_is_added_to_a_rule_moves_no_line() -> None:
    text = (
        'package p\n\nx contains {\n\t"a": input.os[_].k,  # }\n\t"b": [z |\n\t\tz := 1\n\t\tz > 0\n'
        "\t],\n} if {\n\tinput.o\n}\n\ny if {\n\tq == 1\n}\n"
    )

    with pytest.raises(Exception, match=r"p\.rego:14:"):
        Engine({"p.rego": text}, "{}")


def test_lines_stay_where_they_are() -> None:
    text = 'package p\n\nx if {\n\tsplit(\n\t\t"a",\n\t\t",",\n\t\ty,\n\t)\n\tz == 1\n}\n'

    with pytest.raises(Exception, match=r"p\.rego:9:"):
        Engine({"p.rego": text}, "{}")


def test_a_file_of_many_tests_is_parsed_a_few_times() -> None:
    """A shipped test file has forty such lines; one parse for each would take the seconds."""
    tests = "".join(f"x{n} if y with input.o.k as {n} + 1\n\n" for n in range(40))
    before = parse.cache_info().misses

    done = translate({"many.rego": f"package many\n\n{tests}y if input.o.k\n"})

    assert parse.cache_info().misses - before < 10
    assert len({line for line in done["many.rego"].splitlines() if "__opa_w" in line}) == 40
