"""A command tool is an argv with slots: nothing an argument holds becomes another word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest

from permissions.broker.mapping import targets_of
from permissions.errors import ArgumentsError
from permissions.tools.command import argv_of, command_target
from wardline import (
    CommandOutput,
    PathArg,
    ToolDefinitionError,
    tool,
)

if TYPE_CHECKING:
    from pathlib import Path


@tool(sandbox="process", command=("grep", "-c", "--max-count={most}", "--", "{word}", "{path}"))
def count(word: str, most: int, path: Annotated[str, PathArg("read")]) -> CommandOutput:
    """Counts lines with a word."""


@tool(sandbox="process", command='printf %s "$1" | wc -c', shell=True)  # noqa: S604 - declared
def size(text: str) -> CommandOutput:
    """Counts the bytes of a text."""


def target(function: Any, tmp_path: Path, **arguments: Any) -> Any:
    definition = function.guard.definition
    checked = definition.validate(arguments)
    return targets_of(definition, checked, tmp_path)[-1]


def test_policies_see_the_command(tmp_path: Path) -> None:
    found = target(count, tmp_path, word="$(id); x", most=3, path="a.txt")

    assert found == {
        "kind": "command",
        "argument": "command",
        "argv": ["grep", "-c", "--max-count=3", "--", "$(id); x", "a.txt"],
        "program": "grep",
        "shell": False,
        "commands": [
            {
                "program": "grep",
                "argv": ["grep", "-c", "--max-count=3", "--", "$(id); x", "a.txt"],
            }
        ],
        "complete": True,
        "shown": [],
        "declared": True,
    }


@pytest.mark.parametrize(
    ("template", "declared"),
    [
        (("sed", "-i", "s/open/paid/", "--", "{path}"), True),
        (("sed", "-n", "-E", "/x/p", "--", "{path}", "{path}"), True),
        (("sed", "s/open/paid/", "{path}"), False),
        (("sed", "-i", "--", "{path}"), False),
        (("sed", "-l", "--", "{path}"), False),
        (("sed", "-e", "{path}", "--", "a"), False),
        (("sed", "1e", "--", "{path}"), False),
        (("awk", "1", "--", "{path}"), False),
    ],
)
def test_an_argument_that_can_only_name_a_file_leaves_a_command_declared(
    template: tuple[str, ...], *, declared: bool
) -> None:
    found = command_target(
        template, argv_of(template, {"path": "a.txt"}, shell=False), shell=False
    )

    assert found["declared"] is declared


def test_policies_see_that_a_shell_reads_it(tmp_path: Path) -> None:
    found = target(size, tmp_path, text="$(id)")

    assert (found["argv"], found["program"], found["shell"]) == (
        ['printf %s "$1" | wc -c'],
        None,
        True,
    )
    words = argv_of(("echo $1",), {"text": "$(id)"}, shell=True)  # noqa: S604 - declared
    assert words == ["/bin/sh", "-c", "echo $1", "sh", "$(id)"]


def test_every_argument_decides_where_effects_go() -> None:
    assert count.guard.definition.control == {"word", "most", "path"}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        (("cat", "{a}"), "--help"),
        (("cat", "{a}"), "-"),
        (("cat", "{a}{a}"), "-x"),
        (("cat", "-n", "{a}", "--"), "-x"),
        (("cat", "--", "{a}"), "a\0b"),
        (("cat", "--file={a}"), "\0"),
    ],
)
def test_a_value_that_would_be_read_as_more_is_refused(
    template: tuple[str, ...], value: str
) -> None:
    with pytest.raises(ArgumentsError, match=r"^a"):
        argv_of(template, {"a": value}, shell=False)


@pytest.mark.parametrize(
    ("template", "value", "words"),
    [
        (("cat", "--", "{a}"), "-x", ["cat", "--", "-x"]),
        (("cat", "--file={a}"), "-x", ["cat", "--file=-x"]),
        (("cat", "-{a}"), "-x", ["cat", "--x"]),
        (("cat", "{a}"), "{b} a\nb", ["cat", "{b} a\nb"]),
        (("cat", "{a}"), "", ["cat", ""]),
        (("cat", "{a}"), -1, None),
    ],
)
def test_a_value_is_one_word(
    template: tuple[str, ...], value: str | int, words: list[str] | None
) -> None:
    if words is None:
        with pytest.raises(ArgumentsError):
            argv_of(template, {"a": value}, shell=False)
    else:
        assert argv_of(template, {"a": value}, shell=False) == words


def _text(a: str) -> CommandOutput:
    raise NotImplementedError


def _nothing() -> CommandOutput:
    raise NotImplementedError


def _string(a: str) -> str:
    raise NotImplementedError


def _list(a: list[str]) -> CommandOutput:
    raise NotImplementedError


def _flag(a: bool) -> CommandOutput:  # noqa: FBT001 - the signature under test
    raise NotImplementedError


def _writes(a: Annotated[str, PathArg("write")]) -> CommandOutput:
    raise NotImplementedError


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no sandbox": (_text, {"command": ("cat", "{a}")}, "in a sandbox"),
    "no words": (_nothing, {"command": (), "sandbox": "process"}, "words of an argv"),
    "an empty word": (
        _text,
        {"command": ("cat", "{a}", ""), "sandbox": "process"},
        "none of them",
    ),
    "a program that is chosen": (_text, {"command": ("{a}",), "sandbox": "process"}, "fixed"),
    "a hidden shell": (
        _text,
        {"command": ("/bin/bash", "-c", "ls {a}"), "sandbox": "process"},
        "shell=True",
    ),
    "an argument nobody sees": (
        _text,
        {"command": ("ls",), "sandbox": "process"},
        "a: command=",
    ),
    "a slot without one": (
        _nothing,
        {"command": ("ls", "{a}"), "sandbox": "process"},
        "a: command=",
    ),
    "slots in a shell's text": (
        _text,
        {"command": "ls {a}", "shell": True, "sandbox": "process"},
        r"\$1",
    ),
    "a shell without a command": (
        _text,
        {"shell": True, "sandbox": "process"},
        "without a command",
    ),
    "another result": (
        _string,
        {"command": ("ls", "{a}"), "sandbox": "process"},
        "CommandOutput",
    ),
    "a shell behind a wrapper": (
        _text,
        {"command": ("timeout", "5", "sh", "-c", "cat {a}"), "sandbox": "process"},
        "starts a shell",
    ),
    "a program that an argument names": (
        _text,
        {"command": ("nice", "{a}"), "sandbox": "process"},
        "has to be fixed",
    ),
    "a list": (_list, {"command": ("ls", "{a}"), "sandbox": "process"}, "a str or an int"),
    "a flag": (_flag, {"command": ("ls", "{a}"), "sandbox": "process"}, "a str or an int"),
    "a file to write": (
        _writes,
        {"command": ("touch", "{a}"), "sandbox": "process"},
        "writes no",
    ),
    "requirements without a sandbox": (_text, {"requires": ("a",)}, "in a sandbox"),
    "a requirement that is none": (
        _text,
        {"requires": ("a b",), "sandbox": "process"},
        "not PEP 508",
    ),
    "a requirement by URL": (
        _text,
        {"requires": ("a @ https://example.org/a.whl",), "sandbox": "process"},
        "cannot be looked up",
    ),
    "no texts": (_text, {"requires": (1,), "sandbox": "process"}, "takes texts"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_a_tool_that_cannot_be_declared_so(case: tuple[Any, dict[str, Any], str]) -> None:
    function, options, said = case

    with pytest.raises(ToolDefinitionError, match=said):
        tool(**options)(function).guard.definition  # noqa: B018 - built on first use


def test_the_declaration_is_part_of_the_digest() -> None:
    digests = {
        tool(sandbox="process", name="t", **options)(_text).guard.definition.digest
        for options in (
            {"command": ("cat", "{a}")},
            {"command": ("tac", "{a}")},
            {"command": "cat", "shell": True},
            {"command": ("cat", "{a}"), "requires": ("b",)},
        )
    }

    assert len(digests) == 4
