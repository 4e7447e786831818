"""The kinds of contents, each under a key of its own in every run, so that each has its own clock.

Kinds are told by the name of a content alone. A key that ties entries together (a tag in a body)
is of the kind of what it is made of: erased with it, or the tag could be tried with guesses.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

ContentKind = Literal["prompts", "arguments", "decisions", "approvals", "results", "files"]
KINDS: Final[tuple[ContentKind, ...]] = get_args(ContentKind)
OTHER: Final = "other"
"""What belongs to none of them goes with the whole run alone."""
EVERY_CALL: Final[tuple[ContentKind, ...]] = ("arguments", "decisions", "results")
"""Kinds that any call has: their keys are made together, so that it costs one sync in a run."""
REPEATED: Final[dict[str, tuple[ContentKind, ...]]] = {
    "prompts": ("decisions", "approvals"),
    "arguments": ("decisions", "approvals"),
    "results": ("decisions",),
    "files": ("decisions", "approvals"),
}
"""Where what is of a kind may stand as well: policies are asked about it, people are shown it."""
_NAMES: Final[dict[ContentKind, tuple[str, ...]]] = {
    "prompts": ("prompt", "task", "delegation", "agent", "plan"),
    "arguments": ("arguments", "key", "tool", "request", "args"),
    "decisions": ("input", "input_patch", "response", "shadow", "operator"),
    "approvals": ("shown", "voters"),
    "results": ("result", "readable", "stdout", "stderr", "error", "detected", "oversize"),
    "files": ("changes", "diff", "left_out", "inputs", "outputs", "change_set"),
}
_KIND_OF: Final = {name: kind for kind, names in _NAMES.items() for name in names}


def kind_of(name: str) -> str:
    """The kind of a content, or of what a tag is made of, by its name."""
    found = _KIND_OF.get(name)
    if found is not None:
        return found
    return "approvals" if name.startswith("envelope_") else OTHER
