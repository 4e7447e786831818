"""What programs do with the files they are given: which are written, gone into, or named elsewhere.

From the manual pages of coreutils, findutils, sed, gawk, git, tar, curl and wget. A program
that is in none of the tables reads the files of its words and goes into no folder. Pure.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WRITERS: Final = frozenset(
    {
        "chattr", "chgrp", "chmod", "chown", "csplit", "ed", "ex", "mkdir", "mkfifo", "mknod",
        "mv", "patch", "rename", "rm", "rmdir", "setfacl", "shred", "split", "sponge", "tee",
        "touch", "truncate", "unlink", "unzip",
    }
)  # fmt: skip
"""Programs that change each file they are given."""
_COPIERS: Final = frozenset({"cp", "install", "ln", "rsync", "scp"})
"""Programs that change the last one, or all with `-t`."""
_REWRITES: Final = {
    "find": ("-delete",),
    "gsed": ("-i", "--i"),
    "jq": ("-i",),
    "perl": ("-i", "-pi", "-ni"),
    "sed": ("-i", "--i"),
    "yq": ("-i", "--i"),
}
"""Programs that change each file they are given when an option begins so."""
_OUTPUT: Final = {
    "cc": ("-o",),
    "curl": ("-o", "--output", "-c", "--cookie-jar", "-D", "--dump-header", "--output-dir"),
    "find": ("-fprint", "-fprint0", "-fprintf", "-fls"),
    "gcc": ("-o",),
    "git": ("-o", "--output", "--output-directory"),
    "sort": ("-o", "--output"),
    "wget": ("-O", "-P", "-o", "--output-document", "--directory-prefix", "--output-file"),
}
"""Programs that change the file after one of these options."""
_GIT_WRITES: Final = frozenset({"apply", "checkout", "mv", "restore", "rm"})
SEARCHES: Final = frozenset({"ack", "ag", "egrep", "fgrep", "grep", "rg", "ugrep", "zgrep"})
_INTO_FOLDERS: Final = frozenset(
    {"7z", "ack", "ag", "pax", "sftp", "tar", "ugrep", "zip", *WRITERS, *_COPIERS}
)
"""Programs that read or change all of a folder; others are given its name alone."""
_QUIET_FOLDERS: Final = frozenset({"rg", "ripgrep"})
"""The same, but what is hidden or ignored by git stays out unless an option says otherwise."""
_LOUD: Final = re.compile(r"-[a-zA-Z]*[u.]|--hidden|--no-ignore|--unrestricted")
_RECURSES: Final = re.compile(r"-[a-zA-Z]*[rR]|--(?:dereference-)?recursive|--directories")
_UNPACKS: Final = frozenset({"7z", "7za", "bsdtar", "cpio", "patch", "pax", "unar", "unzip"})
"""Programs that write files whose names stand in another file."""
_LOOKS: Final = frozenset({"-l", "-t", "-v", "-Z", "l", "t", "--dry-run", "--list"})
"""And what keeps them from it."""
_EXTRACTS: Final = re.compile(r"-[a-zA-Z]*x|--(?:extract|get)")
_SUBSTITUTES: Final = re.compile(r"s([^\w\s]).*?\1.*?\1[gpiImM0-9e]*(w\s)?")
_SED_FILES: Final = re.compile(r"(?:^|[;{}0-9$/!\s])[rwRW]\s*[\w./~]")
_AWK_FILES: Final = re.compile(r"print[^;}]*>|getline\s*(?:\w+\s*)?<")


_SCRIPT: Final = re.compile(r"[sy]([^\w\s]).*\1.*\1")
"""Of sed and perl, which is no file."""


def has_names_elsewhere(program: str, texts: Sequence[str]) -> bool:
    """Whether a program is told in another file, or in a program text, which files to open."""
    if program in _UNPACKS:
        return not _LOOKS.intersection(texts)
    if program == "tar":
        bundled = bool(texts) and re.match(r"[a-zA-Z]*x[a-zA-Z]*\Z", texts[0]) is not None
        return bundled or any(map(_EXTRACTS.match, texts))
    if program in {"sed", "gsed"}:
        return any(map(_sed_opens, _sed_scripts(texts)))
    if program in {"awk", "gawk", "mawk", "nawk"}:
        return any(map(_AWK_FILES.search, texts))
    return program == "git" and _subcommand(texts) in {"am", "apply"}


def _sed_scripts(texts: Sequence[str]) -> list[str]:
    """What `-e` gives, or without it the first operand; the others are files."""
    given = [after for at, after in pairwise(texts) if at in {"-e", "--expression"}]
    given += [text[2:] for text in texts if text.startswith("-e") and len(text) > 2]
    given += [text.partition("=")[2] for text in texts if text.startswith("--expression=")]
    return given or [_subcommand(texts)]


def _sed_opens(script: str) -> bool:
    writes = any(found[2] for found in _SUBSTITUTES.finditer(script))
    return writes or _SED_FILES.search(_SUBSTITUTES.sub("", script)) is not None


def _subcommand(texts: Sequence[str]) -> str:
    """The first word that is no option."""
    return next((text for text in texts if not text.startswith("-")), "")


def written(program: str, words: Sequence[str]) -> list[bool]:
    """For each word after the name, whether a file of that name is changed."""
    if program == "git" and _subcommand(words) in _GIT_WRITES:
        return [True] * len(words)
    if program in WRITERS or any(
        word.startswith(_REWRITES.get(program, ("\0",))) for word in words
    ):
        return [True] * len(words)
    if program in _COPIERS:
        into = _has(words, ("-t", "--target-directory"))
        return [into or at == len(words) - 1 for at in range(len(words))]
    if program in {"dd", "uniq"}:  # the second file of `uniq` is where it writes
        files = [at for at, word in enumerate(words) if not word.startswith("-")]
        to = files[1:] if program == "uniq" else [at for at in files if words[at][:3] == "of="]
        return [at in to for at in range(len(words))]
    if program in {"tar", "zip", "7z"}:
        return [at == 0 or words[at - 1].endswith("f") for at in range(len(words))]
    options = _OUTPUT.get(program, ())
    return [
        (at > 0 and words[at - 1] in options) or _has([word], options)
        for at, word in enumerate(words)
    ]


def _has(words: Sequence[str], options: Sequence[str]) -> bool:
    """Whether one of these options is there, alone or with its value."""
    return any(
        word == option
        or (option.startswith("--") and word.startswith(f"{option}="))
        or (len(option) == 2 and word.startswith(option) and not word.startswith("--"))
        for word in words
        for option in options
    )


def is_script(program: str, word: str) -> bool:
    """Whether a word is plainly a program text."""
    return program in {"sed", "gsed", "perl"} and _SCRIPT.match(word) is not None


def goes_into(program: str, words: Sequence[str]) -> bool:
    """Whether a program reads or changes all of a folder that it is given."""
    if program in _QUIET_FOLDERS:
        return any(_LOUD.match(text) for text in words)
    if program in {"grep", "egrep", "fgrep", "zgrep"}:
        return any(_RECURSES.match(text) for text in words)
    if program == "find":
        return any(re.match(r"-(?:exec|ok|delete|fprint)", text) for text in words)
    return program in _INTO_FOLDERS
