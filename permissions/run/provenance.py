"""Where each argument of a call came from, told from the values that went past the broker.

No model is asked. A leaf of the arguments is compared with what was seen before, in this
order, and the first that holds is its origin:

    user      the person said it: whole in their prompt
    plan      a literal of the accepted plan
    tool      a whole field of an earlier output; `trusted` when the call was vouched for,
              else also a word of it that looks like a value (digits, or one of @ / . _ - :)
    default   nobody gave it; the tool's own default stands
    unknown   anything else: composed, cut, re-spelt, or too short to tell

A value found both in the person's words and in an untrusted text is the person's. Keys inside
an argument or an output count as values when they hold more than letters and underscores; a
leaf below an untrusted key is as untrusted as the key.

Only a read of a trusted tool vouches, and never for what it was fed: an output that equals,
contains or is contained in an untrusted argument of that very call, also with other spaces,
signs or case, keeps the standing it had, and so does a value that went untrusted into an
earlier call with an effect (echoes, and notes that are written and read back). A value known
as untrusted stays so, unless the tool was fed nothing untrusted at all. A piece of a
number or of a spaced account number that the person said is not what they said. Numbers and decimal strings compare by value, strings by code
points. Booleans, nulls, strings under three characters and numbers under three digits are
only traced to the person, who may say `5`, `-la` or `go`; met in an output by chance they prove
nothing. Of words like `to` and `in` not even that: these are unknown.

It does not protect from: an untrusted idea put into the agent's own words (unknown, which is
untrusted, but nothing says whose); secrets leaking through free text; values planted where a
trusted tool reads them from; re-encoded echoes (base64, another order); genuine values
turned against the person (the right address, the wrong mail); a plain word used as a key,
which is taken for a field's name. "Never write to eve@x.example"
counts as having said eve@x.example.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from permissions.run.prompt_values import is_said, spoken_numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from permissions.model import Effect, JsonObject, JsonValue

MAX_VALUES: Final = 50_000
"""Values one session remembers."""
MAX_CHARACTERS: Final = 8_000_000
"""Characters of values and prompts one session remembers."""

_MIN_LENGTH: Final = 3
_FUNCTION_WORDS: Final = frozenset(
    {
        "a", "am", "an", "as", "at", "be", "by", "do", "he", "i", "if", "in", "is", "it", "me",
        "my", "no", "of", "on", "or", "so", "to", "up", "us", "we",
    }
)  # fmt: skip
"""Short words that stand in any sentence, so having said one names no value."""

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,12})?", re.ASCII)
_WORD = re.compile(r"[^\s\"'`<>()\[\]{},;|]{3,200}")
_VALUE_LIKE = re.compile(r"[0-9@/._:-]")
_KEY_DATA = re.compile(r"[^A-Za-z_]")


class Output(NamedTuple):
    """The recorded output that a value was read from: a call, and the entry of its outcome."""

    call: str
    entry: int | None


class _Site(NamedTuple):
    """Where in an output a value stands: a pointer, and characters when it was cut out."""

    output: Output
    pointer: str
    cut: tuple[int, int] | None

    def document(self) -> JsonObject:
        return {
            "call": self.output.call,
            "entry": self.output.entry,
            "pointer": self.pointer,
            "cut": None if self.cut is None else list(self.cut),
        }


class _Found(NamedTuple):
    """A value's best standing so far; a smaller rank wins."""

    rank: int
    origin: str
    source: str | None
    trusted: bool
    site: _Site | None = None


_USER = _Found(0, "user", None, trusted=True)
_UNKNOWN = _Found(9, "unknown", None, trusted=False)
_DEFAULT = _Found(5, "default", None, trusted=True)


class ProvenanceLedger:
    """What one session has seen. Not for use from several threads at once.

    When it is full it records nothing more, so later values are unknown: `overflowed` says so.
    Values of untrusted outputs take at most half of the room.
    """

    def __init__(
        self, *, max_values: int = MAX_VALUES, max_characters: int = MAX_CHARACTERS
    ) -> None:
        self.overflowed = False
        self._values_left = max_values
        self._characters_left = max_characters
        self._untrusted_values_left = max_values // 2
        self._untrusted_characters_left = max_characters // 2
        self._texts: list[str] = []
        self._known: dict[str | float, _Found] = {}
        self._sown: set[str | float] = set()
        self._hidden: _Found | None = None

    def add_user_text(self, text: str) -> None:
        """Records what the person said, in their words."""
        if not self._make_room(len(text)):
            return
        self._texts.append(text)
        for written in spoken_numbers(text):
            number = _number(written)
            if number is not None:
                self._learn(number, _USER)

    def add_plan(self, plan: str, values: Iterable[JsonValue]) -> None:
        """Records the pinned values of an accepted plan.

        Only of an accepted one: a plan made after untrusted content was read vouches for nothing.
        """
        found = _Found(1, "plan", plan, trusted=True)
        for value in values:
            for each in _values(value):
                if _traceable(each):
                    self._learn(each, found)

    def add_output(
        self,
        tool: str,
        value: JsonValue,
        *,
        whole: bool = True,
        trusted: bool,
        effect: Effect,
        arguments: JsonObject,
        provenance: Mapping[str, JsonObject],
        output: Output | None = None,
    ) -> None:
        """Records the result of a call that ran.

        Args:
            tool: its name.
            value: the result as JSON, before any redaction the agent does not see.
            whole: whether that is all that can be read out of it. After one that is not, values
                never seen before count as this tool's, unless its output may be believed.
            trusted: whether the tool's manifest says its output may be believed.
            effect: what the tool does; anything but `read` taints, whatever the manifest says.
            arguments: what the call was given.
            provenance: what `trace` said of them before the call.
            output: where the record holds this result.
        """
        fed = [
            leaf
            for pointer, leaf, _ in _leaves(arguments)
            if not provenance.get(pointer, _NOTHING).get("trusted") and _traceable(leaf)
        ]
        for argument in arguments.values():
            for _, _, keys in _leaves(argument):
                fed += [k for k in keys if _traceable(k) and self._demotes(k) is not None]
        if effect != "read":
            self._sow(fed)
        if trusted and effect == "read":
            is_fed = _is_fed(arguments, provenance) or bool(fed)
            self._vouch(tool, value, fed, is_fed=is_fed, output=output)
        else:
            if not whole:
                self._hide(tool, output)
            self._taint(tool, value, output)

    def trace(
        self,
        arguments: JsonObject,
        control: Collection[str],
        defaulted: Collection[str] = (),
    ) -> dict[str, JsonObject]:
        """The origin of each leaf, keyed by JSON pointer, as `context.provenance` holds it.

        `from` says which recorded output the value was seen in first: its call, the entry of
        its outcome, the pointer there, and the characters when it was cut out of a text.

        Args:
            arguments: the call's arguments as JSON, defaults filled in.
            control: names of its control arguments.
            defaulted: names of arguments nobody gave. An argument that was given and happens
                to equal a default is traced like any other.
        """
        traced: dict[str, JsonObject] = {}
        for name, argument in arguments.items():
            is_control = name in control
            for pointer, leaf, keys in _leaves(argument, _token(name)):
                found = _DEFAULT if name in defaulted else self._find(leaf)
                if found is _UNKNOWN and self._hidden is not None and _traceable(leaf):
                    found = self._hidden
                for key in keys:
                    found = self._demotes(key) or found
                traced[pointer] = {
                    "origin": found.origin,
                    "source": found.source,
                    "trusted": found.trusted,
                    "control": is_control,
                    "from": None if found.site is None else found.site.document(),
                }
        return traced

    def said_by_user(self, value: JsonValue) -> bool:
        """Whether each leaf of a value is the person's own."""
        return all(self._find(each).origin == "user" for each in _values(value))

    def _find(self, leaf: JsonValue) -> _Found:
        kind = type(leaf)
        if kind is str:
            found = self._known.get(leaf, _UNKNOWN)
            if found.rank == 0 or not leaf:
                return found
            number = _number(leaf)
            if number is not None:
                found = min(found, self._known.get(number, _UNKNOWN), key=_rank)
            if leaf.lower() in _FUNCTION_WORDS:
                return found
            said = found.rank and any(is_said(leaf, text) for text in self._texts)
            return _USER if said else found
        if kind is int or kind is float:
            return self._known.get(leaf, _UNKNOWN)
        return _UNKNOWN

    def _demotes(self, key: str) -> _Found | None:
        """The standing of a key that is untrusted or unknown data, and no field's name."""
        if not _KEY_DATA.search(key):
            return None
        found = self._find(key)
        if found.trusted or (found is _UNKNOWN and key.isidentifier()):
            return None
        return found

    def _vouch(
        self,
        tool: str,
        value: JsonValue,
        fed: list[str | float],
        *,
        is_fed: bool,
        output: Output | None,
    ) -> None:
        folded = [_folded(each) for each in fed]
        for each, pointer in _sited(value):
            if not _traceable(each) or each in self._sown or _echoes(each, fed, folded):
                continue
            # A tool can be made to spell an untrusted value out of what it is fed.
            known = self._known.get(each)
            if not (is_fed and known is not None and not known.trusted):
                site = None if output is None else _Site(output, pointer, None)
                self._learn(each, _Found(2, "tool", tool, trusted=True, site=site))

    def _taint(self, tool: str, value: JsonValue, output: Output | None) -> None:
        for leaf, pointer in _sited(value):
            if not _traceable(leaf):
                continue
            for each, cut in ((leaf, None), *_value_words(leaf)):
                if each not in self._known and not self._lend_room(_size(each)):
                    self._hide(tool, output)
                    return
                site = None if output is None else _Site(output, pointer, cut)
                self._learn(each, _Found(6, "tool", tool, trusted=False, site=site))

    def _hide(self, tool: str, output: Output | None) -> None:
        """Some of what an untrusted output holds is not known: an unknown value may be of it."""
        site = None if output is None else _Site(output, "", None)
        self._hidden = self._hidden or _Found(8, "tool", tool, trusted=False, site=site)

    def _sow(self, fed: list[str | float]) -> None:
        for leaf in fed:
            for value in (leaf, *(word for word, _ in _value_words(leaf))):
                if value not in self._sown and self._make_room(_size(value)):
                    self._sown.add(value)

    def _learn(self, value: str | float, found: _Found) -> None:
        earlier = self._known.get(value)
        if earlier is None:
            if self._make_room(_size(value)):
                self._known[value] = found
        elif found.rank < earlier.rank and not self.overflowed:
            self._known[value] = found

    def _lend_room(self, characters: int) -> bool:
        """Whether untrusted values have room left.

        Forgetting their values is safe, since unknown is as untrusted; a flood of them must
        not crowd out what the person says later.
        """
        self._untrusted_values_left -= 1
        self._untrusted_characters_left -= characters
        return self._untrusted_values_left >= 0 and self._untrusted_characters_left >= 0

    def _make_room(self, characters: int) -> bool:
        """Takes the room for one more value; a full ledger never takes anything again."""
        if self.overflowed or self._values_left < 1 or self._characters_left < characters:
            self.overflowed = True
            return False
        self._values_left -= 1
        self._characters_left -= characters
        return True


def pinned_by_plan(
    provenance: Mapping[str, JsonObject], plan: str, names: Collection[str]
) -> dict[str, JsonObject]:
    """The same provenance once a call has matched a step that pins some arguments.

    A pinned value (`Match.pinned`) is the plan's by its position, also where it is too short to
    be traced. What the person said stays theirs.
    """
    tops = {_token(name) for name in names}
    return {
        pointer: {**entry, "origin": "plan", "source": plan, "trusted": True, "from": None}
        if entry["origin"] != "user" and "/" + pointer[1:].partition("/")[0] in tops
        else entry
        for pointer, entry in provenance.items()
    }


_NOTHING: JsonObject = {}


def _leaves(
    value: JsonValue, pointer: str = ""
) -> Iterator[tuple[str, JsonValue, tuple[str, ...]]]:
    """Scalars with their pointers and the keys above them, depth first.

    An empty container counts as a leaf.
    """
    waiting: list[tuple[str, JsonValue, tuple[str, ...]]] = [(pointer, value, ())]
    while waiting:
        where, item, keys = waiting.pop()
        if type(item) is dict and item:
            waiting += [(where + _token(k), inner, (*keys, k)) for k, inner in item.items()]
        elif type(item) is list and item:
            waiting += [(f"{where}/{n}", inner, keys) for n, inner in enumerate(item)]
        else:
            yield where, item, keys


def _values(value: JsonValue) -> Iterator[JsonValue]:
    """Scalars, and keys that are data rather than names of fields."""
    return (each for each, _ in _sited(value))


def _sited(value: JsonValue) -> Iterator[tuple[JsonValue, str]]:
    """The same with the pointer of the scalar, or of the first one below the key."""
    seen: set[str] = set()
    for pointer, leaf, keys in _leaves(value):
        yield leaf, pointer
        for key in keys:
            if key not in seen:
                seen.add(key)
                if _KEY_DATA.search(key):
                    yield key, pointer


def _rank(found: _Found) -> int:
    return found.rank


def _token(name: str) -> str:
    """One reference token of a JSON pointer with its slash (RFC 6901 section 3)."""
    if "~" in name or "/" in name:
        name = name.replace("~", "~0").replace("/", "~1")
    return "/" + name


def _traceable(leaf: JsonValue) -> bool:
    kind = type(leaf)
    if kind is str:
        return len(leaf) >= _MIN_LENGTH
    return (kind is int or kind is float) and _digits(leaf) >= _MIN_LENGTH


def _digits(number: float) -> int:
    if type(number) is float and number.is_integer():
        number = int(number)
    return len(repr(abs(number)))


def _number(text: str) -> float | None:
    if not text or text[0] not in "-0123456789" or not _DECIMAL.fullmatch(text):
        return None
    return float(text) if "." in text else int(text)


def _size(value: str | float) -> int:
    return len(value) if isinstance(value, str) else 8


def _value_words(leaf: str | float) -> Iterator[tuple[str, tuple[int, int]]]:
    """Words of a text that look like addresses, ids, paths or amounts, and where they stand."""
    if isinstance(leaf, str):
        for match in _WORD.finditer(leaf):
            word = match[0].rstrip(".:!?")
            if len(word) >= _MIN_LENGTH and word != leaf and _VALUE_LIKE.search(word):
                yield word, (match.start(), match.start() + len(word))


def _is_fed(arguments: JsonObject, provenance: Mapping[str, JsonObject]) -> bool:
    """Whether any argument that can carry a value was untrusted, however short it is."""
    return any(
        leaf is not None
        and type(leaf) is not bool
        and leaf not in ("", [], {})
        and not provenance.get(pointer, _NOTHING).get("trusted")
        for pointer, leaf, _ in _leaves(arguments)
    )


def _echoes(leaf: str | float, fed: list[str | float], folded: list[str]) -> bool:
    """Whether one holds the other, as they are or without spaces, signs and case."""
    mine = leaf if isinstance(leaf, str) else repr(leaf)
    for each in fed:
        theirs = each if isinstance(each, str) else repr(each)
        if mine in theirs or theirs in mine:
            return True
    bare = _folded(leaf)
    return len(bare) >= _MIN_LENGTH and any(
        len(each) >= _MIN_LENGTH and (bare in each or each in bare) for each in folded
    )


def _folded(leaf: str | float) -> str:
    text = leaf if isinstance(leaf, str) else repr(leaf)
    return "".join(char for char in text.casefold() if char.isalnum())
