"""From labels to guarded tools; what a label says wrongly is said with its suite and tool."""

from __future__ import annotations

from typing import Any

import pytest

from permissions.errors import ConfigError
from permissions.evaluation.labels import tools_of
from permissions.evaluation.rows import LabelRow, ToolRow
from permissions.evaluation.suite import Suite
from permissions.tools.decorator import guard_of
from permissions.tools.targets import SecretArg

PARAMETERS = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}


def suite(parameters: dict[str, Any] = PARAMETERS, **label: Any) -> Suite:
    told = {"effect": "egress", "untrusted_output": False, "sensitive_args": ["to"], **label}
    return Suite(
        "desk",
        {"send": ToolRow(suite="desk", name="send", parameters=parameters)},
        {"send": LabelRow(suite="desk", tool="send", **told)},
    )


def test_what_completes_an_earlier_call_confirms() -> None:
    [pay] = tools_of(suite(effect="commit", sensitive_args=[]), lambda *_: None)
    [order] = tools_of(suite(effect="commit"), lambda *_: None)

    assert guard_of(pay).definition.options.confirms
    assert not guard_of(order).definition.options.confirms
    assert guard_of(order).definition.effect == "irreversible"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"marks": {"to": {"kind": "payee"}}}, "a mark's kind is one of"),
        ({"marks": {"to": {"kind": ["recipient"]}}}, "a mark's kind is one of"),
        ({"marks": {"to": {"kind": "recipient", "sheme": "name"}}}, "has no 'sheme'"),
        ({"marks": {"to": {"kind": "recipient", "scheme": "pigeon"}}}, "pigeon"),
        ({"effect": "read", "marks": {"to": {"kind": "amount"}}}, "effect='read'"),
        ({"trusted_fields": ["no field!"]}, "trusted_fields"),
        ({"parameters": {**PARAMETERS, "oneOf": [{}]}}, "oneOf"),
    ],
    ids=["kind", "kinds", "member", "scheme", "effect", "field", "schema"],
)
def test_a_label_that_cannot_be_used_is_an_error(label: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        list(tools_of(suite(**label), lambda *_: None))

    assert str(caught.value).startswith("suite desk: ")


@pytest.mark.parametrize(
    ("says", "new"),
    [
        ("Log in to the shop.", False),
        ("Signs the person in.", True),
        ("Sign-in with a password.", False),
        ("Authenticates at the bank.", False),
        ("Update the password.", True),
        ("", True),
    ],
)
def test_a_credential_is_set_unless_its_tool_says_that_it_signs_in(
    says: str, new: object
) -> None:
    parameters = {
        "type": "object",
        "properties": {"user": {"type": "string"}, "password": {"type": "string"}},
    }
    told = LabelRow(
        suite="desk",
        tool="send",
        effect="credential",
        untrusted_output=False,
        sensitive_args=["user", "password"],
    )
    row = ToolRow(suite="desk", name="send", description=says, parameters=parameters)
    [built] = tools_of(Suite("desk", {"send": row}, {"send": told}), lambda *_: None)

    assert guard_of(built).definition.targets == {"password": SecretArg(new=bool(new))}
