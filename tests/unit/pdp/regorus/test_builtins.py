"""The builtins in Python: each row is what OPA gives, and OPA itself is asked when it is here."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from permissions.pdp.regorus.builtins import BANNED, SHIMS
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

ERROR = "error"


CASES: dict[str, Any] = {
    'indexof("aéb", "b")': 2,
    'indexof("ab", "c")': -1,
    'indexof("ab", "")': ERROR,
    'indexof("", "")': ERROR,
    'replace("aXbX", "X", "-")': "a-b-",
    'glob.match("**.pem", ["/"], "a/b.pem")': True,
    'glob.match("*.pem", ["/"], "a/b.pem")': False,
    'glob.match("*.pem", null, "a/b.pem")': True,
    'glob.match("mcp:github:*", [":"], "mcp:github:x:y")': False,
    'glob.match("mcp:github:*", [":"], "mcp:github:x")': True,
    'glob.match("a:b", [":"], "a/b")': False,
    'glob.match("api.*.com", [], "api.example.com")': True,
    'glob.match("api.*.com", [], "api.a.b.com")': False,
    'glob.match("{cat,bat,[fr]at}", [], "rat")': True,
    'glob.match("{cat,bat,[fr]at}", [], "hat")': False,
    'glob.match("[!a]x", [], "bx")': True,
    'glob.match("[!a]x", [], "ax")': False,
    'glob.match("[a-c]x", [], "bx")': True,
    'glob.match("?at", [], "cat")': True,
    'glob.match("?at", ["."], ".at")': False,
    'glob.match("a\\\\*b", [], "a*b")': True,
    'glob.match("a\\\\*b", [], "axb")': False,
    'glob.match("a(b)|c+", [], "a(b)|c+")': True,
    'glob.match("*", ["/"], "")': True,
    'glob.match("*", ["/"], "a\\nb")': True,
    'glob.match("*ü", ["/"], "zü")': True,
    'glob.match("{a", [], "a")': ERROR,
    'glob.match("[", [], "[")': ERROR,
    'regex.match("^\\\\w+$", "é")': False,
    'regex.match("^\\\\d$", "٣")': False,
    'regex.match("a.c", "xabcx")': True,
    'regex.match("^abc$", "abc\\n")': False,
    'regex.match("(?i)ABC", "abc")': True,
    'regex.match("\\\\Qa.c\\\\E", "a.c")': True,
    'regex.match("\\\\Qa.c\\\\E", "abc")': False,
    'regex.match("(?=a)", "a")': ERROR,
    'regex.match("(", "a")': ERROR,
    'regex.is_valid("(")': False,
    'regex.is_valid("(?P<a>b)")': True,
    'regex.split("a", "banana")': ["b", "n", "n", ""],
    'regex.split(",", "a,b,,c")': ["a", "b", "", "c"],
    'regex.split(",", "")': [""],
    'regex.split("x", "abc")': ["abc"],
    'regex.find_n("[a-z]+", "ab 12 cd", -1)': ["ab", "cd"],
    'regex.find_n("[a-z]+", "ab 12 cd", 1)': ["ab"],
    'regex.find_n("[a-z]+", "12", -1)': [],
    'net.cidr_contains("10.0.0.0/8", "10.1.2.3")': True,
    'net.cidr_contains("10.0.0.0/8", "11.1.2.3")': False,
    'net.cidr_contains("10.0.0.0/8", "10.1.0.0/16")': True,
    'net.cidr_contains("10.1.0.0/16", "10.0.0.0/8")': False,
    'net.cidr_contains("10.0.0.0/8", "::ffff:10.1.1.1")': True,
    'net.cidr_contains("::ffff:10.0.0.0/104", "10.1.1.1")': True,
    'net.cidr_contains("::/0", "10.1.1.1")': False,
    'net.cidr_contains("fc00::/7", "fd00::1")': True,
    'net.cidr_contains("10.1.2.3/8", "10.9.9.9")': True,
    'net.cidr_contains("010.0.0.0/8", "10.1.1.1")': ERROR,
    'net.cidr_contains("10.0.0.0/8", "010.1.1.1")': ERROR,
    'net.cidr_contains("10.0.0.0", "10.0.0.0")': ERROR,
    'net.cidr_contains("10.0.0.0/33", "10.0.0.0")': ERROR,
    'net.cidr_contains("10.0.0.0/255.0.0.0", "10.0.0.0")': ERROR,
    'net.cidr_contains("10.0.0.0/8", "example.com")': ERROR,
    'net.cidr_contains("fe80::/10", "fe80::1%eth0")': ERROR,
    'net.cidr_intersects("10.0.0.0/8", "10.1.0.0/16")': True,
    'net.cidr_intersects("10.0.0.0/8", "11.0.0.0/16")': False,
    'net.cidr_intersects("10.0.0.0/8", "fc00::/7")': False,
    'net.cidr_is_valid("10.0.0.0/8")': True,
    'net.cidr_is_valid("10.0.0.0")': False,
    'net.cidr_is_valid("010.0.0.0/8")': False,
    'lower("ÀÉ")': "àé",
    'lower("İ")': "i",
    'lower("ΘΣ")': "θσ",
    'upper("ß")': "ß",
    'upper("ŉ")': "ŉ",
    'upper("ᾳ")': "ᾼ",
    'upper("straße")': "STRAßE",
    'strings.count("aaaa", "aa")': 2,
    'strings.count("abc", "")': 4,
    'strings.count("abc", "x")': 0,
}
"""Calls as Rego text, and their values in both engines; `ERROR` when the call fails."""

STRICTER = [
    'glob.match("a***", [], "a")',
    'glob.match("?", [], "ü")',
]
"""Refused here because the engines, or OPA and common sense, disagree."""


def embedded(call: str) -> Any:
    try:
        return json.loads(
            Engine({"p.rego": f"package p\n\nx := {call}\n"}, "{}").ask("data.p.x", "{}")
        )
    except EngineError:
        return ERROR


@pytest.mark.parametrize(("call", "value"), CASES.items(), ids=CASES)
def test_the_embedded_engine_gives_the_value(call: str, value: Any) -> None:
    assert embedded(call) == value


@pytest.mark.parametrize("call", STRICTER)
def test_a_call_the_engines_disagree_on_is_refused(call: str) -> None:
    assert embedded(call) == ERROR


@pytest.mark.opa
def test_opa_gives_the_same_values() -> None:
    """Without strict errors a failing call is undefined, and its comprehension empty."""
    query = ", ".join(f"[x | x := {call}]" for call in CASES)
    done = subprocess.run(
        ["opa", "eval", "--format", "json", f"x := [{query}]"],
        capture_output=True,
        check=True,
        text=True,
    )
    found = json.loads(done.stdout)["result"][0]["bindings"]["x"]

    values = [value[0] if value else ERROR for value in found]
    assert dict(zip(CASES, values, strict=True)) == CASES


@pytest.mark.parametrize(("name", "arity"), BANNED.items(), ids=BANNED)
def test_a_banned_builtin_that_is_reached_all_the_same_fails(name: str, arity: int) -> None:
    arguments = ", ".join(['"a"', "1"][:arity])
    call = f"{name}({arguments})" if name != "http.send" else 'http.send({"url": "a"})'

    assert embedded(call) == ERROR


def test_not_over_a_failing_builtin_is_no_yes() -> None:
    engine = Engine({"p.rego": 'package p\n\nx if not http.send({"url": "a"})\n'}, "{}")

    with pytest.raises(EngineError):
        engine.ask("data.p.x", "{}")


@pytest.mark.slow
@pytest.mark.opa
def test_case_mapping_is_that_of_opa_for_every_character(tmp_path: Path) -> None:
    characters = [chr(c) for c in range(0x20000) if not 0xD800 <= c < 0xE000]
    source = "package p\n\nx := [[lower(c), upper(c)] | some c in input]\n"
    (tmp_path / "p.rego").write_text(source)
    (tmp_path / "i.json").write_text(json.dumps(characters))
    done = subprocess.run(
        ["opa", "eval", "--format", "raw", "-d", "p.rego", "-i", "i.json", "data.p.x"],
        capture_output=True,
        check=True,
        text=True,
        cwd=tmp_path,
    )

    (_, lower), (_, upper) = SHIMS["lower"], SHIMS["upper"]
    ours = [[lower(c), upper(c)] for c in characters]

    # Characters that only one of the two Unicode versions has are left out.
    differing = [
        (c, mine, theirs)
        for c, mine, theirs in zip(characters, ours, json.loads(done.stdout), strict=True)
        if mine != theirs and [c, c] not in (mine, theirs)
    ]
    assert differing == []
