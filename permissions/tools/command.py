"""Command tools: an argv that the developer declares, with slots for typed arguments. Pure.

Each element of the template becomes one element of the argv, whatever an argument holds: no
shell reads it, and it cannot become a second element. A value that the program would read as an
option (it begins with `-`) is refused, unless `--` stands before it in the template or the
element begins with text of the template's own.
A shell is used only where the tool says `shell=True`; the text is then the developer's, the
arguments are its `$1`, `$2`, ..., and policies see a command that a shell reads.
Not protected from: what the program does with its arguments, which is the sandbox's part.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from permissions.errors import ArgumentsError, ToolDefinitionError
from permissions.tools.shell.reading import read_argv, read_text, read_words
from permissions.tools.shell.text import Word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.tools.definition import Options
    from permissions.tools.targets import Target
    from permissions.vocabulary import JsonObject

_SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TYPES = frozenset({"string", "integer"})


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command tool returns: how the command ended and what it said, as text."""

    exit_code: int
    stdout: str
    stderr: str


def check_command_tool(
    name: str,
    options: Options,
    schema: JsonObject,
    targets: Mapping[str, Target],
    returns: Any,
) -> None:
    """Refuses a command tool whose template, result or use of the workspace does not fit.

    Raises:
        ToolDefinitionError: the reason.
    """
    _check_template(name, options.command or (), schema, shell=options.shell)
    if returns is not CommandOutput:
        raise ToolDefinitionError(
            f"{name}: a command tool returns a CommandOutput; annotate it"
        )
    writes = any(getattr(mark, "access", "read") != "read" for mark in targets.values())
    if writes and options.workspace == "copy":
        raise ToolDefinitionError(
            f"{name}: a command tool writes no files of the workspace; take its output, or let"
            ' it work in an overlay: workspace="overlay"'
        )


def _check_template(
    name: str, template: tuple[str, ...], schema: JsonObject, *, shell: bool
) -> None:
    """Refuses a template that could not be filled in safely.

    Args:
        name: of the tool, for messages.
        template: as declared.
        schema: of the tool's arguments.
        shell: whether the template is one text for a shell.

    Raises:
        ToolDefinitionError: it is empty, its program is not fixed or a shell, it names no
            argument or leaves one out, or an argument is neither text nor an integer.
    """
    properties: JsonObject = schema.get("properties", {})
    if not template or not all(template) or any("\0" in word for word in template):
        raise ToolDefinitionError(
            f"{name}: command= is the words of an argv, none of them empty"
        )
    used = {name for word in template for name in _SLOT.findall(word)}
    if shell:
        if len(template) != 1 or used:
            raise ToolDefinitionError(
                f'{name}: with shell=True command= is one text, and arguments are its "$1", "$2"'
            )
        used = set(properties)
    else:
        _check_programs(name, template)
    if different := used ^ set(properties):
        raise ToolDefinitionError(
            f"{name}: {', '.join(sorted(different))}: command= has to name each argument of the"
            " function, and nothing else"
        )
    for argument, each in properties.items():
        if each.get("type") not in _TYPES:
            raise ToolDefinitionError(f"{name}: {argument} of a command is a str or an int")


def _check_programs(name: str, template: tuple[str, ...]) -> None:
    """Refuses a template whose programs an argument names, or that starts a shell unsaid."""
    reading = read_words(_words_of(template))
    for command in reading.commands:
        if not command.program or _SLOT.search(command.program):
            raise ToolDefinitionError(
                f"{name}: each program of command= has to be fixed, and an argument or the"
                f" environment names one: {template!r:.120}"
            )
    if reading.shell:
        raise ToolDefinitionError(
            f"{name}: {template!r:.120} starts a shell, which is declared with shell=True"
        )


def _words_of(template: tuple[str, ...]) -> list[Word]:
    return [Word(part, fixed=_SLOT.search(part) is None) for part in template]


def argv_of(
    template: tuple[str, ...], document: Mapping[str, object], *, shell: bool
) -> list[str]:
    """The words of one call.

    Args:
        template: as declared.
        document: the arguments, in the order of the signature.
        shell: whether the template is one text for a shell.

    Raises:
        ArgumentsError: a value would be read as an option, or holds a NUL.
    """
    for name, value in document.items():
        if "\0" in str(value):
            raise ArgumentsError([f"{name}: holds a NUL, which no command can be given"])
    if shell:
        return ["/bin/sh", "-c", template[0], "sh", *map(str, document.values())]
    words: list[str] = []
    for part in template:
        word = _SLOT.sub(lambda found: str(document[found[1]]), part)
        if word.startswith("-") and not part.startswith("-") and "--" not in words:
            named = ", ".join(_SLOT.findall(part))
            raise ArgumentsError(
                [f"{named}: begins with `-`, so it would be read as an option"]
            )
        words.append(word)
    return words


def command_target(template: tuple[str, ...], argv: list[str], *, shell: bool) -> JsonObject:
    """The command as policies see it: the same document as that of a `CommandArg`.

    It is `declared` when the developer fixed everything that runs, as far as it can be read.
    """
    reading = read_text(argv[2]) if shell else read_argv(argv)
    return {
        "kind": "command",
        "argument": "command",
        "argv": [argv[2]] if shell else argv,
        "program": None if shell else os.path.basename(argv[0]),  # noqa: PTH119
        **reading.document(),
        "declared": shell or not read_words(_words_of(template)).doubts,
    }
