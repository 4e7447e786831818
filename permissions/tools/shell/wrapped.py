"""Where the command begins in the words of a program that starts one. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from permissions.tools.shell.text import Word

if TYPE_CHECKING:
    from permissions.tools.shell.programs import Wrapper


@dataclass(slots=True)
class Started:
    """What a program starts: commands, and texts for a shell. Doubts: there may be more."""

    commands: list[tuple[Word, ...]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    shell: bool = False
    doubts: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)

    def read_text(self, word: Word, who: str = "a shell") -> None:
        """Notes a text that a shell reads."""
        self.shell = True
        if word.fixed:
            self.texts.append(word.text)
        else:
            self.doubts.append(f"{who} reads a text that is not known before it runs")


def inner_command(kind: str, wrapper: Wrapper, words: tuple[Word, ...]) -> Started:
    """The command that a wrapper starts.

    Args:
        kind: the wrapper's name, for the doubts.
        wrapper: how its own words end.
        words: all of them, the wrapper's name first.
    """
    reader = _Reader(kind, wrapper, list(words[1:]))
    rest, started = reader.read(), reader.started
    if wrapper.text and not started.texts:
        rest = _late_text(wrapper, rest, started)
    if started.texts or reader.is_idle:
        return started
    if not rest:
        if started.shell or wrapper.alone == "shell":
            started.shell = True
            started.doubts.append(f"{kind} starts a shell")
    elif wrapper.joins and "-x" not in {word.text for word in words}:
        text = " ".join(word.text for word in rest)
        started.read_text(Word(text, fixed=all(word.fixed for word in rest)), kind)
    else:
        started.commands.append(tuple(rest))
    return started


def _late_text(wrapper: Wrapper, rest: list[Word], started: Started) -> list[Word]:
    """`su user -c text`, `flock file -c text`: such an option may also follow an operand."""
    options = {f"-{each}" for each in wrapper.text.split()}
    for position, word in enumerate(rest[:-1]):
        if word.text in options:
            started.read_text(rest[position + 1])
            return []
    return rest


class _Reader:
    """Takes a wrapper's own words away from the front."""

    def __init__(self, kind: str, wrapper: Wrapper, words: list[Word]) -> None:
        self._kind, self._wrapper, self._words = kind, wrapper, words
        self._text_options = wrapper.text.split()
        self._shell_options = wrapper.shell_flags.split()
        self.started = Started()
        self.is_idle = False

    def read(self) -> list[Word]:
        """What is left: the command."""
        self._take_options()
        self._take_assignments()
        for word in self._words[: self._wrapper.skip]:
            if not word.fixed:
                self._doubt("a word that is not known before it runs")
        self._words = self._words[self._wrapper.skip :]
        if self._wrapper.skip and self._words and self._words[0].text == "--":
            self._words.pop(0)
        return self._words

    def _take_assignments(self) -> None:
        while self._wrapper.assigns and self._words:
            name, sign, _ = self._words[0].text.partition("=")
            if not sign:
                return
            self.started.variables.append(name)
            self._words.pop(0)

    def _take_options(self) -> None:
        while self._words and self._words[0].text.startswith("-"):
            word = self._words.pop(0)
            if not word.fixed:
                self._doubt("an option that is not known before it runs")
            if word.text == "--":
                return
            if word.text == "-":
                continue  # `env -`, `su -`
            if word.text.startswith("--"):
                self._take_long(word.text[2:])
            else:
                self._take_short(word.text[1:])

    def _take_long(self, option: str) -> None:
        name, has_value, value = option.partition("=")
        wrapper = self._wrapper
        if name in {"help", "version"}:
            self.is_idle = True
        elif _named(name, [each for each in self._text_options if len(each) > 1]):
            self._take_text(value if has_value else None)
        elif _named(name, [each for each in self._shell_options if len(each) > 1]):
            self.started.shell = True
        elif _named(name, wrapper.long_values.split()):
            if not has_value:
                self._words[:1] = []
        elif not _named(name, wrapper.long_flags.split()):
            self._doubt(f"option --{name[:40]}")

    def _take_short(self, cluster: str) -> None:
        wrapper = self._wrapper
        for position, char in enumerate(cluster):
            rest = cluster[position + 1 :]
            if char in self._text_options:
                self._take_text(rest or None)
                return
            if char in wrapper.values:
                if not rest:
                    self._words[:1] = []
                return
            if char in wrapper.idle_flags:
                self.is_idle = True
            elif char in self._shell_options:
                self.started.shell = True
            elif char not in wrapper.flags and not (wrapper.joins and char == "x"):
                self._doubt(f"option -{char}")

    def _take_text(self, attached: str | None) -> None:
        if attached is not None:
            self.started.read_text(Word(attached))
        elif self._words:
            self.started.read_text(self._words.pop(0))

    def _doubt(self, why: str) -> None:
        self.started.doubts.append(f"{self._kind}: {why}")


def _named(given: str, known: list[str]) -> bool:
    """Whether a long option is one of these, or the beginning of one (GNU getopt)."""
    return bool(given) and any(each.startswith(given) for each in known)
