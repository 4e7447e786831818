"""The runner of Rego tests says pass, fail and error as `opa test` does."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from permissions.errors import PolicyLoadError
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.policy_tests import LineCoverage, run_tests

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """package a

x if {
	input.resource
	input.action
}

never if input.subject

clash := 1 if input.subject

clash := 2 if input.subject
"""
TESTS = """package a_test

import data.a

test_pass if a.x with input as {"resource": 1, "action": 2}

test_fail if a.x

test_false := false

test_error if a.clash with input as {"subject": 1}

test_print if {
	print("seen", 1)
	false
}

_helper := true
"""


def bundle(tests: str = TESTS) -> PolicyBundle:
    return PolicyBundle.of({"a.rego": MODULE}, tests={"a_test.rego": tests})


def test_each_outcome() -> None:
    run = run_tests(bundle())

    assert {result.name.rpartition(".")[2]: result.outcome for result in run.results} == {
        "test_pass": "pass",
        "test_fail": "fail",
        "test_false": "fail",
        "test_error": "error",
        "test_print": "fail",
    }
    assert not run.passed


def test_a_result_says_where_and_what_was_printed() -> None:
    results = {result.name: result for result in run_tests(bundle()).results}

    assert results["data.a_test.test_fail"].line == 7
    assert "seen 1" in results["data.a_test.test_print"].prints[0]
    assert "conflict" in results["data.a_test.test_error"].detail


def test_lines_no_test_evaluates_are_named() -> None:
    passing = (
        'package a_test\n\ntest_pass if data.a.x with input as {"resource": 1, "action": 2}\n'
    )

    run = run_tests(bundle(passing))

    assert run.passed
    assert run.coverage == {
        "a.rego": LineCoverage(covered=frozenset({4, 5}), missed=frozenset({8, 10, 12}))
    }
    assert run.covered_share == pytest.approx(2 / 5)


def test_a_misspelt_test_is_a_finding() -> None:
    with pytest.raises(PolicyLoadError) as caught:
        run_tests(bundle(f"{TESTS}\ntset_x if a.never\n"))

    (finding,) = caught.value.findings
    assert finding.startswith("a_test.rego:20:1: rego.unread_rule: `tset_x` is no test")


def test_what_another_test_uses_may_have_any_name() -> None:
    tests = "package a_test\n\ntest_x if {\n\tgiven == 1\n\tdouble(1) == 2\n}\n\n"

    assert run_tests(bundle(f"{tests}given := 1\n\ndouble(x) := x * 2\n")).passed


def test_no_test_is_no_pass() -> None:
    assert not run_tests(PolicyBundle.of({"a.rego": MODULE})).passed


@pytest.mark.parametrize("tests", ["package", f"package b\n\nx := {'[' * 20}{']' * 20}\n"])
def test_tests_that_do_not_load_are_findings(tests: str) -> None:
    with pytest.raises(PolicyLoadError):
        run_tests(bundle(tests))


@pytest.mark.opa
@pytest.mark.parametrize("case", [bundle(), load_bundle()], ids=["sample", "shipped"])
@pytest.mark.slow
def test_opa_test_says_the_same(case: PolicyBundle, tmp_path: Path) -> None:
    for path, text in {**case.modules, **case.tests}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "data.json").write_text(json.dumps(case.data))
    done = subprocess.run(
        ["opa", "test", "--format", "json", "."],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
    )

    theirs = {
        f"{result['package']}.{result['name']}": (
            "error" if "error" in result else "fail" if result.get("fail") else "pass"
        )
        for result in json.loads(done.stdout)
    }
    assert {result.name: result.outcome for result in run_tests(case).results} == theirs
