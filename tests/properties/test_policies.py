"""What holds for every input of the shipped policies, whatever is in it."""

from __future__ import annotations

import copy
import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opa_server import opa_server
from policy_cases import base_document, cases_bundle
from policy_inputs import APPROVALS, JUNK, VERDICTS, damaged, documents, questions

from permissions.model import Decision
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import shipped_folder
from permissions.pdp.embedded.form import is_plainly_formed
from permissions.pdp.regorus.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import JsonObject, JsonValue

BUNDLE = cases_bundle()
ENGINE = Engine(BUNDLE.modules, json.dumps(BUNDLE.data))
DENYING = {
    action: sorted(
        f"wardline.{below}.{Path(path).stem}"
        for path, text in BUNDLE.modules.items()
        if "\ndeny contains" in text and f"\npackage wardline.{below}." in text
    )
    for action, below in {
        "tools/call": "policies",
        "egress/connect": "egress",
        "effects/commit": "effects",
    }.items()
}
SCHEMA = jsonschema.Draft202012Validator(
    json.loads((shipped_folder() / "schemas" / "input.json").read_text("utf-8"))
)


def ask(document: JsonValue, rule: str = ENTRYPOINT) -> Any:
    return json.loads(ENGINE.ask(rule, json.dumps(document)))


def permitted(document: JsonValue) -> bool:
    return Decision.from_response(ask(document)).permitted


def denials(document: JsonObject) -> list[str]:
    """What the packages deny, asked one by one."""
    return [
        entry["code"]
        for package in DENYING[document["action"]["name"]]
        for entry in ask(document, f"data.{package}.deny")
    ]


@given(questions())
def test_every_input_of_the_form_has_an_answer_of_the_form(document: JsonObject) -> None:
    """And the schema agrees on what the form is."""
    assert SCHEMA.is_valid(document)
    Decision.from_response(ask(document))


@given(questions())
def test_no_permit_while_any_package_denies(document: JsonObject) -> None:
    if permitted(document):
        assert denials(document) == []


def possible(document: JsonObject) -> bool:
    """Whether the call is permitted, or a person may permit it."""
    decided = Decision.from_response(ask(document))
    return decided.permitted or decided.access_request is not None


@given(documents(), st.sampled_from(VERDICTS), st.booleans())
def test_with_a_plan_nothing_can_be_done_less_than_without_one(
    document: JsonObject,
    verdict: str,
    scope_read: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whatever the plan says of a call, a person may let it through if they could without."""
    plan = {
        "id": "plan-1",
        "digest": "sha256:p",
        "step": None,
        "verdict": verdict,
        "detail": None,
        "scope_read": scope_read,
        "required": False,
    }
    without = {**document, "context": {**document["context"], "plan": None}}
    planned = {**document, "context": {**document["context"], "plan": plan}}

    if possible(without):
        assert possible(planned)


def in_context(document: JsonObject, **context: Any) -> JsonObject:
    return {**document, "context": {**document["context"], **context}}


WEAKER = {
    "untrusted": {"trusted": False, "origin": "tool"},
    "unknown": {"trusted": False, "origin": "unknown"},
    "unlinked": {"linked": False},
    "carrying": {"carries": ["url"]},
}


@given(documents(), st.sampled_from(sorted(WEAKER)))
def test_a_value_that_is_vouched_for_less_never_allows_more(
    document: JsonObject, weaker: str
) -> None:
    origins = document["context"]["provenance"]
    weakened = {at: {**leaf, **WEAKER[weaker]} for at, leaf in origins.items()}

    if permitted(in_context(document, provenance=weakened)):
        assert permitted(in_context(document, provenance=origins))


@given(documents(), st.sampled_from(["undeclared", "exhausted", "not_ready", "mismatch"]))
def test_a_call_that_a_plan_no_longer_declares_is_never_allowed_more(
    document: JsonObject, verdict: str
) -> None:
    plan = {
        "id": "plan-1",
        "digest": "sha256:p",
        "step": "pay",
        "detail": None,
        "scope_read": False,
        "required": False,
    }

    if permitted(in_context(document, plan={**plan, "verdict": verdict})):
        assert permitted(in_context(document, plan={**plan, "verdict": "matched"}))


def _fewer(tables: JsonObject) -> JsonObject:
    """An operator's tables with nothing listed and no bound raised."""
    amounts = {
        currency: {**limit, "without_person": 0, "planned_without_person": 0}
        for currency, limit in tables["budgets"]["amounts"].items()
    }
    return {
        **tables,
        "messaging": {name: [] for name in tables["messaging"]},
        "network": {**tables["network"], "hosts": {}},
        "budgets": {**tables["budgets"], "amounts": amounts},
    }


_TABLES = BUNDLE.data["wardline"]["tables"]
POORER = Engine(
    BUNDLE.modules,
    json.dumps({"wardline": {**BUNDLE.data["wardline"], "tables": _fewer(_TABLES)}}),
)


@given(documents())
def test_what_operators_list_no_more_is_never_allowed_more(document: JsonObject) -> None:
    poorer = json.loads(POORER.ask(ENTRYPOINT, json.dumps(document)))

    if Decision.from_response(poorer).permitted:
        assert permitted(document)


@given(questions(), APPROVALS)
def test_an_approval_never_lifts_a_denial(document: JsonObject, approval: JsonObject) -> None:
    """Whatever it says and whoever gave it."""
    document["context"]["approval"] = None
    if denials(document):
        document["context"]["approval"] = approval
        assert not permitted(document)


@given(questions())
def test_an_approval_matters_only_where_one_was_asked_for(document: JsonObject) -> None:
    with_approval = permitted(document)
    document["context"]["approval"] = None
    without = Decision.from_response(ask(document))

    if with_approval and not without.permitted:
        assert without.access_request is not None


@given(documents(approvals=st.nothing()))
def test_less_trust_never_permits_more(document: JsonObject) -> None:
    """Taint can only narrow: what passes untrusted passes trusted as well."""
    trusted = copy.deepcopy(document)
    for leaf in trusted["context"]["provenance"].values():
        leaf.update(origin="user", trusted=True)

    if permitted(document):
        assert permitted(trusted)


@given(questions())
def test_only_packages_of_the_question_speak(document: JsonObject) -> None:
    """What allows a call allows neither its connections nor its changes."""
    rules = ask(document)["context"]["rules"]
    speakers = {code.split(".")[0] for code in rules} - {"main"}
    of_question = {"egress/connect": {"connection"}, "effects/commit": {"changes"}}

    if document["action"]["name"] in of_question:
        assert speakers <= of_question[document["action"]["name"]]
    else:
        assert speakers.isdisjoint({"connection", "changes"})


@given(questions() | damaged())
def test_what_is_plainly_formed_has_no_faults(document: JsonObject) -> None:
    """And no call without faults has to be looked at rule by rule."""
    formed = ENGINE.ask("data.wardline.contract.well_formed", json.dumps(document)) == "true"
    faults = ask(document, "data.wardline.contract.faults")
    action = document.get("action")

    assert not formed or faults == []
    if faults == [] and isinstance(action, dict) and action["name"] == "tools/call":
        assert formed


@given(questions() | damaged())
def test_what_the_evaluator_finds_plainly_formed_is_well_formed(document: JsonObject) -> None:
    """And no call without faults goes the longer way."""
    plain = is_plainly_formed(json.dumps(document).encode())
    faults = ask(document, "data.wardline.contract.faults")
    action = document.get("action")

    if plain:
        assert ENGINE.ask("data.wardline.contract.well_formed", json.dumps(document)) == "true"
    if faults == [] and isinstance(action, dict) and action["name"] == "tools/call":
        assert plain


@given(damaged())
def test_an_input_that_breaks_the_schema_is_never_permitted(document: JsonObject) -> None:
    """Damage that leaves the form whole is an input like any other."""
    if not SCHEMA.is_valid(document):
        assert not permitted(document)


@given(JUNK)
def test_anything_else_is_never_permitted(document: JsonValue) -> None:
    assert not permitted(document)


@pytest.mark.parametrize("about", ["tool", "connection", "change_set"])
def test_no_member_can_be_left_out(about: str) -> None:
    """The harmless question is permitted, and denied without any one of its members."""

    def without(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        members: Any = value.items() if isinstance(value, dict) else enumerate(value)
        for key, member in members:
            if isinstance(value, dict):
                yield (*path, key)
            if isinstance(member, dict | list):
                yield from without(member, (*path, key))

    base = base_document(about)
    assert permitted(base)
    survived = []
    for path in without(base, ()):
        document = copy.deepcopy(base)
        holder: Any = document
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
        if permitted(document):
            survived.append(".".join(map(str, path)))

    optional = {"context.usage.calls", "context.history"}  # no budgets; nobody reads what was
    unseen = {"context.usage.unseen_files", "context.usage.unseen_bytes"}
    if about in {"connection", "change_set"}:
        unseen.add("context.detected.secrets")  # what leaves was judged with the call itself
    assert optional <= set(survived) <= optional | unseen


@pytest.fixture(scope="module")
def opa() -> Iterator[http.client.HTTPConnection]:
    with opa_server(BUNDLE) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        yield connection
        connection.close()


def ask_opa(connection: http.client.HTTPConnection, document: JsonValue) -> Any:
    path = "/v1/data/wardline/main/response?strict-builtin-errors=true"
    connection.request("POST", path, json.dumps({"input": document}))
    answer = json.loads(connection.getresponse().read())
    return answer.get("result", answer)


@pytest.mark.opa
@given(document=questions() | damaged() | JUNK)
def test_both_engines_give_the_same_answer(
    opa: http.client.HTTPConnection, document: JsonValue
) -> None:
    """Value for value, also for inputs of no known form."""
    assert ask(document) == ask_opa(opa, document)
