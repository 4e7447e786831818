"""What one program starts by the words it is given, each kind of program by its own rule. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from permissions.tools.shell.programs import (
    DOUBTFUL_BUILTINS,
    INLINE_CODE,
    MULTI_CALL,
    OTHER_SHELLS,
    PROFILED,
    RUNNERS,
    SHELLS,
    STARTING_OPTIONS,
    STARTING_WORDS,
    WRAPPERS,
)
from permissions.tools.shell.text import Word, parse
from permissions.tools.shell.wrapped import Started, inner_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Words = tuple[Word, ...]

_VERSION = re.compile(r"(?<=[a-z])[0-9.]+\Z")
_LOADER = re.compile(r"(ld-linux.*|ld-musl.*|ld64?|ld-[0-9.]+)\.so(\.[0-9]+)*\Z")
_EMULATOR = re.compile(r"qemu-(?!system|img|io|nbd|ga)\w+(-static)?\Z")
_SPLIT = re.compile(r"-[iv0]*S|--s[a-z-]*=?")
_FIND_ACTIONS: Final = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_AWK: Final = frozenset({"awk", "gawk", "mawk", "nawk", "original-awk"})
_AWK_STARTS = re.compile(r"^-[li]|^--(?:lo|inc)|system|(?<!\|)\|(?!\|)|@load|\|\s*getline")
_SED_STARTS = re.compile(r"(?:^|[;{}0-9$/!\s])e(?:\s|$|;|})|s(.).*\1.*\1[gpiImM0-9]*e")
_SED_OPTION = re.compile(r"-[nErsuz]+i?|-i")  # none of them takes the next word
_NO_OPTION = re.compile(r"\"?(?:\w|/|\.{1,2}/)")
"""How a word begins that is no option, whatever is put into it."""
_MAKE_STARTS = re.compile(r"^(?:\.?SHELL\w*|MAKE\w*)[:+?!]*=|=.*[$`;|&<>]|^-(?:f-)?$|file=-$")
_GIT_SETTING = re.compile(
    r"(?:alias|pager|include\w*|url|filter|diff|merge|mergetool|difftool|man|browser|hook)\."
    r"|core\.(?:pager|editor|ssh|fsmonitor|hookspath|askpass|gitproxy|attributesfile|worktree)"
    r"|(?:command|program|helper|textconv|driver|proxy|editor|template|templatedir|upload-?pack"
    r"|receive-?pack|vcs)$",
    re.IGNORECASE,
)
"""Settings of git that name a program, or a file that may."""
_ESCAPES: Final = {
    "cmake": re.compile(r"^-[EP]"),
    "dc": re.compile(r"!"),
    "gmake": _MAKE_STARTS,
    "lftp": re.compile(r"!"),
    "make": _MAKE_STARTS,
    "mariadb": re.compile(r"\\!|(?:^|;)\s*system\s", re.IGNORECASE),
    "mysql": re.compile(r"\\!|(?:^|;)\s*system\s", re.IGNORECASE),
    "psql": re.compile(r"\\(?:!|copy|o|g\s*\|)|\bPROGRAM\s*'", re.IGNORECASE),
    "sqlite3": re.compile(r"\.(shell|system|load)"),
}
"""What in an argument lets a program start others, where no option does."""
_TEXT_MODULE = re.compile(r"-\w*m ?(timeit|code|pdb|asyncio|idlelib)\b.*")
_EDITORS: Final = frozenset({"nvim", "vi", "view", "vim"})


def started_by(kind: str, words: Words) -> Started:
    """What a program starts.

    Args:
        kind: its name in lower case, without folders.
        words: all of its words, the name first.
    """
    if _LOADER.fullmatch(kind):
        kind = "ld.so"
    elif _EMULATOR.fullmatch(kind):
        kind = "box64"
    elif (plain := _VERSION.sub("", kind)) in INLINE_CODE:  # python3.12
        kind = plain
    rule = _RULES.get(kind)
    return Started() if rule is None else rule(kind, words)


def _shell(kind: str, words: Words) -> Started:
    """`-c TEXT`; without it a file or the standard input is read, which is not in view."""
    started = Started(shell=True)  # noqa: S604 - read, not run
    position = 1
    while position < len(words):
        word = words[position]
        if not word.fixed or not word.text.startswith(("-", "+")) or word.text in {"-", "--"}:
            break
        if word.text in {"-o", "+o", "-O", "+O", "--rcfile", "--init-file"}:
            started.doubts.append(f"{kind} with {word.text}")
            position += 2
            continue
        if word.text.startswith("-") and not word.text.startswith("--") and "c" in word.text:
            rest = [w for w in words[position + 1 :] if not w.text.startswith(("-", "+"))]
            started.read_text(rest[0] if rest else Word("", fixed=False))
            return started
        position += 1
    started.doubts.append(f"{kind} reads a file or its input")
    return started


def _other_shell(kind: str, _: Words) -> Started:
    return Started(shell=True, doubts=[f"{kind} reads a grammar of its own"])  # noqa: S604


def _wrapper(kind: str, words: Words) -> Started:
    return inner_command(kind, WRAPPERS[kind], words)


def _multi_call(_: str, words: Words) -> Started:
    rest = words[1:]
    return Started() if rest and rest[0].text.startswith("-") else Started(commands=[rest])


def _runner(kind: str, words: Words) -> Started:
    for position, word in enumerate(words[1:], 1):
        if word.text in RUNNERS[kind].split():
            rest = words[position + 1 :]
            if kind in PROFILED:
                texts = [each.text for each in rest]
                if "--" not in texts:
                    return Started(doubts=[f"{kind} starts what it is told elsewhere"])
                return Started(commands=[rest[texts.index("--") + 1 :]])
            while rest and rest[0].text == "--":
                rest = rest[1:]
            doubts = [f"{kind}: an option before the command"]
            is_open = position > 1 or (rest and rest[0].text.startswith("-"))
            return Started(commands=[rest], doubts=doubts if is_open else [])
        if not word.text.startswith("-"):
            break
    return Started()


def _builtin(kind: str, _: Words) -> Started:
    return Started(doubts=[f"what {kind} runs is named elsewhere"])


def _eval(kind: str, words: Words) -> Started:
    started = Started(shell=True)  # noqa: S604 - read, not run
    text = " ".join(word.text for word in words[1:])
    started.read_text(Word(text, fixed=all(word.fixed for word in words)), kind)
    return started


def _trap(kind: str, words: Words) -> Started:
    started, given = Started(), words[1:]
    if given and given[0].text == "--":
        given = given[1:]
    if len(given) > 1:
        started.read_text(given[0], kind)
    return started


def _env(kind: str, words: Words) -> Started:
    """`env -S 'ssh a'` splits a text into words by rules of its own."""
    for position, word in enumerate(words[1:], 1):
        if found := _SPLIT.match(word.text):
            rest = [word.text[found.end() :], *(each.text for each in words[position + 1 :])]
            commands = list(parse(" ".join(rest)).commands)
            return Started(commands=commands, doubts=[f"{kind} splits a text into words"])
    return _wrapper(kind, words)


def _find(kind: str, words: Words) -> Started:
    started, position = Started(), 1
    while position < len(words):
        word = words[position]
        if word.text in _FIND_ACTIONS:
            end = position + 1
            while end < len(words) and words[end].text not in {";", "+"}:
                end += 1
            started.commands.append(_opened(words[position + 1 : end], "{}"))
            position = end
        elif not word.fixed and not _NO_OPTION.match(word.text):
            started.doubts.append(f"{kind}: a word that is not known before it runs")
        position += 1
    return started


def _xargs(kind: str, words: Words) -> Started:
    """Words of the input follow, which nobody knows; a wrapper then starts one of them."""
    started = _wrapper(kind, words)
    replaces = any(re.match(r"-[0rtxpo]*[Ii]|--repl", word.text) for word in words[1:])
    if replaces and not any("{}" in word.text for word in words):
        started.doubts.append(f"{kind} replaces a word that is not known before it runs")
    started.commands = [
        (*(_opened(inner, "{}") if replaces else inner), Word("...", fixed=False))
        for inner in started.commands
        if inner
    ]
    return started


def _opened(words: Words, mark: str) -> Words:
    return tuple(Word(word.text, word.fixed and mark not in word.text) for word in words)


def _program_text(kind: str, words: Words) -> Started:
    """Awk and sed: their program may start others."""
    starts = _AWK_STARTS if kind in _AWK else _SED_STARTS
    given = words[1:] if kind in _AWK else _without_files(words[1:])
    is_open = any(starts.search(word.text) or not word.fixed for word in given)
    return Started(doubts=[f"{kind} may start programs"] if is_open else [])


def _without_files(words: Words) -> Words:
    """The words of sed up to `--`, where plain options and one script stand before it.

    What follows can only be names of files then. Else all words: one of them may be the script.
    """
    texts = [word.text for word in words]
    end = texts.index("--") if "--" in texts else len(texts)
    if end == len(texts) or not all(word.fixed for word in words[: end + 1]):
        return words
    *options, script = texts[:end] or [""]
    plain = all(_SED_OPTION.fullmatch(option) for option in options)
    return words[:end] if plain and script and not script.startswith("-") else words


def _interpreter(kind: str, words: Words) -> Started:
    if (
        _has_option(words, INLINE_CODE[kind])
        or words[1:2] == (Word("eval"),)
        or (kind in _EDITORS and any(word.text.startswith("+") for word in words))
    ):
        return Started(doubts=[f"{kind} is given program text"])
    if kind in {"python", "pypy"} and any(
        _TEXT_MODULE.fullmatch(text) for text in _pairs(words)
    ):
        return Started(doubts=[f"{kind} runs a module that is given program text"])
    if kind not in _EDITORS and (len(words) == 1 or words[1].text == "-" or not words[1].fixed):
        return Started(doubts=[f"{kind} reads a program that is not in view"])
    return Started()


def _pairs(words: Words) -> Iterator[str]:
    """Each word with the one after it, as `-m timeit` stands there."""
    texts = [word.text for word in words]
    return (f"{one} {other}" for one, other in zip(texts, [*texts[1:], ""], strict=True))


def _options(kind: str, words: Words) -> Started:
    texts = [word.text for word in words[1:]]
    starts = (
        _has_option(words, STARTING_OPTIONS.get(kind, ""))
        or any(text in STARTING_WORDS.get(kind, ()) for text in texts)
        or _may_have_more(words)
    )
    if kind == "git":
        starts = starts or _git_starts(texts)
    if kind in _ESCAPES:
        starts = starts or any(_ESCAPES[kind].search(text) for text in texts)
    return Started(doubts=[f"{kind} starts what an argument names"] if starts else [])


def _may_have_more(words: Words) -> bool:
    """Whether a word that is not known yet may be an option: `tar cf x *`, `xargs git`."""
    texts = [word.text for word in words]
    before = words[1 : texts.index("--")] if "--" in texts else words[1:]
    return any(not word.fixed and not _NO_OPTION.match(word.text) for word in before)


def _git_starts(texts: list[str]) -> bool:
    """Settings before the subcommand may name programs, and so may `ext::` and `rebase -x`."""
    sub = next((n for n, text in enumerate(texts) if not text.startswith("-")), len(texts))
    return (
        any(text.startswith("-c") for text in texts[:sub])
        or any(text.startswith("ext::") for text in texts)
        or ("rebase" in texts and any(text.startswith("-x") for text in texts))
        or (texts[sub : sub + 1] == ["config"] and any(map(_GIT_SETTING.search, texts[sub:])))
        or ("grep" in texts and any(text.startswith("-O") for text in texts))
        or ("clone" in texts and any(text.startswith(("-u", "-c")) for text in texts))
    )


def _has_option(words: Words, named: str) -> bool:
    """Whether one of the options is there, abbreviated, joined with others or with its value."""
    short = {each for each in named.split() if len(each) == 1}
    long = [each for each in named.split() if len(each) > 1]
    for word in words[1:]:
        text = word.text
        if text == "--":
            return False
        if text.startswith("--"):
            given = text[2:].partition("=")[0]
            if given and any(each.startswith(given) for each in long):
                return True
        elif text.startswith("-") and (
            any(char in short for char in text[1:]) or text[1:].partition("=")[0] in long
        ):
            return True
    return False


_RULES: Final[dict[str, Callable[[str, Words], Started]]] = {
    **dict.fromkeys([*STARTING_OPTIONS, *STARTING_WORDS, *_ESCAPES], _options),
    **dict.fromkeys(INLINE_CODE, _interpreter),
    **dict.fromkeys(DOUBTFUL_BUILTINS, _builtin),
    **dict.fromkeys(RUNNERS, _runner),
    **dict.fromkeys(WRAPPERS, _wrapper),
    **dict.fromkeys([*_AWK, "sed", "gsed"], _program_text),
    **dict.fromkeys(SHELLS, _shell),
    **dict.fromkeys(OTHER_SHELLS, _other_shell),
    **dict.fromkeys(MULTI_CALL, _multi_call),
    "env": _env,
    "eval": _eval,
    "find": _find,
    "trap": _trap,
    "xargs": _xargs,
}
