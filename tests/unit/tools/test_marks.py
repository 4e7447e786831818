"""What marks say of a tool: contradicted effects are refused, unmarked arguments are told."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - read at run time
from enum import Enum
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import BaseModel

from permissions.tools.decorator import guard_of
from permissions.tools.unmarked import unmarked_arguments
from wardline import (
    AmountArg,
    CommandArg,
    FreeText,
    HostArg,
    PathArg,
    RecipientArg,
    SecretArg,
    ToolDefinition,
    ToolDefinitionError,
    tool,
)


class Colour(Enum):
    RED = "red"


Where = NewType("Where", Annotated[str, PathArg("read")])


class Model(BaseModel):
    name: str


def definition(function: Any, **options: Any) -> ToolDefinition:
    return guard_of(tool(**options)(function)).definition


def writes(it: Annotated[str, PathArg("write")]) -> None: ...
def reads(it: Annotated[str, PathArg("read")]) -> None: ...
def mails(it: Annotated[list[str] | None, RecipientArg()] = None) -> None: ...
def pays(it: Annotated[str, AmountArg()]) -> None: ...
def runs(it: Annotated[list[str], CommandArg()]) -> None: ...
def renews(it: Annotated[str, SecretArg(new=True)]) -> None: ...
def presents(it: Annotated[str, SecretArg()]) -> None: ...
def fetches(it: Annotated[str, HostArg()]) -> None: ...


CONTRADICTED = [
    (writes, "read", "a path to write"),
    (mails, "read", "a recipient"),
    (pays, "read", "an amount"),
    (renews, "read", "a credential that is set"),
    (runs, "read", "a command"),
    (runs, "write", "a command"),
    (runs, "send", "a command"),
]


@pytest.mark.parametrize(("function", "effect", "says"), CONTRADICTED)
def test_an_effect_that_a_mark_contradicts_is_refused(
    function: Any, effect: str, says: str
) -> None:
    with pytest.raises(ToolDefinitionError, match=f"effect='{effect}', and it is {says}"):
        definition(function, effect=effect)


@pytest.mark.parametrize(
    ("function", "effect"),
    [(writes, "write"), (mails, "write"), (pays, "send"), (runs, "execute"), (runs, "irreversible"),
     (fetches, "read"), (reads, "read"), (writes, "send"), (renews, "write"), (presents, "read")],
)  # fmt: skip
def test_an_effect_that_fits_its_marks_is_fine(function: Any, effect: str) -> None:
    assert definition(function, effect=effect).effect == effect


def everything(  # noqa: PLR0917 - one of each kind
    text: str,
    number: float,
    thing: Any,
    table: dict[str, str],
    many: list[str],
    model: Model,
    maybe: str | None,
    note: Annotated[str, FreeText()],
    where: Annotated[str, PathArg("write")],
    when: date,
    choice: Literal["a", "b"],
    colour: Colour,
    *,
    sure: bool,
    flags: list[bool],
    untyped=None,  # type: ignore[no-untyped-def]  # noqa: ANN001
) -> None: ...


OPEN = {"text", "number", "thing", "table", "many", "model", "maybe", "untyped"}


def test_an_argument_that_can_hold_anything_is_unmarked() -> None:
    found = definition(everything, effect="write")

    assert found.unmarked == OPEN
    assert found.free == {"note"}
    assert found.marks == {"note": "free", "where": "path"}
    assert [each.argument for each in unmarked_arguments([found])] == [
        "text", "number", "thing", "table", "many", "model", "maybe", "untyped",
    ]  # fmt: skip


def test_unmarked_arguments_of_an_effect_are_control_until_somebody_says_otherwise() -> None:
    assert definition(everything, effect="write").control == {*OPEN, "where"}
    assert definition(everything, effect="write", control=["text"]).control == {"text", "where"}
    assert definition(everything, effect="write", control=()).control == {"where"}
    only_reads = tool(effect="read")(fetches)
    assert guard_of(only_reads).definition.control == {"it"}


def searches(query: str, path: str) -> None: ...


def test_of_a_read_nothing_unmarked_is_control() -> None:
    found = definition(searches, effect="read")

    assert found.control == frozenset()
    assert found.unmarked == {"query", "path"}


NAMES = {
    "path": 'PathArg("write")', "source_file": 'PathArg("write")', "outputDir": 'PathArg("write")',
    "url": "HostArg()", "webhook_url": "HostArg()", "to": "RecipientArg()", "bcc": "RecipientArg()",
    "recipients": "RecipientArg()", "iban": 'RecipientArg("account")',
    "phone_number": "FreeText()", "phone": 'RecipientArg("phone")', "amount": "AmountArg()",
    "total_amount": "AmountArg()", "cmd": "CommandArg()", "sql": "SqlArg", "query": "language",
    "body": "FreeText()", "x": "FreeText()",
}  # fmt: skip


@pytest.mark.parametrize(("name", "mark"), NAMES.items())
def test_a_name_suggests_its_mark(name: str, mark: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def act({name}: str) -> None: ...", space)  # noqa: S102 - a name of each kind
    (found,) = unmarked_arguments([definition(space["act"], effect="write")])

    assert mark in found.suggestion
    assert str(found).startswith(f"act: {name} has no mark")


def test_a_path_of_a_read_is_suggested_as_one_to_read() -> None:
    suggestions = [
        each.suggestion for each in unmarked_arguments([definition(searches, effect="read")])
    ]

    assert "language" in suggestions[0]
    assert 'PathArg("read")' in suggestions[1]


def pays_in(
    amount: Annotated[str, AmountArg(currency_from="currency")], currency: str
) -> None: ...
def pays_in_nothing(amount: Annotated[str, AmountArg(currency_from="unit")]) -> None: ...
def both(it: Annotated[str, FreeText(), PathArg("read")]) -> None: ...


def test_the_currency_of_an_amount_is_read_with_it() -> None:
    found = definition(pays_in, effect="send")

    assert (found.unmarked, found.control) == (frozenset(), {"amount", "currency"})
    with pytest.raises(ToolDefinitionError, match="'unit', which is no argument"):
        definition(pays_in_nothing, effect="send")


def reads_new_type(it: Where) -> None: ...
def reads_new_types(it: list[Where] | None = None) -> None: ...


@pytest.mark.parametrize("function", [reads_new_type, reads_new_types])
def test_a_mark_is_read_through_a_new_type(function: Any) -> None:
    """`NewType("Where", Annotated[str, PathArg("read")])` lost its mark without a word."""
    assert definition(function, effect="read").marks == {"it": "path"}


def test_free_text_is_nothing_else() -> None:
    with pytest.raises(ToolDefinitionError, match="2 different marks"):
        definition(both, effect="read")


MISSPELT = {
    "access": lambda: PathArg("Write"),
    "no access": lambda: PathArg("append"),
    "scheme": lambda: RecipientArg("iban"),
    "negative decimals": lambda: AmountArg("EUR", -3),
    "half decimals": lambda: AmountArg("EUR", 2.5),
}


@pytest.mark.parametrize("mark", MISSPELT.values(), ids=MISSPELT)
def test_a_misspelt_mark_is_refused_where_it_stands(mark: Any) -> None:
    """`PathArg("Write")` was read by policies as a path that is not written."""
    with pytest.raises(ToolDefinitionError, match="say "):
        mark()


def bare(it: Annotated[str, PathArg]) -> None: ...
def bare_items(it: list[Annotated[str, RecipientArg]]) -> None: ...
def bare_within(it: dict[str, Annotated[str, HostArg]]) -> None: ...


@pytest.mark.parametrize("function", [bare, bare_items, bare_within])
def test_a_mark_without_its_parentheses_is_refused(function: Any) -> None:
    """It marked nothing, and nothing said so but a suggestion to mark the argument."""
    with pytest.raises(ToolDefinitionError, match=r"marks nothing|is not read"):
        definition(function, effect="write", impact="low")
