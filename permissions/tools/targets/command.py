"""A command as a target: every program that it will run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from permissions.tools.targets.base import TargetError, plain_text

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.vocabulary import JsonObject, JsonValue


_MAX_WORD = 65536
"""Characters of a command's word."""


@dataclass(frozen=True, slots=True)
class CommandArg:
    """A command to run: a list of words, or one text that a shell would read."""

    kind = "command"
    control = True

    def parse(self, value: JsonValue, workspace: Path) -> JsonObject:  # noqa: ARG002
        """`shell` is true where a shell reads a text, also one that the argv starts.

        `commands` is every program that will run, `complete` whether these are all, `shown`
        which variables the text shows (`permissions.tools.shell`).
        """
        from permissions.tools.shell.reading import read_argv, read_text

        if isinstance(value, str):
            text = plain_text(value, "a command", _MAX_WORD, lines=True)
            reading, argv, program = read_text(text), [text], None
        elif isinstance(value, list) and value:
            argv = [
                plain_text(word, "a word of a command", _MAX_WORD, lines=True, empty=index > 0)
                for index, word in enumerate(value)
            ]
            reading, program = read_argv(argv), os.path.basename(argv[0])  # noqa: PTH119
        else:
            raise TargetError("is neither a text nor a list of words with a program first")
        return {"argv": argv, "program": program, **reading.document(), "declared": False}

    def spelling(self) -> JsonObject:
        """The mark as JSON."""
        return {"kind": self.kind}
