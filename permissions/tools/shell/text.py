"""Shell text into simple commands, by the grammar of tree-sitter-bash. Pure.

Every simple command of a text counts, wherever it stands: in a pipe, a branch, a function, a
substitution inside quotes. A word that only the shell can know (a variable, a pattern, a
substitution) is kept as it is spelled and marked. What the grammar cannot read, or what would
make the shell run a text that is not in view, is a doubt: the commands found are then not all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.tools.shell.shown import expansions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node, Parser

    from permissions.tools.shell.shown import Expansion

MAX_TEXT: Final = 65_536
"""Characters of one text."""


class Word(NamedTuple):
    """One word of a command. `fixed` is false when only the shell can know its value."""

    text: str
    fixed: bool = True


class Redirection(NamedTuple):
    """A file that the shell itself opens for a command."""

    word: Word
    writes: bool


@dataclass(frozen=True, slots=True)
class ParsedText:
    """What stands in a text: its commands, the variables it sets, and why there may be more.

    `redirections` are the files that the shell opens, `words` what stands outside of commands:
    values of variables, and what a loop goes over.
    """

    commands: tuple[tuple[Word, ...], ...]
    variables: tuple[str, ...]
    doubts: tuple[str, ...]
    redirections: tuple[Redirection, ...] = ()
    words: tuple[tuple[str, Word], ...] = ()
    expansions: tuple[Expansion, ...] = ()


_PATTERN = re.compile(r"[*?\[\]{}]|^~|(?<==)~")
_ESCAPE = re.compile(r"\\(\n|.)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r"\\([$`\"\\\n])")
_SUBSTITUTION = re.compile(r"\$\(|`|<\(|>\(")
_PROMPT_EXPANSION = re.compile(r"@[PEA]\}|\$\{!")
_PLAIN = frozenset(
    {"word", "number", "file_descriptor", "test_operator", "special_variable_name",
     "declare", "export", "local", "readonly", "typeset"}
)  # fmt: skip
_RAW = frozenset({"ansi_c_string", "comment", "raw_string"})
_HIDING = frozenset({"declaration_command", "arithmetic_expansion", "binary_expression"})
"""Here the shell evaluates values of variables as expressions, substitutions in them included."""


def parse(text: str) -> ParsedText:
    """The simple commands of a text, in the order they stand there."""
    if len(text) > MAX_TEXT:
        return ParsedText((), (), (f"a shell text of more than {MAX_TEXT} characters",))
    root = _parser().parse(text.encode()).root_node
    nodes = list(_nodes(root))
    return ParsedText(
        commands=tuple(
            tuple(_words(node)) for node in nodes if node.type == "command" or _is_listing(node)
        ),
        variables=tuple(
            _source(node)
            for node in nodes
            if node.type == "variable_name"
            and node.parent is not None
            and node.parent.type == "variable_assignment"
        ),
        doubts=tuple(dict.fromkeys(_doubts(root, nodes))),
        redirections=tuple(_redirections(nodes)),
        words=tuple(_outside(nodes)),
        expansions=tuple(expansions(nodes)),
    )


def _redirections(nodes: list[Node]) -> Iterator[Redirection]:
    for node in nodes:
        if node.type != "file_redirect":
            continue
        signs = {_source(child) for child in node.children if not child.is_named}
        for at in node.children_by_field_name("destination"):
            if not signs & {"<&", ">&"} or at.type not in {"number", "word"}:
                yield Redirection(_word(at), writes=not signs <= {"<"})
            elif not _source(at).rstrip("-").isdigit():  # `>& file`, and no descriptor
                yield Redirection(_word(at), writes=True)


def _outside(nodes: list[Node]) -> Iterator[tuple[str, Word]]:
    """Each value that a variable gets, under its name."""
    for node in nodes:
        if node.type in {"variable_assignment", "for_statement"}:
            names = [each for each in node.named_children if each.type == "variable_name"]
            for value in node.children_by_field_name("value"):
                found = value.named_children if value.type == "array" else [value]
                for each in found:
                    yield (_source(names[0]) if names else "", _word(each))


def _doubts(root: Node, nodes: list[Node]) -> Iterator[str]:
    if root.has_error:
        yield "shell text that cannot be parsed"
    evaluates = hides = False
    for node in nodes:
        if node.type in _HIDING:
            evaluates = True
        elif node.type == "expansion" and _PROMPT_EXPANSION.search(_source(node)):
            yield "an expansion that evaluates a value"
        elif node.type in _RAW:
            hides = hides or _SUBSTITUTION.search(_source(node)) is not None
        elif node.type == "command" and not all(child.is_named for child in node.children):
            yield "a word that cannot be parsed"  # a lone `$` is left out by the grammar
        elif len(node.children_by_field_name("destination")) > 1:
            yield "a redirection that cannot be parsed"
        elif not node.named_children and _is_unread(_source(node)):
            yield "a substitution that cannot be parsed"
    if evaluates and hides:
        yield "a quoted substitution beside arithmetic, which may evaluate it"


def _is_unread(source: str) -> bool:
    """Whether a leaf of the tree holds a substitution, which should have been a node."""
    return _SUBSTITUTION.search(_ESCAPE.sub("", source)) is not None


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.named_children)


def _words(command: Node) -> Iterator[Word]:
    """The words of a command; nodes without a space between them are one word, hard to read."""
    source, start = command.text or b"", command.start_byte
    end, before = -1, Word("")
    for node in _word_nodes(command):
        gap = source[end - start : node.start_byte - start].replace(b"\\\n", b"")
        if end >= 0 and (not gap or gap.startswith(b"\\")):
            between = _ESCAPE.sub(r"\1", gap.decode(errors="replace"))
            before = Word(before.text + between + _word(node).text, fixed=False)
        else:
            if end >= 0:
                yield before
            before = _word(node)
        end = node.end_byte
    if end >= 0:
        yield before


def _is_listing(node: Node) -> bool:
    """Whether it is `export` or `declare -p X`, which show what is set."""
    if node.type != "declaration_command":
        return False
    words = [_source(child) for child in node.named_children]
    options = [word for word in words if word.startswith("-")]
    return options == words or any("p" in option for option in options)


def _word_nodes(command: Node) -> Iterator[Node]:
    if command.type == "declaration_command":
        yield from command.children
        return
    for child in command.named_children:
        if child.type == "command_name":
            yield from child.named_children
        elif child.type != "variable_assignment" and not child.type.endswith("_redirect"):
            yield child


def _word(node: Node) -> Word:
    source = _source(node)
    match node.type:
        case kind if kind in _PLAIN:
            text = _ESCAPE.sub(lambda found: found[1].strip("\n"), source)
            bare = _ESCAPE.sub("", source)
            return Word(text, fixed=not (_PATTERN.search(bare) or "$" in bare or "`" in bare))
        case "raw_string":
            return Word(source[1:-1])
        case "string":
            if node.named_children and any(
                child.type != "string_content" for child in node.named_children
            ):
                return Word(source, fixed=False)
            return Word(
                _QUOTED_ESCAPE.sub(lambda found: found[1].strip("\n"), source[1:-1]),
                fixed="$" not in _QUOTED_ESCAPE.sub("", source),
            )
        case "concatenation":
            parts = [_word(child) for child in node.children]
            joined = Word(
                "".join(part.text for part in parts), all(part.fixed for part in parts)
            )
            # Between the parts of a word nothing may have been left out by the grammar.
            gaps = sum(child.end_byte - child.start_byte for child in node.children)
            return (
                joined if gaps == node.end_byte - node.start_byte else Word(source, fixed=False)
            )
        case _:
            return Word(source, fixed=False)


def _source(node: Node) -> str:
    return (node.text or b"").decode(errors="replace")
