"""Writes a coding agent's settings file so that it starts the hook; only ever adds to it.

All hooks of an event run, and one that refuses is enough, so an entry more never weakens what
is there. The command ends with 2 also where `wardline` cannot be started at all, for with any
other code an agent makes the call; where an agent can be told so in its settings, it is, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from permissions.errors import ConfigError
from permissions.files import make_folder, replace

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30
"""For an answer; longer than `hook.DEADLINE_SECONDS`, after which agents make the call."""
MAX_BYTES = 4 * 1024 * 1024
_CURSOR_EDITS = (
    "Write|Delete|StrReplace|Edit|MultiEdit|EditNotebook|ApplyPatch|Grep|WebFetch|WebSearch"
)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where an agent reads its hooks, and what has to stand there.

    Attributes:
        path: in the repository.
        start: the command.
        entries: by event.
        afterwards: what a person has to do then.
    """

    path: str
    start: str
    entries: dict[str, dict[str, Any]]
    afterwards: str


def _grouped(command: str, matcher: str, *events: str, **more: Any) -> dict[str, Any]:
    hook = {"type": "command", "command": command, **more}
    return {event: {"matcher": matcher, "hooks": [hook]} for event in events}


def _agent(name: str) -> AgentSettings:
    match name:
        case "claude-code":
            start = 'cd "$CLAUDE_PROJECT_DIR" && wardline hook claude-code --ask --outcomes || exit 2'
            before = _grouped(start, "*", "PreToolUse", timeout=SECONDS, onFailure="block")
            after = _grouped(start, "*", "PostToolUse", "PostToolUseFailure", timeout=SECONDS)
            entries = {**before, **after}
            return AgentSettings(".claude/settings.json", start, entries, "restart Claude Code")
        case "codex":
            start = "wardline hook codex --outcomes || exit 2"
            entries = _grouped(start, "*", "PreToolUse", "PostToolUse", timeout=SECONDS)
            return AgentSettings(
                ".codex/hooks.json", start, entries, "trust the hook in Codex: /hooks"
            )
        case "gemini":
            start = 'cd "$GEMINI_PROJECT_DIR" && wardline hook gemini --outcomes || exit 2'
            entries = _grouped(
                start,
                ".*",
                "BeforeTool",
                "AfterTool",
                name="wardline",
                timeout=SECONDS * 1000,
            )
            return AgentSettings(
                ".gemini/settings.json", start, entries, "restart the Gemini CLI"
            )
        case "cursor":
            start = "wardline hook cursor --ask --outcomes || exit 2"
            entry = {"command": start, "timeout": SECONDS, "failClosed": True}
            told = {"command": start, "timeout": SECONDS}
            entries = {
                "beforeShellExecution": entry,
                "beforeMCPExecution": entry,
                "beforeReadFile": entry,
                "preToolUse": {"matcher": _CURSOR_EDITS, **entry},
                "afterShellExecution": told,
                "afterMCPExecution": told,
                "postToolUse": {"matcher": _CURSOR_EDITS, **told},
                "postToolUseFailure": {"matcher": _CURSOR_EDITS, **told},
            }
            return AgentSettings(".cursor/hooks.json", start, entries, "restart Cursor")
        case _:
            raise ConfigError(f"{name[:40]!r} is no coding agent: {', '.join(AGENTS)}")


AGENTS = ("claude-code", "codex", "gemini", "cursor")


@dataclass(frozen=True, slots=True)
class Merged:
    """A settings file as it should be.

    Attributes:
        path: where it lies.
        content: its new text; None when it is so already.
        afterwards: what a person has to do then.
    """

    path: Path
    content: bytes | None
    afterwards: str

    def write(self) -> bool:
        """Writes it, and says whether there was anything to write.

        Raises:
            ConfigError: it cannot be written.
        """
        if self.content is None:
            return False
        try:
            make_folder(self.path.parent, mode=0o755)
            replace(self.path, self.content, mode=0o644)
        except OSError as err:
            raise ConfigError(f"{self.path} cannot be written: {err.strerror}") from err
        return True


def merged(agent: str, repository: Path) -> Merged:
    """What the settings of an agent would be with the hook. Nothing is written.

    Raises:
        ConfigError: the file there cannot be read, is of another form, or switches hooks off.
    """
    wanted = _agent(agent)
    path = (repository / wanted.path).resolve()
    document = _document(path)
    before = json.dumps(document)
    _require_on(document, path)
    if agent == "cursor":
        document.setdefault("version", 1)
    hooks = _member(document, "hooks", dict, path)
    for event, entry in wanted.entries.items():
        there = _member(hooks, event, list, path)
        if not any(_covers(each, entry) for each in there):
            there.append(entry)
    same = json.dumps(document) == before
    content = None if same else (json.dumps(document, indent=2) + "\n").encode()
    return Merged(path, content, wanted.afterwards)


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from err
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes, and nothing was written")
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as err:
        raise ConfigError(
            f"{path} is no JSON ({err}), and nothing was written; mend it, then run this again"
        ) from err
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no object, and nothing was written; mend it")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return found


def _member(holder: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    found = holder.setdefault(name, kind())
    if not isinstance(found, kind):
        what = "an object" if kind is dict else "a list"
        raise ConfigError(f"{path}: {name} is not {what}, and nothing was written; mend it")
    return found


def _require_on(document: dict[str, Any], path: Path) -> None:
    """Refuses settings under which no hook is started: an entry there would only look safe."""
    said = document.get("hooksConfig")
    off = [name for name in ("disableAllHooks",) if document.get(name) is True]
    if isinstance(said, dict) and (said.get("enabled") is False or said.get("disabled")):
        off.append("hooksConfig")
    if off:
        raise ConfigError(
            f"{path}: {off[0]} switches hooks off, and nothing was written; take it out first"
        )


def _covers(there: Any, wanted: dict[str, Any]) -> bool:
    """Whether an entry starts this hook for all that is wanted, so that it may stay as it is.

    Nothing but the very hook counts, with or without its options: one that is told less time,
    that runs beside the call (`async`) or under a condition, or whose text only holds the
    command somewhere would look like it and let calls pass.
    """
    if not isinstance(there, dict) or not {*there} <= {*wanted, "matcher", "hooks"}:
        return False
    everything = there.get("matcher", "") in ("", "*", ".*")
    if not (everything or there.get("matcher") == wanted.get("matcher")):
        return False
    if "hooks" not in wanted:
        return _plain(there) == _plain(wanted)
    hooks = there.get("hooks")
    return isinstance(hooks, list) and _plain(wanted["hooks"][0]) in map(_plain, hooks)


def _plain(hook: Any) -> dict[str, Any] | None:
    """A hook without the options of its command, which decide only who is asked."""
    if not isinstance(hook, dict) or not isinstance(command := hook.get("command"), str):
        return None
    for option in (" --ask", " --outcomes"):
        command = command.replace(option, "")
    return {**hook, "command": command, "matcher": None}
