"""A call, what it connects to and what it changed, as the questions policies are asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from policy_cases import base_document, merged

from permissions.broker.mapping import (
    change_set_question,
    connection_question,
    tool_question,
)
from permissions.obligations.budget import InMemoryBudgetLedger
from permissions.pdp.bundle import shipped_folder
from permissions.pdp.possible import KNOWN
from permissions.run.provenance import ProvenanceLedger
from permissions.run.state import RunState, subject_of
from permissions.tools.decorator import guard_of, tool
from sandbox.workspace import Change, ChangeSet
from sandbox.workspace.model import LISTED, Base, Fault

if TYPE_CHECKING:
    from permissions.model import JsonObject

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((shipped_folder() / "schemas" / "input.json").read_text("utf-8"))
)
APPROVAL = {
    "id": "req-1",
    "approvers": ["bob"],
    "groups": ["operators"],
    "quorum": 1,
    "approved_until": 2,
    "policy_revision": "sha256:c",
    "args_digest": "sha256:a",
}
TARGETS = [
    {
        "kind": "path",
        "argument": "path",
        "access": "write",
        "path": "/srv/desk/out",
        "resolved": "/srv/desk/out",
        "inside_workspace": True,
        "relative": "out",
        "hidden": False,
        "links": None,
    },
    {"kind": "amount", "argument": "amount", "currency": "EUR", "minor": 1},
]
CALL = merged(
    base_document(),
    {
        "action": {"properties": {"effect": "write", "impact": "high"}},
        "resource": {"properties": {"targets": TARGETS}},
        "context": {"approval": APPROVAL, "labels": []},
    },
)
FILE = Base(type="file", mode=0o755, size=5, device=1, inode=2, modified_ns=3, changed_ns=4)
CHANGES = ChangeSet(
    changes=(
        Change(path="old", kind="deleted", type="file", base=FILE),
        Change(
            path="out",
            kind="created",
            type="file",
            mode=0o750,
            size=9,
            digest="sha256:f",
            protected=True,
        ),
    ),
    refused=(Fault("'dev'", "device"),),
)


def connecting(**other: object) -> JsonObject:
    tunnel = {"kind": "connect", "host": "a.example", "port": 443, "method": None, "path": None}
    return connection_question(
        CALL, connection={**tunnel, **other}, profile="web", labels={"untrusted"}, now=7
    )


def changed(changes: ChangeSet) -> JsonObject:
    return change_set_question(
        CALL,
        changes=changes.document(),
        approval=None,
        labels={"b", "a"},
        unseen=(3, 40),
        now=7,
    )


@pytest.mark.parametrize(
    "question",
    [
        connecting(),
        connecting(kind="http", method="GET", path="/a"),
        changed(CHANGES),
        changed(ChangeSet()),
    ],
)
def test_each_question_has_the_form_of_the_contract(question: JsonObject) -> None:
    assert [fault.message for fault in SCHEMA.iter_errors(question)] == []


def test_what_is_known_before_a_call_is_what_its_input_has_of_tool_and_subject() -> None:
    @tool(effect="read", impact="low")
    def look() -> str:
        return ""

    run = RunState(
        run="run-1",
        subject=subject_of(user="alice", agent=None, roles=()),
        workspace=Path("/srv"),
        approval_mode="wait",
        budgets=InMemoryBudgetLedger(),
        limits={},
        provenance=ProvenanceLedger(),
    )
    said = tool_question(run, guard_of(look).definition)

    paths = {("input", name) for name in ("subject", "action")}
    paths |= {("input", "resource", name) for name in ("type", "id")}
    paths |= {("input", "resource", "properties", n) for n in said["resource"]["properties"]}
    assert paths | {("input", "context", "environment")} == set(KNOWN)
    assert said.keys() == {"subject", "action", "resource"}


def test_a_connection_keeps_who_asks_and_why() -> None:
    question = connecting(secret="dropped")

    assert question["subject"] == CALL["subject"]
    assert question["action"] == {**CALL["action"], "name": "egress/connect"}
    assert question["context"] == {**CALL["context"], "labels": ["untrusted"], "time": 7}
    assert question["resource"] == {
        "type": "connection",
        "id": "a.example",
        "properties": {
            "tool": "some_tool",
            "tool_digest": "sha256:b",
            "args_digest": "sha256:a",
            "kind": "connect",
            "host": "a.example",
            "port": 443,
            "method": None,
            "path": None,
            "profile": "web",
        },
    }


def test_a_change_set_says_what_it_is_and_what_was_there() -> None:
    properties = changed(CHANGES)["resource"]["properties"]

    assert properties == {
        "tool": "some_tool",
        "tool_digest": "sha256:b",
        "args_digest": "sha256:a",
        "digest": CHANGES.digest,
        "counts": {"created": 1, "changed": 0, "deleted": 1},
        "bytes": 9,
        "changes": [
            {
                "path": "old",
                "kind": "deleted",
                "type": "file",
                "size": None,
                "mode": None,
                "executable": False,
                "target": None,
                "protected": False,
                "was": {"type": "file", "size": 5, "mode": "0755", "executable": True},
            },
            {
                "path": "out",
                "kind": "created",
                "type": "file",
                "size": 9,
                "mode": "0750",
                "executable": True,
                "target": None,
                "protected": True,
                "was": None,
            },
        ],
        "complete": True,
        "refused": 1,
        "conflicts": 0,
        "targets": TARGETS[:1],
    }


def test_the_approval_of_a_call_is_none_of_its_changes() -> None:
    assert CALL["context"]["approval"] is not None
    assert changed(CHANGES)["context"]["approval"] is None


def test_a_long_change_set_says_that_it_was_cut() -> None:
    many = tuple(
        Change(path=f"a{n}", kind="created", type="file", mode=0o644, size=1)
        for n in range(LISTED + 1)
    )
    properties = changed(ChangeSet(changes=many))["resource"]["properties"]

    assert properties["complete"] is False
    assert properties["counts"]["created"] == LISTED + 1
