"""From a tool of a coding agent's to the call that policies decide. Pure, standard library alone.

A tool that is not known, or an argument that is missing or of another type, is
`coding.use_unknown`, which the shipped policies show to a person. Relative paths start from the
folder the agent stands in.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_PATHS = 200
"""Files of one call."""
_URL = re.compile(r"https?://[^\s\"'<>)\]}]+", re.IGNORECASE)
_ANY_URL = re.compile(r"[a-z][a-z0-9+.-]*:[/\\]", re.IGNORECASE)
_PATCHED = re.compile(
    r"^\s*\*\*\*\s*(?:Add File|Update File|Delete File|Move to):\s*(.*)$", re.MULTILINE
)
_PATHS = ("file_path", "absolute_path", "path", "notebook_path", "target_file", "filePath")
"""Under which agents name the file of a call."""


class AgentCall(NamedTuple):
    """What an agent is about to do.

    Attributes:
        name: of its tool, as the agent calls it.
        arguments: as the agent gave them.
        folder: where it stands, absolute.
        mcp: whether it is a tool of an MCP server.
        home: what `~` stands for; that of this process by default.
    """

    name: str
    arguments: dict[str, Any]
    folder: str
    mcp: bool = False
    home: str | None = None


class Call(NamedTuple):
    """The call of a tool in `permissions.coding.tools`."""

    tool: str
    arguments: dict[str, Any]


class _UnreadError(Exception):
    """The arguments are not of the form this version knows."""


def call_of(asked: AgentCall) -> Call:
    """The call that policies decide."""
    if asked.mcp or asked.name.startswith(("mcp__", "MCP:")):
        return Call(
            "coding.call_mcp", {"tool_name": asked.name[:200], "arguments": asked.arguments}
        )
    known = _KNOWN.get(asked.name)
    if known is not None:
        try:
            return known(asked)
        except _UnreadError:
            pass
    return Call(
        "coding.use_unknown", {"tool_name": asked.name[:200], "arguments": asked.arguments}
    )


def _text(asked: AgentCall, *names: str) -> str:
    for name in names:
        value = asked.arguments.get(name)
        if isinstance(value, str) and value:
            return value
    raise _UnreadError(names)


def _absolute(asked: AgentCall, path: str) -> str:
    if asked.home is not None and (path == "~" or path.startswith("~/")):
        path = asked.home + path[1:]
    return os.path.join(asked.folder, os.path.expanduser(path))  # noqa: PTH111, PTH118 - `..` stays


def _run(asked: AgentCall) -> Call:
    folder = asked.folder
    for name in ("working_directory", "workdir", "directory", "dir_path", "cwd"):
        if isinstance(given := asked.arguments.get(name), str) and given:
            folder = _absolute(asked, given)
    command = asked.arguments.get("command")
    if isinstance(command, list) and command and all(isinstance(w, str) for w in command):
        command = _as_text(command)
    if not isinstance(command, str) or not command:
        raise _UnreadError("command")
    return Call("coding.run_command", {"command": command, "folder": folder})


def _as_text(argv: list[str]) -> str:
    """A list of words as a shell reads it."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)


def _named(value: Any) -> Iterator[str]:
    """Each file that the arguments name, wherever: which of two an agent takes is not known.

    Raises:
        _UnreadError: one is no text.
    """
    if isinstance(value, list):
        for each in value:
            yield from _named(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in _PATHS:
                yield from _named(each)
            elif isinstance(each, str):
                yield from [each] if each else []
            elif each is not None:
                raise _UnreadError(name)


def _files(asked: AgentCall) -> list[str]:
    found = list(dict.fromkeys(_absolute(asked, each) for each in _named(asked.arguments)))
    if not found or len(found) > MAX_PATHS:
        raise _UnreadError("path")
    return found


def _read(asked: AgentCall) -> Call:
    return Call("coding.read_files", {"paths": _files(asked)})


def _read_many(asked: AgentCall) -> Call:
    given: list[Any] = []
    for name in ("paths", "include", "file_paths"):
        found = asked.arguments.get(name) or []
        given += (
            [found] if isinstance(found, str) else found if isinstance(found, list) else [0]
        )
    if not given or not all(isinstance(p, str) for p in given) or len(given) > MAX_PATHS:
        raise _UnreadError("paths")
    # A pattern is the folder it is looked for in: all of it may be read.
    paths = [
        re.split(r"[*?\[{]", path)[0].rpartition("/")[0] or "."
        if re.search(r"[*?\[{]", path)
        else path
        for path in given
    ]
    return Call("coding.read_files", {"paths": [_absolute(asked, path) for path in paths]})


def _search(asked: AgentCall) -> Call:
    """A search that shows lines of files reads them; one that shows names does not."""
    at = next(
        (
            asked.arguments[n]
            for n in ("path", "dir_path", "target_directory")
            if asked.arguments.get(n)
        ),
        ".",
    )
    if not isinstance(at, str):
        raise _UnreadError("path")
    shown = asked.arguments.get(
        "output_mode", "content" if asked.name in _SHOWS_LINES else "names"
    )
    path = _absolute(asked, at)
    names = shown in ("names", "files_with_matches", "count")
    if not names or not os.path.isdir(path):  # noqa: PTH112
        return Call("coding.read_files", {"paths": [path]})
    return _list(asked)


def _list(asked: AgentCall) -> Call:
    said = " ".join(str(v) for v in asked.arguments.values() if isinstance(v, str))
    return Call("coding.list_files", {"pattern": said[:4000]})


def _write(asked: AgentCall) -> Call:
    new = [
        asked.arguments.get(name)
        for name in ("content", "contents", "new_string", "new_source", "code_edit", "edits")
    ]
    content = "\n".join(each if isinstance(each, str) else repr(each) for each in new if each)
    return Call("coding.write_files", {"paths": _files(asked), "content": content})


def _patch(asked: AgentCall) -> Call:
    given = [asked.arguments.get(name) for name in ("command", "input", "patch")]
    if not all(each is None or isinstance(each, str) for each in given):
        raise _UnreadError("patch")
    text = "\n".join(each for each in given if each)
    paths = [_absolute(asked, each.strip()) for each in _PATCHED.findall(text)]
    if not paths or len(paths) > MAX_PATHS:
        raise _UnreadError("patch")
    return Call("coding.write_files", {"paths": paths, "content": text})


def _remember(asked: AgentCall) -> Call:
    """What Gemini remembers steers each later session, as the file it writes does."""
    path = _absolute(asked, "~/.gemini/GEMINI.md")
    return Call("coding.write_files", {"paths": [path], "content": str(asked.arguments)[:4000]})


def _fetch(asked: AgentCall) -> Call:
    named = [asked.arguments[name] for name in ("url", "urls") if asked.arguments.get(name)]
    urls = list(_urls(named or asked.arguments))
    if not urls or len(urls) > MAX_PATHS:
        raise _UnreadError("url")
    # What is not read as an address here the agent may read as one.
    if any(not _URL.fullmatch(each) for each in _texts(named)) or any(
        len(_ANY_URL.findall(each)) > len(_URL.findall(each))
        for each in _texts(asked.arguments)
    ):
        raise _UnreadError("url")
    return Call("coding.fetch_urls", {"urls": urls})


def _urls(value: object) -> Iterator[str]:
    for text in _texts(value):
        yield from _URL.findall(text)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _ask_engine(asked: AgentCall) -> Call:
    return Call(
        "coding.search_web", {"query": _text(asked, "query", "search_term", "q")[:4000]}
    )


def _note(asked: AgentCall) -> Call:
    return Call("coding.keep_notes", {"tool_name": asked.name})


_SHOWS_LINES = frozenset({"search_file_content", "grep_search", "grep", "codebase_search"})
"""Searches that show the lines they find, where Claude Code's is told what to show."""
_KNOWN: dict[str, Callable[[AgentCall], Call]] = {
    # Claude Code, Codex (Bash, apply_patch), Cursor (Shell, Read, Write, Delete, Grep)
    **dict.fromkeys(["Bash", "Shell", "run_shell_command", "run_terminal_cmd", "shell"], _run),
    **dict.fromkeys(["Read", "NotebookRead", "read_file", "view_image"], _read),
    "read_many_files": _read_many,
    **dict.fromkeys(["Grep", "LS", "search_file_content", "grep_search", "grep"], _search),
    **dict.fromkeys(["Glob", "glob", "list_directory", "list_dir", "file_search"], _list),
    **dict.fromkeys(
        ["Write", "Edit", "MultiEdit", "NotebookEdit", "write_file", "replace", "Delete",
         "StrReplace", "EditNotebook", "edit_file", "delete_file", "search_replace"],
        _write,
    ),
    "apply_patch": _patch,
    "save_memory": _remember,
    **dict.fromkeys(["WebFetch", "web_fetch"], _fetch),
    **dict.fromkeys(["WebSearch", "google_web_search", "web_search"], _ask_engine),
    **dict.fromkeys(
        ["Agent", "AskUserQuestion", "BashOutput", "EnterPlanMode", "ExitPlanMode", "KillShell",
         "Task", "TaskCreate", "TaskGet", "TaskList", "TaskOutput", "TaskStop", "TaskUpdate",
         "TodoRead", "TodoWrite", "ask_user", "enter_plan_mode", "exit_plan_mode",
         "get_internal_docs", "todo_write", "update_plan", "update_topic", "write_todos"],
        _note,
    ),
}  # fmt: skip
