"""Tools that cannot be decorated: each is guarded as if it had been, and runs as it did."""

from __future__ import annotations

import functools
import math
import operator
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain_core.tools import InjectedToolArg, StructuredTool
from langchain_core.tools import tool as langchain_tool

from permissions.errors import ToolDefinitionError
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.testing import memory_broker, permitted
from permissions.tools.call import ToolCall
from permissions.tools.decorator import guard_of, tool
from permissions.tools.guarding import guard
from permissions.tools.manifest import guard_all, proposed, read_manifest
from permissions.tools.targets import FreeText, RecipientArg

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Client:
    """A client of some service."""

    def __init__(self, user: str) -> None:
        self.user = user

    def send(self, to: str, body: str = "hello") -> str:
        """Sends a mail."""
        return f"{self.user} -> {to}: {body}"

    async def send_soon(self, to: str) -> str:
        """Sends it, awaited."""
        return f"{self.user} -> {to}"

    def __call__(self, to: str) -> str:
        """Calls somebody."""
        return f"{self.user} calls {to}"


def ordered(
    first: int, second: int = 2, /, third: int = 3, *more: int, **rest: int
) -> list[int]:
    """Takes what no policy could name, too."""
    return [first, second, third, *more, *rest.values()]


def with_hidden_types(when: Missing, count: int) -> str:  # type: ignore[name-defined] # noqa: F821 - somebody else's
    """Has a type that cannot be read at run time."""
    return f"{when} {count}"


@langchain_tool
def lookup(city: str, days: int = 3) -> str:
    """Looks up the weather."""
    return f"{city} for {days}"


@langchain_tool
def hidden(city: str, token: Annotated[str, InjectedToolArg]) -> str:
    """Gets a token from its framework."""
    return city + token


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["n"],
}

MADE: dict[str, tuple[Callable[[], Any], dict[str, Any], Any]] = {
    "method": (lambda: guard(Client("kim").send), {"to": "a@b.example"}, "kim -> a@b.example: hello"),
    "async method": (lambda: guard(Client("kim").send_soon), {"to": "ben"}, "kim -> ben"),
    "partial": (
        lambda: guard(functools.partial(Client("kim").send, body="bye")),
        {"to": "ben"},
        "kim -> ben: bye",
    ),
    "callable object": (lambda: guard(Client("kim"), name="call"), {"to": "ben"}, "kim calls ben"),
    "lambda": (lambda: guard(lambda x: x, name="same"), {"x": [1]}, [1]),
    "of C": (lambda: guard(math.gcd, name="gcd", parameters={
        "type": "object", "properties": {}}), {}, 0),
    "of C with a signature": (lambda: guard(operator.add), {"a": 1, "b": 2}, 3),
    "positional": (lambda: guard(ordered), {"first": 1, "third": 9}, [1, 2, 9]),
    "unreadable types": (lambda: guard(with_hidden_types), {"when": "now", "count": 1}, "now 1"),
    "LangChain": (lambda: guard(lookup), {"city": "Ulm"}, "Ulm for 3"),
    "LangChain, structured": (
        lambda: guard(StructuredTool.from_function(Client("kim").send, name="send")),
        {"to": "ben"},
        "kim -> ben: hello",
    ),
    "by a schema": (lambda: guard(lambda n: n * 2, name="twice", parameters=SCHEMA), {"n": 4}, 8),
}  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
async def test_it_runs_as_it_did_once_it_is_decided(kind: str) -> None:
    make, arguments, result = MADE[kind]
    made = make()
    seen: list[Any] = []

    def decide(document: Any) -> Any:
        seen.append(document["resource"]["properties"]["args"])
        return permitted()

    async with memory_broker([made], decide=decide) as broker:
        async with open_session(broker, user="kim") as session:
            name = guard_of(made).definition.name
            said = await broker.call(session, ToolCall(name, arguments))
            assert isinstance(said, Completed), said
            assert said.value == result
    assert seen[0].items() >= arguments.items()


def test_nothing_is_believed_of_it_that_nobody_said() -> None:
    found = guard_of(guard(Client("kim").send)).definition
    assert (found.name, found.effect, found.impact, found.output) == (
        "send",
        "execute",
        "high",
        "untrusted",
    )
    assert found.control == {"to", "body"}
    assert found.description == "Sends a mail."


def test_what_is_said_of_it_counts() -> None:
    marks = {"to": RecipientArg(), "body": "free"}
    made = guard(Client("kim").send, effect="send", impact="medium", marks=marks, name="mail")
    found = guard_of(made).definition
    assert (found.name, found.effect, found.control) == ("mail", "send", {"to"})
    assert found.free == {"body"}
    named = guard(Client("kim").send, effect="send", impact="medium", marks={"to": "email", "body": FreeText()}, name="mail")  # fmt: skip
    assert guard_of(named).definition.digest == found.digest


async def test_what_a_partial_fixes_nobody_gives() -> None:
    made = guard(functools.partial(Client("kim").send, body="bye"))
    async with memory_broker([made], decide=lambda _: permitted()) as broker:
        async with open_session(broker, user="kim") as session:
            call = ToolCall("send", {"to": "ben", "body": "other"})
            said = await broker.call(session, call)
            assert isinstance(said, Denial)
            assert said.reasons[0].code == "arguments.invalid"


async def test_a_schemas_limits_are_kept() -> None:
    made = guard(lambda n: n, name="once", parameters=SCHEMA)
    async with memory_broker([made], decide=lambda _: permitted()) as broker:
        async with open_session(broker, user="kim") as session:
            said = await broker.call(session, ToolCall("once", {"n": 10}))
            assert isinstance(said, Denial)
            assert said.reasons[0].code == "arguments.invalid"


async def test_one_of_each_session_is_one_tool_and_its_own_runs() -> None:
    """A closure over the user's connection: never run for another, and no other tool."""

    def opened_for(user: str) -> Any:
        async def whoami() -> str:
            """Says whose connection it has."""
            return user

        return guard(whoami, effect="read", impact="low")

    async with memory_broker([opened_for("nobody")], decide=lambda _: permitted()) as broker:
        for user in ("kim", "ben"):
            async with open_session(broker, user=user):
                assert await opened_for(user)() == user
        kinds = [each.body["status"] for each in broker.trace.entries if each.type == "outcome"]
        assert kinds == ["ok", "ok"]


async def test_another_tool_of_the_same_name_does_not_run() -> None:
    async def mine() -> str:
        """Is registered."""
        return "mine"

    async def other() -> str:
        """Is another, under its name."""
        return "other"

    registered = guard(mine, name="it", on_deny="return")
    async with memory_broker([registered], decide=lambda _: permitted()) as broker:
        async with open_session(broker, user="kim"):
            said = await guard(other, name="it", on_deny="return")()
            assert said.reasons[0].code == "call.changed"


@tool
def guarded() -> str:
    """Is guarded."""
    return ""


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a class": (lambda: guard(Client), "is no function, method or callable object"),
    "a text": (lambda: guard("send"), "is no function, method or callable object"),
    "no signature": (lambda: guard(math.hypot), "describe it with parameters="),
    "a generator": (lambda: guard(functools.partial(_generate)), "is a generator"),
    "twice": (lambda: guard(guarded), "guarded is guarded already"),
    "no name": (lambda: guard(lambda: 1), "is no name for a tool"),
    "an unbound method": (lambda: guard_of(guard(Client.send)).definition, "is a method"),
    "a mark on nothing": (lambda: guard(lookup, marks={"town": "free"}), "names no argument"),
    "no such mark": (
        lambda: guard(lookup, marks={"city": "postcard"}),
        "has no mark 'postcard'",
    ),
    "an option": (lambda: guard(lookup, effects="read"), "has no option 'effects'"),
    "a sandbox": (lambda: guard(lookup, sandbox="process"), "decorate a function of your own"),
    "a schema that is none": (
        lambda: guard(lambda n: n, name="x", parameters={"type": 7}),
        "no JSON Schema",
    ),
}


def _generate() -> Any:
    yield 1


async def test_an_argument_that_a_framework_fills_in_is_no_models_to_give() -> None:
    made = guard(hidden)

    assert [*guard_of(made).definition.schema["properties"]] == ["city"]
    async with (
        memory_broker([made], decide=lambda _: permitted()) as broker,
        open_session(broker, user="kim") as session,
    ):
        given = await broker.call(session, ToolCall("hidden", {"city": "Ulm", "token": "x"}))
        assert isinstance(given, Denial)
        assert given.reasons[0].code == "arguments.invalid"
        with pytest.raises(ToolDefinitionError, match="LangGraph fills in token"):
            await broker.call(session, ToolCall("hidden", {"city": "Ulm"}))


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_guarded_says_why(what: str) -> None:
    make, said = REFUSED[what]
    with pytest.raises(ToolDefinitionError, match=said):
        make()


class Toolkit:
    """A toolkit as LangChain's are."""

    def get_tools(self) -> list[Any]:
        return [lookup, Client("kim").send]


MANIFEST = """
[tools.lookup]
effect = "read"
impact = "low"
marks = { city = "free" }
"""


def test_a_toolkit_is_guarded_whole_by_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "kit.toml").write_text(MANIFEST)
    first, second = (guard_of(each).definition for each in guard_all(Toolkit(), tmp_path / "kit.toml"))  # fmt: skip
    assert (first.name, first.effect, first.free) == ("lookup", "read", {"city"})
    assert (second.name, second.effect, second.impact) == ("send", "execute", "high")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[tools.lokup]\neffect = "read"', "names 'lokup', and there is no such tool"),
        ("[tools.lookup]\neffect = 'red'", "is not one of"),
        ("[tools.lookup]\nname = 'x'", "has options of @tool"),
        ("[tool.lookup]", "tables .tools.NAME. and nothing else"),
        ("oops", "the manifest"),
    ],
    ids=["unknown tool", "unknown effect", "renamed", "unknown table", "no TOML"],
)
def test_a_manifest_with_a_mistake_guards_nothing(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "kit.toml").write_text(text)
    with pytest.raises(ToolDefinitionError, match=said):
        guard_all(Toolkit(), tmp_path / "kit.toml")


def test_a_proposal_is_the_most_suspicious_reading_and_a_manifest(tmp_path: Path) -> None:
    text = "\n".join(proposed(guard_of(each).definition for each in guard_all(Toolkit())))
    (tmp_path / "kit.toml").write_text(text)
    assert read_manifest(tmp_path / "kit.toml") == {
        name: {"effect": "execute", "impact": "high", "output": "untrusted"}
        for name in ("lookup", "send")
    }
    assert '# marks = { to = "email" }  # as the names suggest' in text
    before = [guard_of(each).definition.digest for each in guard_all(Toolkit())]
    after = guard_all(Toolkit(), tmp_path / "kit.toml")
    assert [guard_of(each).definition.digest for each in after] == before
