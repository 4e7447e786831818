"""Each finding fires where it should, with its position, and stays silent on its good twin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from rego_samples import sample_bundle

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.lint.bundle import check_bundle, require_sound

if TYPE_CHECKING:
    from permissions.pdp.rego.finding import Finding

MAIN = """package wardline.main

import data.wardline.lib

response := {"decision": false}

"""
LIB = """package wardline.lib

words contains "a"

maybe := 1 if input.context.plan

grade(x) := 1 if x in {"a", 1}
"""
FIRST_LINE = MAIN.count("\n") + 1


def lint(text: str, **others: str) -> list[Finding]:
    return check_bundle(PolicyBundle.of({"main.rego": MAIN + text, "lib.rego": LIB, **others}))


@dataclass(frozen=True)
class Case:
    """`bad` has exactly one finding, at `line` below the preamble; `good` has none."""

    id: str
    code: str
    bad: str
    good: str
    column: int
    line: int = 1


CASES = [
    Case("parse", "rego.parse", "x if {", "x if { true }", 7),
    Case("old syntax", "rego.parse", "x { true }", "x if { true }", 3),
    Case(
        "nesting",
        "rego.nesting",
        f"x := {'[' * 13}1{']' * 13}",
        f"x := {'[' * 12}1{']' * 12}",
        18,
    ),
    Case(
        "nesting in a string is text",
        "rego.nesting",
        f"x := {'[' * 13}1{']' * 13}",
        f'x := "{"[" * 40}" # {"(" * 40}',
        18,
    ),
    Case("long line", "rego.line_length", f'x := "{"a" * 1020}"', f'x := "{"a" * 900}"', 1024),
    Case("unsafe variable", "rego.unbound_local", "x if y == 1", "x if { y := 1; y == 1 }", 6),
    Case("unknown function", "rego.unknown_function", "x := lowr(1)", 'x := lower("A")', 6),
    Case(
        "unknown library function",
        "rego.unknown_function",
        'x := lib.grad("a")',
        'x := lib.grade("a")',
        6,
    ),
    Case(
        "a rule is no function", "rego.unknown_function", "y := 1\nx := y(1)", "y(_) := 1", 6, 2
    ),
    Case(
        "not in the engine",
        "rego.unknown_function",
        'x := io.jwt.decode("a")',
        'x := base64.encode("a")',
        6,
    ),
    Case("arity", "rego.arity", 'x := lower("A", 1)', 'x := lower("A")', 6),
    Case("own arity", "rego.arity", 'x := lib.grade("a", 1)', 'x := lib.grade("a")', 6),
    Case(
        "walk",
        "rego.arity",
        "x if walk(input, [_, _], 1)",
        "x if walk(input, [_, 1])",
        6,
    ),
    Case(
        "argument kind",
        "rego.argument_kind",
        "x := lower(1)",
        "x := lower(input.action.name)",
        6,
    ),
    *(
        Case(name, "rego.banned_function", f"x := {call}", "x := input.context.time", 6)
        for name, call in {
            "http": 'http.send({"method": "get", "url": "x"})',
            "runtime": "opa.runtime()",
            "dns": 'net.lookup_ip_addr("a")',
            "clock": "time.now_ns()",
            "random": 'rand.intn("a", 2)',
            "uuid": 'uuid.rfc4122("a")',
            "expand": 'net.cidr_expand("10.0.0.0/8")',
        }.items()
    ),
    Case("print", "rego.banned_function", "x if print(1)", "x if true", 6),
    Case("recursion", "rego.recursion", "x if y\n\ny if x", "x if y\n\ny if true", 1),
    Case("own recursion", "rego.recursion", "f(a) := f(a)", "f(a) := a", 1),
    Case(
        "recursion through the package",
        "rego.recursion",
        "x if data.wardline.main[_]",
        "x if data.wardline.lib[_]",
        1,
    ),
    Case(
        "walk as a value",
        "rego.walk",
        "x if walk(input)[1] == 1",
        "x if { [_, v] := walk(input); v == 1 }",
        6,
    ),
    Case(
        "walk as what is iterated over",
        "rego.walk",
        "x if { some [_, v] in walk(input); v == 1 }",
        "x if { walk(input, [_, v]); v == 1 }",
        23,
    ),
    Case(
        "walk with names of others",
        "rego.walk",
        "f(v) if { [_, v] := walk(input); v == 1 }",
        "f(w) if { [_, v] = walk(input); v == w }",
        21,
    ),
    Case(
        "object as an argument",
        "rego.object_pattern",
        'f({"a": b}) := b',
        "f(a) := a.b",
        3,
    ),
    Case(
        "objects in objects as a pattern",
        "rego.object_pattern",
        'x if { {"a": {"b": c}} = input.context; c == 1 }',
        'x if { {"a": c} = input.context; c == 1 }',
        8,
    ),
    Case(
        "object as a pattern in an array",
        "rego.object_pattern",
        'x if { some [{"a": b}] in input.context.history; b == 1 }',
        'x if { some {"a": b} in input.context.history; b == 1 }',
        14,
    ),
    Case(
        "membership with a key",
        "rego.key_membership",
        'x if { "a", "a" in lib.words }',
        'x if { "a", 1 in {"a": 1} }',
        9,
    ),
    Case(
        "unused every",
        "rego.unused_local",
        "x if { every y in [1] { input.action } }",
        "x if { every _ in [1] { input.action } }",
        14,
    ),
    Case(
        "order of sets", "rego.unordered", "x if lib.words < {1}", 'x if lib.words == {"a"}', 6
    ),
    Case(
        "order of a difference",
        "rego.unordered",
        'x if lib.words - {"b"} < {1}',
        "x if input.resource.properties.args.at > input.context.time - (60 * 1000000)",
        6,
    ),
    Case("integer as a fraction", "rego.number", "x := 1.0", "x := 1", 6),
    Case("number beyond 64 bits", "rego.number", f"x := {2**64}", f"x := {2**63}", 6),
    Case("long fraction", "rego.number", "x := 0.12345678901234567", "x := 0.123", 6),
    Case(
        "rule replaced by a builtin",
        "rego.mock",
        "x if lib.grade(1) with lib.grade as count",
        "x if lib.grade(1) with lib.grade as 1",
        24,
    ),
    Case(
        "dotted function with a default",
        "rego.dotted_function",
        "default f.g(x) := 1",
        "f.g(x) := x",
        1,
    ),
    Case(
        "regex",
        "rego.regex_pattern",
        'x if regex.match("a(?=b)", "a")',
        'x if regex.match("^a", "a")',
        6,
    ),
    Case(
        "glob",
        "rego.glob_pattern",
        'x if glob.match("a***", ["/"], "a")',
        'x if glob.match("a/**", ["/"], "a")',
        6,
    ),
    Case(
        "range",
        "rego.unbounded_range",
        "x := numbers.range(1, input.context.time)",
        "x := numbers.range(1, 9)",
        6,
    ),
    Case(
        "long range",
        "rego.unbounded_range",
        "x := numbers.range(1, 99999)",
        "x := numbers.range(1, 9999)",
        6,
    ),
    Case(
        "never equal",
        "rego.never_equal",
        "x if input.action.name == 1",
        'x if input.action.name == "tools/call"',
        6,
    ),
    Case(
        "never equal results",
        "rego.never_equal",
        'x if count(input.context.labels) == "1"',
        "x if count(input.context.labels) == 1",
        6,
    ),
    Case(
        "two defaults",
        "rego.two_defaults",
        "default x := 1\n\ndefault x := 2",
        "default x := 1",
        1,
        3,
    ),
    Case(
        "rule and function",
        "rego.name_clash",
        "x := 1\n\nx(y) := y",
        "x := 1\n\ny(z) := z",
        1,
        3,
    ),
    Case(
        "set and value",
        "rego.name_clash",
        "x contains 1\n\nx := 2",
        "x contains 1\n\nx contains 2",
        1,
        3,
    ),
    Case(
        "rule inside a rule",
        "rego.name_clash",
        "x := 1\n\nx.y := 2",
        "x.z := 1\n\nx.y := 2",
        1,
        3,
    ),
    Case(
        "local hides rule",
        "rego.name_clash",
        "x if { response := 1; response == 1 }",
        "x if { answer := 1; answer == 1 }",
        8,
    ),
    Case(
        "local hides import",
        "rego.name_clash",
        "x if { some lib in [1]; lib == 1 }",
        "x if { some a in [1]; a == 1 }",
        13,
    ),
    Case("argument hides input", "rego.name_clash", "f(input) := input", "f(a) := a", 3),
    Case(
        "unused some",
        "rego.unused_local",
        "x if { some y; 1 == 1 }",
        "x if { some y; [1][y] == 1 }",
        13,
    ),
    Case(
        "typo in the input",
        "rego.unknown_input",
        'x if input.resourse.id == "a"',
        'x if input.resource.id == "a"',
        6,
    ),
    Case(
        "typo deeper in the input",
        "rego.unknown_input",
        'x if input.action.properties["efect"] == "read"',
        'x if input.action.properties["effect"] == "read"',
        6,
    ),
    Case(
        "arguments may be called anything",
        "rego.unknown_input",
        "x if input.resource.properties.arguments.path",
        "x if input.resource.properties.args.anything",
        6,
    ),
    Case("typo in a rule", "rego.unknown_rule", "x if lib.word", "x if lib.words", 6),
    Case(
        "a package that may be missing",
        "rego.unknown_rule",
        "x if data.wardline.lib.none",
        "x if data.wardline.policies.none.deny",
        6,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_fault_is_found_at_its_position(case: Case) -> None:
    findings = lint(case.bad)

    assert [(f.path, f.code, f.position.line, f.position.column) for f in findings] == [
        ("main.rego", case.code, FIRST_LINE + case.line - 1, case.column)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_its_good_twin_passes(case: Case) -> None:
    assert lint(case.good) == []


NEGATIONS = [
    ('not startswith(input.resource.properties.args.path, "/etc")', True),
    ('path := input.resource.properties.args.path; not startswith(path, "/etc")', False),
    ('not input.resource.properties.args.x in ["a"]', True),
    ('not "a" in input.context.labels', True),
    ("not input.resource.properties.args.x < 1", True),
    ("not input.resource.properties.args.x != 1", True),
    ("not input.resource.properties.args[input.action.name]", True),
    ("not count(input.context.labels) == 1", True),
    ("not [input.context.plan]", True),
    ("not lib.grade(lib.maybe) == 1", True),
    ("not lib.grade(lib.maybe)", True),
    ("not lib.maybe + 1 == 2", True),
    ("not lower(input.action.name) == input.action.name", True),
    ("not input.resource.properties.args.x", False),
    ("not input.resource.properties.args.x == 1", False),
    ("not input.resource.properties.args.x == input.context.run", False),
    ('key := "a"; not input.resource.properties.args[key]', False),
    ("not lib.maybe", False),
    ("not lib.maybe == 1", False),
    ('not "a" in lib.words', False),
    ("not count(lib.words) > 1", False),
    ("not count([y | some y in input.context.labels]) == 1", False),
    ('name := "a"; not lib.grade(name)', False),
    ("lib.maybe > 0; not lib.grade(lib.maybe)", False),
    ("every y in [1] { not input.context.labels[y] < y }", True),
    ('not startswith(_query, "drop")', True),
    ('not startswith(_query_of_query, "drop")', True),
    ('not _query in {"drop"}', True),
    ("not _query < 5", True),
    ('not startswith("a", _table)', True),
    ('not startswith(_part, "a")', True),
    ('not startswith(_lower, "a")', True),
    ('not "a" in _pair', True),
    ("not count(_computed) == 1", True),
    ("not max(_numbers) == 1", True),
    ("[_, y] := walk(input); y == 1; not walk(input, [_, 1])", True),
    ('not startswith(_word, "a")', False),
    ("not count(_words) == 1", False),
    ("not count(_pair_of_words) == 1", False),
    ("not _query", False),
    ('not _query == "drop"', False),
    ("z := [1 | not input.context.time < 1]; z == []", True),
]


OTHERS = """
_query := input.resource.properties.args.query

_query_of_query := _query

_table := data.wardline.tables.filesystem.none

_part := ["a"][0]

_lower := lower(input.resource.properties.args.query)

_pair := ["a", _query]

_computed[input.action.name] := 1

_numbers := []

_word := "a"

_words := [word | some word in input.resource.properties.args.words]

_pair_of_words := [_word, _words]
"""


@pytest.mark.parametrize(("body", "fires"), NEGATIONS)
def test_not_over_what_may_be_undefined_is_refused(body: str, fires: bool) -> None:  # noqa: FBT001
    codes = {finding.code for finding in lint(f"x if {{ {body} }}\n{OTHERS}")}

    assert codes - {"rego.unknown_table"} == ({"rego.unbound_not"} if fires else set())


def test_a_finding_says_where_what_and_what_to_do() -> None:
    finding = lint("\tx := time.now_ns()")[0]

    assert str(finding) == (
        f"main.rego:{FIRST_LINE}:7: rego.banned_function:"
        " `time.now_ns` is not available to policies; use input.context.time"
    )


def test_a_column_counts_characters() -> None:
    finding = lint('x if { "äöü🎉" != ""; time.now_ns() }')[0]

    assert finding.position.column == 22


def test_a_folder_without_the_entrypoint_is_refused() -> None:
    findings = check_bundle(PolicyBundle.of({"lib.rego": LIB}))

    assert [finding.code for finding in findings] == ["rego.no_entrypoint"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("import foo.bar", "rego.parse"),
        ("import future.keywords.nothing", "rego.import"),
        ("import data.b as input", "rego.import"),
        ("import data.b as data", "rego.import"),
        ("import data.b as contains", "rego.import"),
        ("import data.b.not", "rego.import"),
        ("import data.input", "rego.import"),
        ("import data.wardline.lib as lib", "rego.name_clash"),
        ("import future.keywords.in", None),
        ("import rego.v1", None),
        ("import input.context as call", None),
    ],
)
def test_imports(line: str, code: str | None) -> None:
    text = MAIN.replace("import data.wardline.lib\n", f"import data.wardline.lib\n{line}\n")

    findings = check_bundle(PolicyBundle.of({"main.rego": text, "lib.rego": LIB}))

    assert [finding.code for finding in findings] == ([code] if code else [])


@pytest.mark.parametrize("char", ["\0", "\ufeff"], ids=["null", "byte-order mark"])
@pytest.mark.parametrize("text", ["# a{}b\np if true\n", 'p if "a" == "{}"\n', "p if true{}\n"])
def test_a_character_that_opa_reads_nowhere_is_refused(text: str, char: str) -> None:
    """The embedded engine takes a null character for the end of the text."""
    found = check_bundle(PolicyBundle.of({"t.rego": "package t\n\n" + text.format(char)}))

    assert "rego.parse" in {finding.code for finding in found}


def test_every_finding_is_reported_at_once() -> None:
    codes = [finding.code for finding in lint("x := lowr(1)\n\ny := time.now_ns()")]

    assert codes == ["rego.unknown_function", "rego.banned_function"]


def test_deep_nesting_never_reaches_the_parser() -> None:
    """The parser would take hours for this."""
    findings = lint(f"x := {'[' * 60}{']' * 60}")

    assert [finding.code for finding in findings] == ["rego.nesting"]


def test_a_bundle_with_findings_is_not_sound() -> None:
    with pytest.raises(PolicyLoadError) as caught:
        require_sound(PolicyBundle.of({"main.rego": MAIN + "x := lowr(1)", "lib.rego": LIB}))

    assert len(caught.value.findings) == 1


@pytest.mark.parametrize("bundle", [sample_bundle(), load_bundle()], ids=["sample", "shipped"])
def test_what_is_shipped_is_sound(bundle: PolicyBundle) -> None:
    assert json.dumps(list(map(str, check_bundle(bundle)))) == "[]"


def test_clauses_of_one_function_stand_in_one_file() -> None:
    more = 'package wardline.lib\n\ngrade(x) := 2 if x == "b"\n'
    findings = lint("", **{"lib/more.rego": more})

    assert [(f.path, f.code, f.position.line) for f in findings] == [
        ("lib/more.rego", "rego.split_function", 3)
    ]


def test_clauses_of_one_rule_may_stand_in_two_files() -> None:
    assert lint("", **{"lib/more.rego": 'package wardline.lib\n\nwords contains "b"\n'}) == []


@pytest.mark.parametrize(
    "body", ["y := y - 1\n\ty == 1", "y := z - 1\n\tz := y - 1\n\ty < z", "y := y\n\ty > y - y"]
)
def test_locals_in_a_circle_are_findings(body: str) -> None:
    assert lint(f"x if {{\n\t{body}\n}}\n")
