"""Obligations: each type, how demands add up, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from permissions.model import Evidence, Isolation, Obligation
from permissions.obligations.obligations import (
    KNOWN,
    REDACTED,
    ObligationFailedError,
    ObligationUnknownError,
    Terms,
    prepare,
    prepare_late,
    redact,
)


def terms(
    *attached: tuple[str, Any],
    isolation: Isolation = "none",
    profile: str | None = None,
    evidence: Evidence = "buffered",
    quorum: int = 0,
) -> Terms:
    obligations = [
        Obligation(id=f"t.{index}", type=kind, properties=properties)
        for index, (kind, properties) in enumerate(attached)
    ]
    return prepare(
        obligations, isolation=isolation, profile=profile, evidence=evidence, quorum=quorum
    )


def box(isolation: str, profile: str | None = None) -> tuple[str, Any]:
    return "sandbox", {"isolation": isolation, "profile": profile}


@dataclass(frozen=True)
class Case:
    id: str
    terms: Terms
    expected: Terms


CALLS = {"calls": 1}
CASES = [
    Case("none", terms(), Terms(reservations=CALLS)),
    Case("sandbox", terms(box("process")), Terms("process", reservations=CALLS)),
    Case(
        "the tool's own boundary stays",
        terms(box("process"), isolation="container"),
        Terms("container", reservations=CALLS),
    ),
    Case(
        "the strongest boundary wins",
        terms(box("kernel"), box("process")),
        Terms("kernel", reservations=CALLS),
    ),
    Case(
        "the one profile",
        terms(box("process", "wide"), box("process"), profile="wide"),
        Terms("process", "wide", reservations=CALLS),
    ),
    Case(
        "redactions add up, in order, once",
        terms(("redact", {"fields": ["/a", "/b"]}), ("redact", {"fields": ["/b", "/c"]})),
        Terms(redact=("/a", "/b", "/c"), reservations=CALLS),
    ),
    Case(
        "durable wins over buffered",
        terms(("evidence", {"level": "durable"}), ("evidence", {"level": "buffered"})),
        Terms(evidence="durable", reservations=CALLS),
    ),
    Case(
        "written is more than buffered",
        terms(("evidence", {"level": "written"}), ("evidence", {"level": "buffered"})),
        Terms(evidence="written", reservations=CALLS),
    ),
    Case(
        "a durable start is more than buffered",
        terms(("evidence", {"level": "buffered"}), ("evidence", {"level": "start-durable"})),
        Terms(evidence="start-durable", reservations=CALLS),
    ),
    Case(
        "an outcome that is written and a start that is durable: durable gives both",
        terms(("evidence", {"level": "start-durable"}), ("evidence", {"level": "written"})),
        Terms(evidence="durable", reservations=CALLS),
    ),
    Case(
        "a policy cannot weaken a durable start",
        terms(("evidence", {"level": "buffered"}), evidence="start-durable"),
        Terms(evidence="start-durable", reservations=CALLS),
    ),
    Case(
        "as many witnesses as the one that asks for most",
        terms(
            ("evidence", {"level": "witnessed", "witnesses": 2}),
            ("evidence", {"level": "witnessed"}),
            ("evidence", {"level": "replicated"}),
            quorum=2,
        ),
        Terms(evidence="witnessed", witnesses=2, reservations=CALLS),
    ),
    Case(
        "a policy cannot weaken the evidence",
        terms(("evidence", {"level": "buffered"}), evidence="durable"),
        Terms(evidence="durable", reservations=CALLS),
    ),
    Case(
        "labels add up",
        terms(("label", {"add": ["a"]}), ("label", {"add": ["b", "a"]})),
        Terms(labels=frozenset({"a", "b"}), reservations=CALLS),
    ),
    Case(
        "amounts of one budget add up",
        terms(
            ("budget", {"name": "cost", "amount": 2}),
            ("budget", {"name": "cost", "amount": 3}),
            ("budget", {"name": "calls", "amount": 1}),
        ),
        Terms(reservations={"calls": 2, "cost": 5}),
    ),
    Case(
        "the shortest deadline",
        terms(("deadline", {"seconds": 9}), ("deadline", {"seconds": 5})),
        Terms(deadline_seconds=5, reservations=CALLS),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_demands_only_add_up(case: Case) -> None:
    assert case.terms == case.expected


def test_every_type_of_the_contract_has_a_case() -> None:
    """A new obligation without a test is found here."""
    assert set(KNOWN) == {"sandbox", "redact", "evidence", "label", "budget", "deadline"}


@pytest.mark.parametrize("kind", ["Sandbox", "sandbox ", "notify", "redacts"])
def test_an_unknown_obligation_is_no_permit(kind: str) -> None:
    with pytest.raises(ObligationUnknownError, match="known are budget, deadline"):
        terms((kind, {}))


MALFORMED: dict[str, tuple[str, Any]] = {
    "sandbox: no boundary": ("sandbox", {"profile": None}),
    "sandbox: unknown boundary": ("sandbox", {"isolation": "vm"}),
    "sandbox: more than known": ("sandbox", {"isolation": "process", "network": True}),
    "redact: nothing": ("redact", {"fields": []}),
    "redact: a text": ("redact", {"fields": "/a"}),
    "evidence: unknown": ("evidence", {"level": "none"}),
    "label: nothing": ("label", {"add": []}),
    "label: numbers": ("label", {"add": [1]}),
    "budget: negative": ("budget", {"name": "cost", "amount": -1}),
    "budget: fraction": ("budget", {"name": "cost", "amount": 1.5}),
    "budget: text": ("budget", {"name": "cost", "amount": "1"}),
    "budget: true": ("budget", {"name": "cost", "amount": True}),
    "budget: odd name": ("budget", {"name": "Cost!", "amount": 1}),
    "deadline: zero": ("deadline", {"seconds": 0}),
    "deadline: text": ("deadline", {"seconds": "5"}),
    "deadline: too long": ("deadline", {"seconds": 24 * 3600 + 1}),
}


@pytest.mark.parametrize("obligation", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_obligation_is_no_permit(obligation: tuple[str, Any]) -> None:
    with pytest.raises(ObligationFailedError, match=r"'t\.0'"):
        terms(obligation)


def test_more_witnesses_than_the_record_waits_for_are_no_permit() -> None:
    with pytest.raises(ObligationFailedError, match="3 witnesses are asked for"):
        terms(("evidence", {"level": "witnessed", "witnesses": 3}), quorum=2)
    with pytest.raises(ObligationFailedError, match="only the level witnessed"):
        terms(("evidence", {"level": "durable", "witnesses": 1}), quorum=2)


def test_two_profiles_contradict_each_other() -> None:
    with pytest.raises(ObligationFailedError, match="two sandbox profiles"):
        terms(box("process", "wide"), profile="narrow")


@dataclass(frozen=True)
class Hidden:
    id: str
    pointers: list[str]
    value: Any
    expected: Any


HIDDEN = [
    Hidden("a member", ["/a"], {"a": 1, "b": 2}, {"a": REDACTED, "b": 2}),
    Hidden("everything", [""], {"a": 1}, REDACTED),
    Hidden("an item", ["/0/a"], [{"a": 1}, {"a": 2}], [{"a": REDACTED}, {"a": 2}]),
    Hidden("every item", ["/*/a"], [{"a": 1}, {"a": 2}], [{"a": REDACTED}, {"a": REDACTED}]),
    Hidden("every member", ["/*"], {"a": 1, "b": 2}, {"a": REDACTED, "b": REDACTED}),
    Hidden("escapes", ["/a~1b/c~0d"], {"a/b": {"c~d": 1}}, {"a/b": {"c~d": REDACTED}}),
    Hidden("an empty name", ["/"], {"": 1, "a": 2}, {"": REDACTED, "a": 2}),
    Hidden("a star as a name", ["/~*"], {"~*": 1}, {"~*": REDACTED}),
    Hidden("nowhere", ["/x/y", "/a/0"], {"a": 1}, {"a": 1}),
    Hidden("two", ["/a", "/b"], {"a": 1, "b": 2}, {"a": REDACTED, "b": REDACTED}),
    Hidden("a tuple", ["/1"], (1, 2), [1, REDACTED]),
]


@pytest.mark.parametrize("case", HIDDEN, ids=lambda case: case.id)
def test_what_a_pointer_names_is_replaced(case: Hidden) -> None:
    before = json.dumps(case.value)

    assert redact(case.value, case.pointers) == case.expected
    assert json.dumps(case.value) == before


@pytest.mark.parametrize(
    "text",
    [
        '{"iban": "DE02", "iban": "[redacted]"}',
        '{"a": {"iban": "DE02"}, "a": {}, "b": "iban"}',
        '{"iban": "DE02", "iban": 1}\n{"x": 1}',
    ],
)
def test_a_name_that_stands_twice_in_a_text_withholds_it(text: str) -> None:
    """JSON takes one of the two; the text still held the other."""
    with pytest.raises(ObligationFailedError, match="iban"):
        redact({"body": text}, ["/body/iban", "/body/a/iban"])


def test_a_line_of_json_may_hold_any_separator() -> None:
    text = '{"iban": "DE02", "t": "a\u2028b\x85c"}\r\n\r\n{"t": 1}\n'

    assert "DE02" not in str(redact({"body": text}, ["/body/iban"]))


@pytest.mark.parametrize("pointer", ["a", "a/b", "*", "#/a"])
def test_what_is_no_pointer_is_no_obligation_done(pointer: str) -> None:
    with pytest.raises(ObligationFailedError):
        redact({"a": 1}, [pointer])


NAMES = st.text(st.sampled_from("ab/~*0 "), max_size=3)
LATE = {
    "evidence": {"level": "durable"},
    "label": {"add": ["edited"]},
    "sandbox": {"isolation": "none"},
    "redact": {"fields": ["/x"]},
    "budget": {"name": "calls", "amount": 0},
    "deadline": {"seconds": 1},
}


@pytest.mark.parametrize("kind", KNOWN)
def test_an_obligation_about_running_comes_too_late_for_a_run_that_has_begun(kind: str) -> None:
    """Also one that asks for nothing: its author believes that something is done."""
    late = [Obligation(id="a", type=kind, properties=LATE[kind])]

    if kind in ("evidence", "label"):
        found = prepare_late(late, still=("evidence", "label"), evidence="buffered")
        assert (found.evidence == "durable") == (kind == "evidence")
        assert found.labels == ({"edited"} if kind == "label" else set())
        return
    with pytest.raises(ObligationFailedError, match=f"{kind}: .*evidence and label can still"):
        prepare_late(late, still=("evidence", "label"), evidence="buffered")


TREES = st.recursive(
    st.integers(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner)
)


def leaves(value: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*above, key))]
    if isinstance(value, list):
        return [leaf for n, item in enumerate(value) for leaf in leaves(item, (*above, str(n)))]
    return [above]


def at(value: Any, path: tuple[str, ...]) -> Any:
    for token in path:
        if value == REDACTED:
            return value
        value = value[int(token)] if isinstance(value, list) else value[token]
    return value


def pointer_to(path: tuple[str, ...]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


@given(TREES, st.data())
def test_a_redacted_leaf_never_survives(tree: Any, data: st.DataObject) -> None:
    """Whatever the names on the way, and everything else stays as it was."""
    paths = leaves(tree)
    chosen = data.draw(st.lists(st.sampled_from(paths), unique=True) if paths else st.just([]))

    shown = redact(tree, [pointer_to(path) for path in chosen])

    for path in chosen:
        assert at(shown, path) == REDACTED
    if not any("*" in path for path in chosen):
        for path in set(paths) - set(chosen):
            assert at(shown, path) == at(tree, path)
