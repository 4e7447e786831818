"""The decorator and the definition it gives: what stays, what is refused, what the digest covers."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PlainSerializer, SecretStr
from typing_extensions import TypeAliasType
from typing_extensions import TypedDict as OlderTypedDict

from permissions.errors import ArgumentsError
from permissions.tools.decorator import guard_of
from permissions.tools.definition import ToolDefinition
from permissions.tools.registry import ToolRegistry
from wardline import (
    AmountArg,
    CommandArg,
    FreeText,
    HostArg,
    NoSessionError,
    PathArg,
    RecipientArg,
    ToolDefinitionError,
    tool,
)


def definition(function: Callable[..., Any], **options: Any) -> ToolDefinition:
    return guard_of(tool(**options)(function) if options else tool(function)).definition


def imported(name: str) -> Any:
    """A module beside this one, imported by its file."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- what stays ---------------------------------------------------------------------------


def test_a_decorated_function_looks_as_before() -> None:
    def count(path: str, *, times: int = 2) -> list[int]:
        """Counts."""
        return [times]

    guarded = tool(effect="read", impact="low")(count)

    assert (guarded.__name__, guarded.__doc__) == ("count", "Counts.")
    assert inspect.signature(guarded) == inspect.signature(count)
    assert inspect.get_annotations(guarded) == inspect.get_annotations(count)
    assert not inspect.iscoroutinefunction(guarded)


def test_an_async_function_stays_async() -> None:
    @tool
    async def wait() -> None: ...

    assert inspect.iscoroutinefunction(wait)
    assert guard_of(wait).definition.is_async


def test_bare_means_the_most_suspicious_reading() -> None:
    @tool
    def act(text: str) -> str:
        return text

    found = guard_of(act).definition

    assert (found.name, found.effect, found.impact) == ("act", "execute", "high")
    assert (found.isolation, found.output, found.control) == ("none", "untrusted", {"text"})


async def test_a_call_without_a_session_is_one_sentence_and_runs_nothing() -> None:
    ran: list[int] = []

    @tool
    def act() -> None:
        ran.append(1)

    @tool
    async def aact() -> None:
        ran.append(2)

    with pytest.raises(NoSessionError, match="act is guarded and was called outside"):
        act()
    with pytest.raises(NoSessionError, match="was not run"):
        await aact()
    with pytest.raises(NoSessionError):
        act.guard.explain()
    assert ran == []


# -- what is refused ----------------------------------------------------------------------


class Holder:
    def method(self, text: str) -> str:
        return text

    @classmethod
    def of_class(cls, text: str) -> str:
        return text

    def __call__(self, text: str) -> str:
        return text


def generator(text: str) -> Iterator[str]:
    yield text


async def async_generator(text: str) -> AsyncIterator[str]:
    yield text


def plain(text: str = "") -> str:
    return text


@dataclass(frozen=True)
class Refused:
    id: str
    function: Any
    says: str
    options: Any = None


NOT_TOOLS = [
    Refused("method", Holder.method, "is a method"),
    Refused("bound method", Holder().method, "plain function"),
    Refused("class method", Holder.of_class, "plain function"),
    Refused("callable object", Holder(), "plain function"),
    Refused("class", Holder, "plain function"),
    Refused("partial", partial(plain, "x"), "plain function"),
    Refused("builtin", len, "plain function"),
    Refused("finished tool", tool(plain).guard, "Swap the two decorators"),
    Refused("generator", generator, "is a generator"),
    Refused("async generator", async_generator, "is a generator"),
    Refused("lambda", lambda: 0, "no name for a tool"),
    Refused("effect", plain, "effect='delete' is not one of", {"effect": "delete"}),
    Refused("impact", plain, "impact='none' is not one of", {"impact": "none"}),
    Refused("sandbox", plain, "sandbox='vm' is not one of", {"sandbox": "vm"}),
    Refused("workspace", plain, "workspace='all' is not one of", {"workspace": "all"}),
    Refused(
        "layer for several calls",
        plain,
        "opened for one call alone",
        {"workspace": "overlay", "sandbox": "process", "stateful": True},
    ),
    Refused("layer without limits", plain, "say sandbox='process'", {"workspace": "overlay"}),
    Refused("output", plain, "output=True is not one of", {"output": True}),
    Refused("stateful", plain, "stateful='no' is not one of", {"stateful": "no"}),
    Refused(
        "confirms by reading",
        plain,
        "confirms=True is for",
        {"confirms": True, "effect": "read"},
    ),
    Refused("kept nowhere", plain, "no sandbox that calls could share", {"stateful": True}),
    Refused(
        "kept and trusted",
        plain,
        "does not hold for what it was fed",
        {"stateful": True, "sandbox": "process", "output": "trusted"},
    ),
    Refused(
        "kept and idempotent",
        plain,
        "does not hold where a call leaves something",
        {"stateful": True, "sandbox": "process", "idempotent": True},
    ),
    Refused(
        "kept command",
        plain,
        "leaves nothing that a later call could find",
        {"stateful": True, "sandbox": "process", "command": ("true",)},
    ),
    Refused("on_deny", plain, "on_deny='ignore' is not one of", {"on_deny": "ignore"}),
    Refused("control", plain, "control names no argument: ['to']", {"control": ["to"]}),
    Refused("empty name", plain, "no name for a tool", {"name": ""}),
    Refused("name of two lines", plain, "no name for a tool", {"name": "a\nb"}),
    Refused("long name", plain, "no name for a tool", {"name": "a" * 65}),
    Refused("name that looks like another", plain, "no name for a tool", {"name": "\u0430bc"}),
]


@pytest.mark.parametrize("case", NOT_TOOLS, ids=lambda case: case.id)
def test_what_cannot_be_guarded_is_refused_where_it_stands(case: Refused) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        tool(**(case.options or {"effect": "read"}))(case.function)

    assert case.says in str(caught.value)


class Mail(BaseModel):
    to: Annotated[str, RecipientArg()]


@dataclass
class Page:
    url: Annotated[str, HostArg()]


class Both(TypedDict):
    paths: list[Annotated[str, PathArg()]]


class Older(OlderTypedDict):
    path: Annotated[str, PathArg()]


class Row(NamedTuple):
    path: Annotated[str, PathArg()]


class Opaque:
    """No schema for it."""


def star_args(*texts: str) -> None: ...
def star_kwargs(**texts: str) -> None: ...
def positional(text: str, /) -> None: ...
def without_schema(it: Opaque) -> None: ...
def callback(then: Callable[[], None]) -> None: ...
def secret(password: SecretStr) -> None: ...
def deep_secret(by_name: dict[str, SecretStr]) -> None: ...
def excluded(note: Annotated[str, Field(exclude=True)] = "") -> None: ...
def bad_default(times: int = "many") -> None: ...  # type: ignore[assignment]
def odd_default(it: Any = object()) -> None: ...  # noqa: B008
def in_model(mail: Mail) -> None: ...
def in_dataclass(page: Page) -> None: ...
def in_typed_dict(both: Both | None = None) -> None: ...
def in_older_typed_dict(both: Older) -> None: ...
def in_named_tuple(row: Row) -> None: ...
def deep_in_named_tuple(rows: dict[str, list[Row]]) -> None: ...
def in_dict(by_name: dict[str, Annotated[str, PathArg()]]) -> None: ...
def two_marks(text: Annotated[str, PathArg()] | Annotated[int, AmountArg()]) -> None: ...
def two_accesses(text: Annotated[str, PathArg("read"), PathArg("write")]) -> None: ...
def commands(argvs: list[Annotated[list[str], CommandArg()]]) -> None: ...
def unreadable(it: "no.such.Thing") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def nonsense(it: "not a hint!") -> None: ...  # type: ignore[syntax]  # noqa: F722


UNDEFINED = [
    Refused("*args", star_args, "takes arguments no policy could name"),
    Refused("**kwargs", star_kwargs, "takes arguments no policy could name"),
    Refused("positional only", positional, "positional only"),
    Refused("type without a schema", without_schema, "cannot be turned into a schema"),
    Refused("type without a JSON form", callback, "has no JSON form"),
    Refused("secret", secret, "two different calls would look the same"),
    Refused("secret inside", deep_secret, "two different calls would look the same"),
    Refused("argument nobody would see", excluded, "excluded from its JSON form"),
    Refused("default of another type", bad_default, "the default of times does not fit"),
    Refused("default that is not JSON", odd_default, "the default of it does not fit"),
    Refused("mark in a model", in_model, "where it is not read"),
    Refused("mark in a dataclass", in_dataclass, "where it is not read"),
    Refused("mark in a typed dict", in_typed_dict, "where it is not read"),
    Refused("mark in the other typed dict", in_older_typed_dict, "where it is not read"),
    Refused("mark in a named tuple", in_named_tuple, "where it is not read"),
    Refused("mark deep in a named tuple", deep_in_named_tuple, "where it is not read"),
    Refused("mark in a dict", in_dict, "where it is not read"),
    Refused("two marks", two_marks, "2 different marks"),
    Refused("read and write", two_accesses, "2 different marks"),
    Refused("list of commands", commands, "list of commands"),
    Refused("name that is not there", unreadable, "cannot be read at run time"),
    Refused("no type at all", nonsense, "cannot be read at run time"),
]


@pytest.mark.parametrize("case", UNDEFINED, ids=lambda case: case.id)
def test_a_signature_policies_could_not_see_is_refused(case: Refused) -> None:
    """When the broker opens, not when the module is imported."""
    guarded = tool(case.function)

    with pytest.raises(ToolDefinitionError) as caught:
        ToolRegistry([guarded])

    assert case.says in str(caught.value)


# -- the schema ---------------------------------------------------------------------------


def test_names_that_models_reserve_are_fine() -> None:
    def odd(
        schema: str,
        copy: int,
        _x: int,
        model_config: str,
        argument_copy: int = 1,
        über: str = "",  # noqa: PLC2401 - JSON may name it
    ) -> None: ...

    given = {"schema": "a", "copy": 1, "_x": 2, "model_config": "c"}

    found = definition(odd).validate(given)

    assert found.document == found.values == {**given, "argument_copy": 1, "über": ""}
    assert found.defaulted == {"argument_copy", "über"}
    assert list(definition(odd).schema["properties"]) == list(inspect.signature(odd).parameters)
    with pytest.raises(ArgumentsError, match="argument_schema: Extra inputs"):
        definition(odd).validate({**given, "argument_schema": "b"})


def test_an_alias_of_the_developer_changes_no_name() -> None:
    def act(path: Annotated[str, Field(alias="other", min_length=2)]) -> None: ...

    found = definition(act)

    assert found.validate({"path": "ab"}).values == {"path": "ab"}
    with pytest.raises(ArgumentsError):
        found.validate({"other": "ab"})
    with pytest.raises(ArgumentsError, match="path: String should have at least 2"):
        found.validate({"path": "a"})


def test_postponed_annotations_are_read() -> None:
    found = guard_of(imported("postponed").postponed).definition

    assert found.targets == {"path": PathArg("write"), "to": RecipientArg()}
    assert found.schema["properties"]["path"]["type"] == "string"
    assert found.output_schema == {"type": "integer"}


def test_a_type_imported_for_checkers_only_is_refused_with_the_remedy() -> None:
    guarded = imported("postponed").hidden

    with pytest.raises(ToolDefinitionError, match="outside `if TYPE_CHECKING:`"):
        ToolRegistry([guarded])


Marked = TypeAliasType("Marked", Annotated[str, PathArg()])


class Where(NamedTuple):
    id: str
    hint: Any


WHERE = [
    Where("on the argument", Annotated[str, PathArg()]),
    Where("beside others", Annotated[str, Field(min_length=1), PathArg(), "words"]),
    Where("twice the same", Annotated[str, PathArg(), PathArg()]),
    Where("in a union", Annotated[str, PathArg()] | None),
    Where("in an old union", Optional[Annotated[str, PathArg()]]),  # noqa: UP045
    Where("around a union", Annotated[str | None, PathArg()]),
    Where("in a list", list[Annotated[str, PathArg()]]),
    Where("around a list", Annotated[list[str], PathArg()]),
    Where("in a tuple", tuple[Annotated[str, PathArg()], ...]),
    Where("in a set", set[Annotated[str, PathArg()]] | None),
    Where("behind a name", Marked),
    Where("behind a name, in a list", list[Marked] | None),
]


@pytest.mark.parametrize("where", WHERE, ids=lambda where: where.id)
def test_a_mark_is_found_wherever_it_can_be_written(where: Where) -> None:
    """One that was overlooked would leave policies without a target."""

    def act(path: Any) -> None: ...

    act.__annotations__["path"] = where.hint

    found = definition(act)

    assert found.targets == {"path": PathArg()}
    assert found.control == {"path"}


def test_no_mark_is_found_where_there_is_none() -> None:
    class Plain(BaseModel):
        again: "Plain | None" = None
        name: str = ""

    def act(
        a: Plain, b: Literal["x", 1], c: dict[str, list[int]], d: Annotated[str, "path"], e: Any
    ) -> None: ...

    act.__annotations__["a"] = Plain

    assert definition(act).targets == {}


def test_control_adds_to_the_marks() -> None:
    def send(to: Annotated[str, RecipientArg()], subject: str, body: str) -> None: ...

    assert definition(send, control=["subject"]).control == {"to", "subject"}


class InjectedState:
    """Stands for a framework's own mark; only its name counts."""


class ToolRuntime:
    """Stands for a framework's runtime object."""


def test_what_a_framework_fills_in_is_no_argument() -> None:
    def act(
        text: str,
        state: Annotated[dict[str, Any], InjectedState],
        more: Annotated[Any, InjectedState()],
        runtime: ToolRuntime,
    ) -> None: ...

    found = definition(act)

    assert found.injected == {"state", "more", "runtime"}
    assert list(found.schema["properties"]) == ["text"]
    with pytest.raises(ArgumentsError, match="state: Extra inputs"):
        found.validate({"text": "a", "state": {}})


# -- arguments ----------------------------------------------------------------------------


def bound(when: date, anything: Any = None, ratio: float = 0.5) -> None: ...


def test_arguments_are_coerced_and_defaults_filled_in() -> None:
    found = definition(bound).validate({"when": "2026-01-02"})

    assert found.values == {"when": date(2026, 1, 2), "anything": None, "ratio": 0.5}
    assert found.document == {"when": "2026-01-02", "anything": None, "ratio": 0.5}
    assert found.defaulted == {"anything", "ratio"}


def looped() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


MALFORMED: dict[str, Any] = {
    "missing": {},
    "wrong type": {"when": "x-secret"},
    "unknown name": {"when": "2026-01-02", "x": "x-secret"},
    "name not a text": {"when": "2026-01-02", 5: 1},
    "name with a surrogate": {"when": "2026-01-02", "\ud800": 1},
    "not a mapping": [("when", "2026-01-02")],
    "nothing": None,
    "a text": "x-secret",
    "an object": {"when": "2026-01-02", "anything": object()},
    "bytes that are no text": {"when": "2026-01-02", "anything": b"\xff"},
    "a loop": {"when": "2026-01-02", "anything": looped()},
    "surrogate as a key": {"when": "2026-01-02", "anything": {"\ud800": 1}},
}


@pytest.mark.parametrize("arguments", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_arguments_say_which_and_never_what(arguments: Any) -> None:
    with pytest.raises(ArgumentsError) as caught:
        definition(bound).validate(arguments)

    assert caught.value.problems
    assert "x-secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_the_function_gets_what_was_decided_and_nothing_the_caller_holds(value: Any) -> None:
    """Changing the caller's own objects afterwards changes nothing."""
    given_list = [value]

    found = definition(bound).validate({"when": "2026-01-02", "anything": given_list})
    given_list.append("changed")
    if isinstance(value, list | dict):
        value.clear()

    assert found.values["anything"] == found.document["anything"]
    assert len(found.values["anything"]) == 1
    assert found.values["anything"] is not found.document["anything"]


def test_values_json_cannot_show_do_not_reach_the_function() -> None:
    """Policies would see null or a text where the function gets something else."""
    found = definition(bound).validate(
        {"when": "2026-01-02", "anything": {1: (date(2026, 1, 2), float("nan"))}}
    )

    assert found.values["anything"] == found.document["anything"]
    assert found.values["anything"] == {"1": ["2026-01-02", None]}


def test_a_type_that_does_not_read_back_is_refused() -> None:
    def act(text: Annotated[str, PlainSerializer(lambda value: value + "!")]) -> None: ...

    with pytest.raises(ArgumentsError, match="does not read back"):
        definition(act).validate({"text": "a"})


def test_binding_names_positional_arguments() -> None:
    found = definition(bound)

    assert found.bind(("2026-01-02",), {"ratio": 1}) == {"when": "2026-01-02", "ratio": 1}
    with pytest.raises(ArgumentsError, match="too many positional"):
        found.bind((1, 2, 3, 4), {})


# -- the digest ---------------------------------------------------------------------------


def base(path: Annotated[str, PathArg("read")], times: int = 1) -> str:
    return path * times


def digest(function: Any = base, **options: Any) -> str:
    return definition(function, **{"name": "base", "effect": "read", **options}).digest


def other_source(path: Annotated[str, PathArg("read")], times: int = 1) -> str:
    return path * times * 2


def other_default(path: Annotated[str, PathArg("read")], times: int = 2) -> str:
    return path * times


def other_access(path: Annotated[str, PathArg("write")], times: int = 1) -> str:
    return path * times


def other_mark(path: Annotated[str, FreeText()], times: int = 1) -> str:
    return path * times


CHANGES: dict[str, dict[str, Any]] = {
    "name": {"name": "other"},
    "effect": {"effect": "write"},
    "impact": {"impact": "low"},
    "sandbox": {"sandbox": "process"},
    "profile": {"profile": "wide"},
    "stateful": {"stateful": True, "sandbox": "process"},
    "control": {"control": ["times"]},
    "output": {"output": "trusted"},
    "source": {"function": other_source},
    "default": {"function": other_default},
    "access": {"function": other_access, "effect": "write"},
    "free": {"function": other_mark},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_tool_has_another_digest(change: dict[str, Any]) -> None:
    assert digest(**change) != digest()


def test_the_same_tool_has_the_same_digest() -> None:
    assert digest() == digest()


def test_a_function_without_source_still_has_a_digest_of_its_code() -> None:
    one: dict[str, Any] = {}
    exec("def typed_in(text: str) -> str: return text + 'a'", one)  # noqa: S102
    other: dict[str, Any] = {}
    exec("def typed_in(text: str) -> str: return text + 'b'", other)  # noqa: S102

    assert definition(one["typed_in"]).digest != definition(other["typed_in"]).digest


# -- the registry -------------------------------------------------------------------------


def test_the_registry_knows_its_tools_and_nothing_else() -> None:
    registry = ToolRegistry([tool(plain), tool(name="again")(plain)])

    found = registry.find("again")

    assert found is not None
    assert found.function is plain
    assert registry.find("Again") is None
    assert [each.name for each in registry] == ["plain", "again"]
    assert registry.digest != ToolRegistry([tool(plain)]).digest


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="two tools are called 'plain'"):
        ToolRegistry([tool(plain), tool(plain)])


def test_an_undecorated_function_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="plain is not a guarded tool"):
        ToolRegistry([plain])
