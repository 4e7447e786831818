"""What a command will run: every program of it, those that other programs start included. Pure.

`timeout 5 ssh a` runs `timeout` and `ssh`; `bash -c 'cd x && git push'` runs `bash`, `cd` and
`git`. Where that cannot be told (a name out of a variable, program text of an interpreter, an
option nobody listed) the reading says so in its doubts, and its commands are then not all.
Not protected from: what a program does by itself, a script or build file it reads, and
a file that stands under another program's name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from permissions.tools.shell.programs import STEERING_VARIABLES
from permissions.tools.shell.shown import Expansion, shown_names, traces
from permissions.tools.shell.started import started_by
from permissions.tools.shell.text import Redirection, Word, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.vocabulary import JsonObject

MAX_DEPTH: Final = 8
"""Commands within commands; what lies deeper is a doubt."""
MAX_COMMANDS: Final = 500


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its words; `program` is its name without folders, "" when unknown."""

    program: str
    words: tuple[Word, ...]


@dataclass(slots=True)
class Reading:
    """What will run, in the order it stands there. Without doubts it is everything.

    `redirections` are the files a shell opens, `words` the values that variables get, by name.
    """

    commands: list[Command] = field(default_factory=list)
    shell: bool = False
    doubts: list[str] = field(default_factory=list)
    redirections: list[Redirection] = field(default_factory=list)
    words: list[tuple[str, Word]] = field(default_factory=list)
    expansions: list[Expansion] = field(default_factory=list)

    @property
    def shown(self) -> list[str]:
        """Names of variables, perhaps of the environment, whose values the text shows."""
        traced = any(
            traces(each.program, (word.text for word in each.words[1:]))
            for each in self.commands
        )
        return shown_names(self.expansions, traced=traced)

    def document(self) -> JsonObject:
        """As policies see it.

        `commands`, each program with its words, `shell`, `complete`, and `shown`.
        """
        return {
            "shell": self.shell,
            "commands": [
                {"program": each.program, "argv": [word.text for word in each.words]}
                for each in self.commands
            ],
            "complete": not self.doubts,
            "shown": self.shown,
        }


def read_argv(argv: Sequence[str]) -> Reading:
    """What the words of one program, as given to `execve`, will run."""
    return read_words([Word(word) for word in argv])


def read_words(words: Sequence[Word]) -> Reading:
    """The same of words that are not all known yet."""
    reading = Reading()
    _read_command(reading, tuple(words), 0)
    return reading


def read_text(text: str) -> Reading:
    """What a shell that is given this text will run."""
    reading = Reading()
    _read_text(reading, text, 0)
    return reading


def _read_text(reading: Reading, text: str, depth: int) -> None:
    reading.shell = True
    parsed = parse(text)
    _doubt(reading, parsed.doubts)
    _set(reading, parsed.variables)
    reading.redirections += parsed.redirections
    reading.words += parsed.words
    reading.expansions += parsed.expansions
    for command in parsed.commands:
        _read_command(reading, command, depth + 1)


def _read_command(reading: Reading, words: tuple[Word, ...], depth: int) -> None:
    if not words:
        return
    if depth > MAX_DEPTH or len(reading.commands) >= MAX_COMMANDS:
        _doubt(reading, ["commands nested too deeply, or too many"])
        return
    first = words[0]
    # `=git` is to zsh the file of that program.
    name = os.path.basename(first.text.lstrip("=")) if first.fixed else ""  # noqa: PTH119 - of any system
    reading.commands.append(Command(name, words))
    if not name:
        _doubt(reading, ["a program whose name is not known before it runs"])
        return
    started = started_by(name.lower(), words)
    reading.shell = reading.shell or started.shell
    _doubt(reading, started.doubts)
    _set(reading, started.variables)
    for text in started.texts:
        _read_text(reading, text, depth)
    for inner in started.commands:
        _read_command(reading, inner, depth + 1)


def _doubt(reading: Reading, doubts: Sequence[str]) -> None:
    reading.doubts += [why for why in doubts if why not in reading.doubts]


def _set(reading: Reading, variables: Sequence[str]) -> None:
    _doubt(
        reading,
        [
            f"the variable {name} may decide what runs"
            for name in variables
            if name in STEERING_VARIABLES or name.startswith(("GIT_", "BASH_FUNC_"))
        ],
    )
