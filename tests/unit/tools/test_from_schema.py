"""Tools described by a JSON Schema: checked as it stands, and the same to a broker as any other."""

from typing import Any

import anyio
import pytest

from permissions.errors import ArgumentsError, ToolDefinitionError
from permissions.tools.decorator import guard_of
from permissions.tools.definition import ToolDefinition
from wardline import (
    AmountArg,
    Completed,
    FreeText,
    RecipientArg,
    ToolCall,
    open_session,
    tool_from_schema,
)
from wardline.testing import memory_broker, permitted

PAY = {
    "type": "object",
    "properties": {
        "recipient": {"type": "string"},
        "amount": {"type": "number"},
        "subject": {"type": "string", "default": ""},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}},
    },
    "required": ["recipient", "amount"],
    "$defs": {"Tag": {"enum": ["rent", "other"]}},
}


def given(**arguments: Any) -> dict[str, Any]:
    return arguments


def defined(parameters: dict[str, Any] | None = None, **options: Any) -> ToolDefinition:
    made = tool_from_schema(given, name="pay", parameters=parameters or PAY, **options)
    return guard_of(made).definition


def test_marks_and_options_mean_what_they_mean_on_a_function() -> None:
    found = defined(
        effect="send",
        impact="medium",
        marks={
            "recipient": RecipientArg("account"),
            "amount": AmountArg("EUR"),
            "subject": FreeText(),
        },
    )

    assert (found.effect, found.impact, found.output) == ("send", "medium", "untrusted")
    assert found.control == {"recipient", "amount"}
    assert found.marks == {"recipient": "recipient", "amount": "amount", "subject": "free"}


def test_defaults_are_filled_in_and_what_nobody_gave_is_null() -> None:
    arguments = defined().validate({"recipient": "DE1", "amount": 2})

    assert arguments.document == {
        "recipient": "DE1",
        "amount": 2,
        "subject": "",
        "tags": None,
    }
    assert arguments.defaulted == {"subject", "tags"}


def test_a_definition_is_put_where_it_is_referred_to() -> None:
    assert defined().schema["properties"]["tags"]["anyOf"][0] == {
        "type": "array",
        "items": {"enum": ["rent", "other"]},
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"recipient": "DE1"},
        {"recipient": "DE1", "amount": "2"},
        {"recipient": "DE1", "amount": True},
        {"recipient": "DE1", "amount": 2, "tags": ["loan"]},
        {"recipient": "DE1", "amount": 2, "more": 1},
    ],
    ids=["missing", "text for a number", "true for a number", "not listed", "unknown"],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentsError) as refused:
        defined().validate(arguments)

    assert "DE1" not in str(refused.value)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"type": "array"}, "no object"),
        ({"type": "strange"}, "no JSON Schema"),
        ({"properties": {"a": {}}, "oneOf": [{}]}, "oneOf"),
        ({"properties": {"a": {"$ref": "https://x.example/s"}}}, "none of its own"),
        (
            {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"$ref": "#/$defs/A"}}},
            "itself",
        ),
        ({"properties": {"a-b": {}}}, "a-b"),
        ({"properties": {"class": {}}}, "class"),
        ({"properties": {}, "required": ["a"]}, "never describes"),
        ({"properties": {"a": {"type": "string", "default": 1}}}, "default of a"),
    ],
    ids=[
        "array",
        "type",
        "oneOf",
        "outside",
        "circle",
        "name",
        "keyword",
        "required",
        "default",
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolDefinitionError, match=said):
        defined(parameters)


def test_a_mark_on_no_argument_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="'to'"):
        defined(marks={"to": RecipientArg()})


def test_the_schema_and_the_function_are_part_of_the_digest() -> None:
    def other(**arguments: Any) -> Any:
        return [arguments]

    narrower = {**PAY, "properties": {**PAY["properties"], "amount": {"type": "integer"}}}
    changed = guard_of(tool_from_schema(other, name="pay", parameters=PAY)).definition

    assert len({defined().digest, defined(narrower).digest, changed.digest}) == 3


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_broker_runs_it_with_what_was_given(*, is_async: bool) -> None:
    async def given_async(**arguments: Any) -> dict[str, Any]:
        return arguments

    async def main() -> Any:
        pay = tool_from_schema(
            given_async if is_async else given, name="pay", parameters=PAY, output="trusted"
        )
        async with memory_broker([pay], decide=lambda _: permitted()) as broker:
            async with open_session(broker, user="alice") as session:
                call = ToolCall("pay", {"recipient": "DE1", "amount": 2})
                return await broker.call(session, call)

    result = anyio.run(main)

    assert isinstance(result, Completed)
    assert result.value == {"recipient": "DE1", "amount": 2, "subject": ""}


@pytest.mark.parametrize(
    ("kinds", "unmarked"),
    [(["string", "null"], True), (["boolean", "null"], False), ("string", True)],
)
def test_an_argument_of_several_types_is_told_when_one_of_them_carries_anything(
    kinds: Any,
    unmarked: bool,  # noqa: FBT001 - of the table above
) -> None:
    parameters = {"type": "object", "properties": {"x": {"type": kinds}}, "required": ["x"]}

    made = tool_from_schema(lambda x: x, name="it", parameters=parameters)

    assert guard_of(made).definition.unmarked == ({"x"} if unmarked else set())
