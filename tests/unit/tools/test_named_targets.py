"""Recipients and things that are known by a name: channels, user ids, tables, records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from permissions.errors import ToolDefinitionError
from permissions.tools.decorator import tool
from permissions.tools.targets import RecipientArg, ResourceArg, TargetError, parse_targets

ROOT = Path("/srv")


@pytest.mark.parametrize("value", ["general", "U024BE7LH", "#ops", "Anna Müller"])
def test_a_named_recipient(value: str) -> None:
    (found,) = parse_targets(RecipientArg("name"), "to", value, ROOT)

    assert found == {
        "kind": "recipient",
        "argument": "to",
        "scheme": "name",
        "address": value,
        "domain": None,
    }


@pytest.mark.parametrize(
    ("value", "name"), [("acme/app", "acme/app"), (13, "13"), ("users; x", "users; x")]
)
def test_a_resource(value: Any, name: str) -> None:
    (found,) = parse_targets(ResourceArg("table"), "id", value, ROOT)

    assert found == {"kind": "resource", "argument": "id", "type": "table", "name": name}


@pytest.mark.parametrize(
    "mark", [RecipientArg("name"), ResourceArg()], ids=["name", "resource"]
)
@pytest.mark.parametrize(
    "value", ["", " x", "x ", "a\u200bb", "a\nb", "x" * 600, True, 1.5, {"a": 1}], ids=ascii
)
def test_what_is_no_plain_name_is_refused(mark: RecipientArg | ResourceArg, value: Any) -> None:
    with pytest.raises(TargetError):
        parse_targets(mark, "to", value, ROOT)


def test_an_option_is_no_recipient() -> None:
    with pytest.raises(TargetError, match="dash"):
        parse_targets(RecipientArg("name"), "to", "--all", ROOT)


@pytest.mark.parametrize("kind", ["", "Table", "a b", "x" * 50])
def test_a_type_is_a_lower_case_word(kind: str) -> None:
    with pytest.raises(ToolDefinitionError, match="lower-case word"):
        ResourceArg(kind)


def test_both_are_control_arguments_of_their_tool() -> None:
    @tool(effect="send", impact="medium")
    def post(channel: Annotated[str, RecipientArg("name")]) -> None: ...

    @tool(effect="irreversible", impact="medium")
    def drop(table: Annotated[str, ResourceArg("table")]) -> None: ...

    assert post.guard.definition.control == {"channel"}
    assert drop.guard.definition.control == {"table"}
    assert drop.guard.definition.marks == {"table": "resource"}
