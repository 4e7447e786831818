"""Marks that put a package into the shadow, and what is told beside a decision."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from rego_samples import sample_request

from permissions.errors import PdpTimeoutError
from permissions.model import Decision, ShadowAnswer
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.memory import ScriptedPdp
from permissions.pdp.shadow import ShadowedPdp, with_shadow
from permissions.pdp.shadow_marks import check_shadow, shadow_paths
from permissions.testing import asking, denied, permitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from permissions.model import JsonObject

PACKAGE = "package wardline.policies.pay\n"


def meta(*lines: str) -> str:
    return "".join(f"# {line}\n" for line in ("METADATA", *lines)) + PACKAGE


MARKED = meta("scope: package", "custom:", "  shadow: true")
MARKS = {
    "marked": (MARKED, True),
    "without a scope": (meta("custom:", "  shadow: true"), True),
    "after a licence": (f"# Of ours. No shadow.\n\n{MARKED}", True),
    "with more": (
        meta("title: a", "description: |", "  in the shadow", "custom:", "  shadow: true"),
        True,
    ),
    "said not to be": (meta("custom:", "  shadow: false"), False),
    "no metadata": (f"# custom:\n#   shadow: true\n{PACKAGE}", False),
    "no metadata, after a line": (f"# Ours.\n\n# custom:\n#   shadow: true\n{PACKAGE}", False),
    "of a rule": (
        f"{PACKAGE}\n# METADATA\n# custom:\n#   shadow: true\nallow := true\n",
        False,
    ),
    "in a text": (f'{PACKAGE}\nx := "# METADATA custom: shadow: true"\n', False),
    "another block first": (f"# METADATA\n# custom:\n#   shadow: true\n\n{PACKAGE}", True),
}


@pytest.mark.parametrize("what", MARKS)
def test_what_is_a_mark(what: str) -> None:
    text, is_marked = MARKS[what]

    assert bool(shadow_paths({"pay/pay.rego": text})) is is_marked
    assert not list(check_shadow({"pay/pay.rego": text}))


ODD = {
    "yes": {"pay/pay.rego": meta("custom:", "  shadow: yes please")},
    "a text": {"pay/pay.rego": meta("custom:", '  shadow: "true"')},
    "no yaml": {"pay/pay.rego": meta("custom: [", "  shadow: true")},
    "no object": {"pay/pay.rego": meta("custom: shadow")},
    "capitals": {"pay/pay.rego": meta("custom:", "  Shadow: true")},
    "not below custom": {"pay/pay.rego": meta("shadow: true")},
    "main": {"main/main.rego": MARKED.replace("policies.pay", "main")},
    "the contract": {"contract/contract.rego": MARKED.replace("policies.pay", "contract")},
    "one file of two": {"pay/pay.rego": MARKED, "pay/more.rego": PACKAGE},
}


@pytest.mark.parametrize("what", ODD)
def test_marks_that_cannot_be_obeyed(what: str) -> None:
    shipped = load_bundle()
    bundle = PolicyBundle.of({**shipped.modules, **ODD[what]}, shipped.data)

    assert "bundle.shadow" in {finding.code for finding in check_bundle(bundle)}


def test_nothing_in_doubt_is_in_the_shadow() -> None:
    for what in ("yes", "a text", "no yaml", "no object", "capitals", "not below custom"):
        assert not shadow_paths(ODD[what])


def told(decide: JsonObject, would: Callable[[JsonObject], Any]) -> Any:
    bundle = PolicyBundle.of({"pay/pay.rego": MARKED})
    return ShadowedPdp(bundle, ScriptedPdp(lambda _: decide), ScriptedPdp(would))


async def test_the_decision_is_of_those_in_force() -> None:
    cases = [
        (permitted(), denied("pay.no"), "deny", ("pay.no",)),
        (permitted(), asking(), "ask", ("test.needs_person",)),
        (denied(), permitted(), "allow", ()),
        (denied(), denied(), "deny", ()),
    ]
    for decide, would, verdict, codes in cases:
        async with told(decide, lambda _, would=would: would) as pdp:
            decided = await pdp.evaluate(sample_request("any"))
        assert decided.response == decide
        assert decided.shadow.verdict == verdict
        assert set(decided.shadow.codes) == {*codes}
        assert decided.shadow.response == would
        assert decided.permitted is decide["decision"]


async def test_a_shadow_that_fails_changes_nothing() -> None:
    def late(_: JsonObject) -> Any:
        raise PdpTimeoutError("late")

    for would in (late, lambda _: {"decision": True}):
        async with told(permitted(), would) as pdp:
            decided = await pdp.evaluate(sample_request("any"))
        assert decided.permitted
        assert decided.shadow.verdict is None
        assert decided.shadow.codes[0] in {"PdpTimeoutError", "PdpAnswerError"}


def test_without_marks_there_is_one_decision_point() -> None:
    one: Any = nullcontext()
    unmarked = PolicyBundle.of({"pay/pay.rego": PACKAGE})

    def never(_: PolicyBundle) -> Any:
        pytest.fail("it was asked for")

    assert with_shadow(unmarked, decides=lambda _: one, would=never) is one


def test_what_is_beside() -> None:
    before = Decision.from_response(denied("a.no"))
    assert ShadowAnswer.beside(before, before) == ShadowAnswer("deny", (), before.response)
