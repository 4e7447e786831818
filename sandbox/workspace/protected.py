"""Paths whose change would let a run act later, outside its sandbox, under another's name.

Git runs hooks and what its configuration names; build servers, editors and agents run or
obey files of their own; the broker believes its own folder. A change at such a path is part
of the change set and is never committed, whether or not the path was there before.

Not complete, and cannot be: any file that somebody will run later is such a path (a
`Makefile`, a `setup.py`). This list is what is run without anybody asking for it.
"""

from __future__ import annotations

from itertools import pairwise

_FOLDERS = frozenset(
    {
        ".buildkite",
        ".circleci",
        ".claude",
        ".codex",
        ".continue",
        ".cursor",
        ".devcontainer",
        ".gemini",
        ".husky",
        ".idea",
        ".vscode",
        ".wardline",
        ".windsurf",
        ".woodpecker",
    }
)
"""Everything below a folder of this name, anywhere."""

_FILES = frozenset(
    {
        ".bash_profile",
        ".bashrc",
        ".drone.yml",
        ".envrc",
        ".gitattributes",
        ".gitlab-ci.yml",
        ".gitmodules",
        ".mcp.json",
        ".pre-commit-config.yaml",
        ".profile",
        ".travis.yml",
        ".zshrc",
        "agents.md",
        "azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        "claude.md",
        "gemini.md",
        "jenkinsfile",
        "mcp.json",
        "sitecustomize.py",
        "usercustomize.py",
        "wardline.toml",
    }
)
"""Files of this name, anywhere."""

_PAIRS = frozenset({(".github", "workflows"), (".github", "actions"), (".gitea", "workflows")})

_IN_GIT = frozenset({"attributes", "commondir", "config", "config.worktree", "gitdir", "hooks"})
"""Names anywhere below `.git` that say what git runs, or where it looks for that."""


def is_protected(path: str, *, whole: bool) -> bool:
    """Whether a change here is refused.

    Args:
        path: relative, with `/`.
        whole: the entry itself is made, replaced or removed, and not only looked through.
    """
    # File systems that ignore case exist, and a checkout may end up on one.
    parts = tuple(part.casefold() for part in path.split("/"))
    if parts[-1] in _FILES or not _FOLDERS.isdisjoint(parts):
        return True
    if any(pair in _PAIRS for pair in pairwise(parts)):
        return True
    if ".git" not in parts:
        return False
    inside = parts[parts.index(".git") + 1 :]
    return (whole and not inside) or not _IN_GIT.isdisjoint(inside)
