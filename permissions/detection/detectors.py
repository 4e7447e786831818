"""The detectors that are in force, and one look at a document by some of them.

`secrets` and `personal` are there; any other name is a classifier of one's own, an entry point
of the group `wardline.detectors`: a function that takes a text and gives `(kind, start, end)` of
each thing it finds. It runs in a thread of its own; one that fails, is late, or gives anything
else is an error, and whoever asked denies.

Not protected from: a classifier that never returns keeps its thread until the process ends;
after `MAX_THREADS` of them every look is late.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from permissions.detection.document import texts
from permissions.detection.finding import Finding
from permissions.detection.secrets import is_secret_value
from permissions.errors import ConfigError, DetectionError, DetectionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from permissions.detection.document import Text
    from permissions.detection.finding import Find, Found
    from permissions.vocabulary import JsonValue

GROUP: Final = "wardline.detectors"
SECONDS: Final = 2.0
"""How long one look at a document may take."""
MAX_CHARACTERS: Final = 4_000_000
"""Of all texts of one document; what is longer cannot be looked through."""
MAX_FINDINGS: Final = 20_000
MAX_THREADS: Final = 8
_AT_ONCE: Final = 20_000
"""Characters that are looked through without a thread."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,40}").fullmatch
SHIPPED: Final = ("secrets", "personal")
_SHIPPED: Final = {"secrets": "find_secrets", "personal": "find_personal"}


class Detectors:
    """Some detectors, by name."""

    def __init__(
        self, own: Mapping[str, Find] | None = None, *, seconds: float = SECONDS
    ) -> None:
        """`own` are classifiers beside the shipped ones."""
        self._own = dict(own or {})
        self._seconds = seconds
        self._limiter: anyio.CapacityLimiter | None = None

    @classmethod
    def named(cls, names: Iterable[str]) -> Detectors:
        """Those with these names.

        Raises:
            ConfigError: one is not there, or cannot be loaded.
        """
        found = {point.name: point for point in entry_points(group=GROUP)}
        own: dict[str, Find] = {}
        for name in set(names) - set(_SHIPPED):
            if not _KIND(name) or name not in found:
                known = ", ".join(sorted({*_SHIPPED, *found}))
                raise ConfigError(
                    f"there is no detector {name[:80]!r}, which the policies' table `detection` or"
                    f" `trace.redact` names; there are {known}. One of your own is an entry point"
                    f" of the group {GROUP}"
                )
            try:
                own[name] = found[name].load()
            except Exception as err:
                said = f"the detector {name!r} cannot be loaded: {type(err).__name__}: {err}"
                raise ConfigError(said) from err
        return cls(own)

    async def look(
        self, document: JsonValue, names: Iterable[str]
    ) -> dict[str, tuple[Finding, ...]]:
        """What these detectors find in a document, by detector; each in the order of its leaves.

        Raises:
            DetectionTimeoutError: one did not answer in time.
            DetectionError: one failed, answered in another form, or there is too much.
        """
        asked = list(dict.fromkeys(names))
        if not asked:
            return {}
        given = list(texts(document))
        size = sum(len(each.text) for each in given)
        if size > MAX_CHARACTERS:
            raise DetectionError(
                f"{size} characters are more than the {MAX_CHARACTERS} that are looked through"
            )
        if size <= _AT_ONCE and not set(asked) & set(self._own):
            return {name: self._found(name, given) for name in asked}
        with anyio.move_on_after(self._seconds):
            return await anyio.to_thread.run_sync(
                lambda: {name: self._found(name, given) for name in asked},
                abandon_on_cancel=True,
                limiter=self._threads(),
            )
        raise DetectionTimeoutError(
            f"{', '.join(asked)} did not look through {size} characters in {self._seconds:g} s"
        )

    def look_now(
        self, document: JsonValue, names: Iterable[str]
    ) -> dict[str, tuple[Finding, ...]]:
        """The same at once, without a deadline: for trials and tests."""
        given = list(texts(document))
        return {name: self._found(name, given) for name in names}

    def _threads(self) -> anyio.CapacityLimiter:
        if self._limiter is None:  # of the event loop that asks first
            self._limiter = anyio.CapacityLimiter(MAX_THREADS)
        return self._limiter

    def _found(self, name: str, given: list[Text]) -> tuple[Finding, ...]:
        found: list[Finding] = []
        for each in _of(name, self._own.get(name), given):
            found.append(each)
            if len(found) > MAX_FINDINGS:
                raise DetectionError(f"{name} finds more than {MAX_FINDINGS} things")
        return tuple(found)


def _of(name: str, own: Find | None, given: list[Text]) -> Iterator[Finding]:
    if own is not None:
        for text in given:
            yield from _own_findings(name, own, text)
        return
    find = _shipped(name)
    for text in given:
        seen: set[tuple[int, int]] = set()
        for each in _findings(name, text, find):
            if (each.start, each.end) not in seen:
                seen.add((each.start, each.end))
                yield each


@cache
def _shipped(name: str) -> Callable[[str], Iterator[Found]]:
    """A detector that is there, loaded when it is first asked."""
    module = import_module(f"permissions.detection.{name}")
    found: Callable[[str], Iterator[Found]] = getattr(module, _SHIPPED[name])
    return found


def _findings(
    name: str, text: Text, find: Callable[[str], Iterator[Found]]
) -> Iterator[Finding]:
    said = text.text
    if name == "secrets" and text.name and is_secret_value(said):
        yield Finding(name, "password", text.pointer, 0, len(said), said, said)
    for kind, start, end, value in find(said):
        yield Finding(name, kind, text.pointer, start, end, value, said[start:end])


def _own_findings(name: str, find: Find, text: Text) -> Iterator[Finding]:
    try:
        answered: list[Any] = list(find(text.text))
    except Exception as err:
        raise DetectionError(f"the detector {name} failed: {type(err).__name__}") from err
    for each in answered:
        is_of_form = (
            isinstance(each, tuple)
            and len(each) == 3
            and isinstance(each[0], str)
            and _KIND(each[0])
            and type(each[1]) is int
            and type(each[2]) is int
            and 0 <= each[1] < each[2] <= len(text.text)
        )
        if not is_of_form:
            raise DetectionError(
                f"the detector {name} gave something else than (kind, start, end) within the text"
            )
        kind, start, end = each
        said = text.text[start:end]
        yield Finding(name, kind, text.pointer, start, end, said, said)
