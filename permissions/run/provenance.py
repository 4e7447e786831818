"""Where each argument of a call came from, told from the values that went past the broker.

No model is asked. A leaf of the arguments is compared with what was seen before, in this
order, and the first that holds is its origin:

    user      the person said it: whole in their prompt
    plan      a literal of the accepted plan
    approval  a control argument of a call that a person approved in this run
    tool      a whole field of an earlier output; `trusted` when the tool is, or says that its
              service fills this field in; else also a word of it that looks like a value
              (digits, or one of @ / . _ - :)
    default   nobody gave it; the tool's own default stands
    unknown   anything else: composed, cut, re-spelt, or too short to tell

A value found both in the person's words and in an untrusted text is the person's. Keys inside
an argument or an output count as values when they hold more than letters and underscores; a
leaf below an untrusted key is as untrusted as the key.

A read of a trusted tool vouches for all it returns, any tool for the fields its service fills
in (`tools.trusted_fields`: ids, senders, times; those a write mints, too). Neither vouches for
what it was fed (`run.echoes`), nor for what went untrusted into an earlier call with an effect,
as notes do that are written and read back. A value known as untrusted stays so after a trusted
read, unless the tool was fed nothing untrusted at all. A piece of a number or of a spaced account number that the person
said is not what they said. Numbers and decimal strings compare by value, addresses, accounts,
phone numbers, dates and amounts by what they mean (`run.spellings`), other strings by code
points. Booleans and nulls are never traced. Strings under three characters and numbers under
three digits are whole values of the person or of a vouched field; met anywhere else they prove
nothing. Of words like `to` and `in` the person said none.

Beside its origin an entry says from which call a value came, from which field, whether as a
whole or cut out of a text, and whether it is `linked`: it was looked up by something the person
said that gave one record, or stands in a record that holds something they said.

It does not protect from: an untrusted idea put into the agent's own words (unknown, which is
untrusted, but nothing says whose); secrets leaking through free text; values planted where a
trusted tool reads them from, or into a field that was declared as the service's; re-encoded
echoes (base64, another order; JSON's and HTML's escapes are read, `run.readings`); genuine values turned against the person (the right address,
the wrong mail); a plain word used as a key, which is taken for a field's name. "Never write to eve@x.example"
counts as having said eve@x.example.

Longer than others: the order above is one walk over what was seen, and is read as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from permissions.run.addresses import addresses_in, addresses_meant, is_contact
from permissions.run.echoes import MIN_LENGTH, Fed, number_of
from permissions.run.leaves import is_data, leaves, scalars, token
from permissions.run.origins import (
    APPROVED,
    DEFAULT,
    UNKNOWN,
    UNTRUSTED,
    USER,
    Found,
    Output,
    Source,
    looked_up,
)
from permissions.run.prompt_values import is_said, spoken_numbers
from permissions.run.readings import readings_of
from permissions.run.records import holds_several, linked_records
from permissions.run.spellings import MAX_LENGTH, folded, meanings, spoken_meanings
from permissions.run.values import is_traceable, is_value, size_of, value_words
from permissions.tools.trusted_fields import NO_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from permissions.model import Effect, JsonObject, JsonValue
    from permissions.tools.trusted_fields import TrustedFields

MAX_VALUES: Final = 50_000
"""Values one session remembers."""
MAX_CHARACTERS: Final = 8_000_000
"""Characters of values and prompts one session remembers."""
_FUNCTION_WORDS: Final = frozenset(
    {
        "a", "am", "an", "as", "at", "be", "by", "do", "he", "i", "if", "in", "is", "it", "me",
        "my", "no", "of", "on", "or", "so", "to", "up", "us", "we",
    }
)  # fmt: skip
"""Short words that stand in any sentence, so having said one names no value."""


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
        self._lowered: list[str] = []
        self._known: dict[str | float, Found] = {}
        self._meant: dict[str | float, Found] = {}
        """By what a value means in any spelling; under `folded` untrusted texts alone."""
        self._sown: dict[str | float, bool] = {}
        """Went untrusted into a call with an effect; true where as a whole value."""
        self._hidden: Found | None = None
        self._has_heard = False
        """Whether any untrusted output was met, so that there is something to carry."""

    def add_user_text(self, text: str) -> None:
        """Records what the person said, in their words."""
        if not self._make_room(len(text)):
            return
        self._texts.append(text)
        self._lowered.append(text.lower())
        for written in spoken_numbers(text):
            number = number_of(written)
            if number is not None:
                self._learn(number, USER)
        for meaning in spoken_meanings(text):
            self._meant[meaning] = USER
        for address in addresses_meant(text):
            for name in (*address.names, *address.known_by):
                self._meant[name] = USER

    def add_plan(self, plan: str, values: Iterable[JsonValue]) -> None:
        """Records the pinned values of an accepted plan.

        Only of an accepted one: a plan made after untrusted content was read vouches for nothing.
        """
        found = Found(1, "plan", plan, trusted=True)
        for value in values:
            for each, _ in scalars(value):
                if is_traceable(each):
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
        result: JsonValue = None,
        fields: TrustedFields = NO_FIELDS,
        output: Output | None = None,
    ) -> None:
        """Records the result of a call that ran.

        Args:
            tool: its name.
            value: all that can be read out of the result, as JSON, before any redaction the
                agent does not see.
            whole: whether that is all that can be read out of it. After one that is not, values
                never seen before count as this tool's, unless its output may be believed.
            trusted: whether the tool's manifest says its output may be believed.
            effect: what the tool does; anything but `read` taints, whatever the manifest says.
            arguments: what the call was given.
            provenance: what `trace` said of them before the call.
            result: the result as JSON, in which `fields` are found.
            fields: those that the service fills in.
            output: where the record holds this result.
        """
        given = list(leaves(arguments))
        untrusted = [
            leaf.value
            for leaf in given
            if not provenance.get(leaf.pointer, {}).get("trusted") and is_value(leaf.value)
        ]
        for leaf in given:
            if len(leaf.keys) > 1:  # the first is the argument's name
                untrusted += [k for k in leaf.keys[1:] if self._demotes(k) is not None]
        if effect != "read":
            self._sow(untrusted)
        fed = Fed(untrusted)
        source = Source(tool, output)
        is_lookup = looked_up(given, provenance)
        if trusted and effect == "read":
            led_to = self._led_to(value, self._is_named_loosely, is_lookup=is_lookup)
            self._vouch(value, fed, source, led_to)
            return
        if fields:
            led_to = self._led_to(result, self._is_named, is_lookup=is_lookup)
            self._vouch_fields(result, fields, fed, source, led_to)
        if not whole:
            self._hide(source)
        self._taint(value, source)

    def trace(
        self,
        arguments: JsonObject,
        control: Collection[str],
        defaulted: Collection[str] = (),
    ) -> dict[str, JsonObject]:
        """The origin of each leaf, keyed by JSON pointer, as `context.provenance` holds it.

        `from` says which recorded output the value was seen in first: its call, the entry of
        its outcome, the pointer there, and the characters when it was cut out of a text.
        `carries` says which kinds of addresses of untrusted outputs a free text holds.

        Args:
            arguments: the call's arguments as JSON, defaults filled in.
            control: names of its control arguments.
            defaulted: names of arguments nobody gave. An argument that was given and happens
                to equal a default is traced like any other.
        """
        traced: dict[str, JsonObject] = {}
        for name, argument in arguments.items():
            is_control = name in control
            for leaf in leaves(argument, token(name)):
                found = DEFAULT if name in defaulted else self._find(leaf.value)
                if found is UNKNOWN and self._hidden is not None and is_traceable(leaf.value):
                    found = self._hidden
                for key in leaf.keys:
                    found = self._demotes(key) or found
                traced[leaf.pointer] = {
                    "origin": found.origin,
                    "source": found.source,
                    "trusted": found.trusted,
                    "control": is_control,
                    "from": None if found.site is None else found.site.document(),
                    "linked": found.linked,
                    "carries": [] if is_control else self._carried(leaf.value),
                }
        return traced

    def add_approved(
        self, request: str, arguments: JsonObject, control: Collection[str]
    ) -> None:
        """Records that a person saw a call, and approved it: its control arguments are known.

        Args:
            request: id of the access request.
            arguments: as they were shown.
            control: names of its control arguments.
        """
        found = Found(APPROVED, "approval", request, trusted=True)
        for name in control:
            for each, _ in scalars(arguments.get(name)):
                if is_traceable(each):
                    self._learn(each, found)

    def _carried(self, leaf: JsonValue) -> list[str]:
        """Kinds of addresses in a text that were first seen in an untrusted output."""
        if type(leaf) is not str or len(leaf) < MIN_LENGTH or not self._has_heard:
            return []
        kinds = {kind for text in (leaf, *readings_of(leaf)) for kind in self._kinds_in(text)}
        return sorted(kinds)

    def _kinds_in(self, text: str) -> Iterator[str]:
        for word, kind in addresses_in(text):
            known = self._known.get(word)
            if known is not None and known.rank == UNTRUSTED and not self._find(word).trusted:
                yield kind
        for address in addresses_meant(text):
            found = (self._meant[name] for name in address.known_by if name in self._meant)
            if next(found, UNKNOWN).rank == UNTRUSTED:
                yield address.kind

    def said_by_user(self, value: JsonValue) -> bool:
        """Whether each leaf of a value is the person's own."""
        return all(self._find(each).origin == "user" for each, _ in scalars(value))

    def _find(self, leaf: JsonValue) -> Found:
        kind = type(leaf)
        if kind is str:
            found = self._known.get(leaf, UNKNOWN)
            if found.rank == 0 or not leaf:
                return found
            number = number_of(leaf)
            if number is not None:
                found = min(found, self._known.get(number, UNKNOWN), key=_rank)
            if leaf.lower() in _FUNCTION_WORDS:
                return found
            said = any(leaf in text and is_said(leaf, text) for text in self._texts)
            return USER if said else self._spelled(leaf, found)
        if kind is int or kind is float:
            found = self._known.get(leaf, UNKNOWN)
            return found if found.rank < UNKNOWN.rank else self._meant.get(leaf, UNKNOWN)
        return UNKNOWN

    def _spelled(self, leaf: str, found: Found) -> Found:
        """What is known of the value in another spelling, where it says more."""
        for meaning in meanings(leaf):
            found = min(found, self._meant.get(meaning, UNKNOWN), key=_rank)
            if isinstance(meaning, int | float):
                found = min(found, self._known.get(meaning, UNKNOWN), key=_rank)
        if found is UNKNOWN and len(leaf) >= MIN_LENGTH:
            return self._meant.get(folded(leaf), UNKNOWN)
        return found

    def _demotes(self, key: str) -> Found | None:
        """The standing of a key that is untrusted or unknown data, and no field's name."""
        if not is_data(key):
            return None
        found = self._find(key)
        if found.trusted or (found is UNKNOWN and key.isidentifier()):
            return None
        return found

    def _led_to(
        self,
        result: JsonValue,
        is_named: Callable[[JsonValue], bool],
        *,
        is_lookup: bool,
    ) -> Callable[[str | float, str | None], bool]:
        """Which values of a result, each with its record, the person led to.

        A lookup that gave one record led to all of it. Of several, having searched names none;
        but whoever takes part in what was searched for is who was meant.
        """
        if is_lookup and not holds_several(result):
            return lambda _value, _record: True
        linked = linked_records(result, is_named)
        return lambda value, record: record in linked or (is_lookup and is_contact(value))

    def _vouch(
        self,
        value: JsonValue,
        fed: Fed,
        source: Source,
        led_to: Callable[[str | float, str | None], bool],
    ) -> None:
        """All of a trusted read, but what it was fed."""
        for each, pointer in scalars(value):
            if not is_value(each) or each in self._sown or fed.echoes(each):
                continue
            # A tool can be made to spell an untrusted value out of what it is fed.
            known = self._known.get(each)
            if not (fed and known is not None and not known.trusted):
                is_linked = led_to(each, pointer.rpartition("/")[0])
                self._learn(each, source.vouched(pointer, linked=is_linked))

    def _vouch_fields(
        self,
        result: JsonValue,
        fields: TrustedFields,
        fed: Fed,
        source: Source,
        led_to: Callable[[str | float, str | None], bool],
    ) -> None:
        """The fields that the service fills in, but what it was fed."""
        for each, pointer, record in fields.found_in(result):
            if is_value(each) and not (self._sown.get(each) or fed.echoes(each, of_field=True)):
                is_linked = led_to(each, record)
                self._learn(each, source.vouched(pointer, linked=is_linked))

    def _is_named(self, leaf: JsonValue) -> bool:
        """Whether the person, or the plan, names a record by this value of it."""
        if not is_traceable(leaf):
            return False
        if self._known.get(leaf, UNKNOWN).rank <= 1:
            return True
        return type(leaf) is str and any(
            leaf in text and is_said(leaf, text) for text in self._texts
        )

    def _is_named_loosely(self, leaf: JsonValue) -> bool:
        """The same in any case of letters, as people write: "the electric toothbrush".

        For records that no untrusted source writes into.
        """
        if self._is_named(leaf):
            return True
        if type(leaf) is not str or not is_traceable(leaf):
            return False
        plain = leaf.lower()
        return any(plain in text and is_said(plain, text) for text in self._lowered)

    def _taint(self, value: JsonValue, source: Source) -> None:
        self._has_heard = True
        for leaf, pointer in scalars(value):
            if not is_traceable(leaf):
                continue
            for each, cut in ((leaf, None), *value_words(leaf)):
                earlier = self._known.get(each)
                if earlier is None and not self._lend_room(size_of(each)):
                    self._hide(source)
                    return
                if earlier is None or earlier.rank > UNTRUSTED:
                    self._learn(each, source.untrusted(pointer, cut))
            if type(leaf) is str and not (
                self._taint_addresses(leaf, pointer, source)
                and self._taint_readings(leaf, pointer, source)
            ):
                return

    def _taint_readings(self, text: str, pointer: str, source: Source) -> bool:
        """What stands in a text behind escapes and markup; false when there was no room."""
        whole = (0, len(text))
        for reading in readings_of(text):
            for each, _ in value_words(reading):
                earlier = self._known.get(each)
                if earlier is None and not self._lend_room(size_of(each)):
                    self._hide(source)
                    return False
                if earlier is None or earlier.rank > UNTRUSTED:
                    self._learn(each, source.untrusted(pointer, whole))
            if not self._taint_addresses(reading, pointer, source, whole):
                return False
        return True

    def _taint_addresses(
        self, text: str, pointer: str, source: Source, where: tuple[int, int] | None = None
    ) -> bool:
        """What a text leads to, in whichever spelling; false when there was no room for it."""
        for address in addresses_meant(text):
            for name in address.names:
                earlier = self._meant.get(name)
                if earlier is None and not self._lend_room(len(name)):
                    self._hide(source)
                    return False
                if earlier is None or earlier.rank > UNTRUSTED:
                    self._meant[name] = source.untrusted(pointer, where or address.where)
        return True

    def _hide(self, source: Source) -> None:
        """Some of what an untrusted output holds is not known: an unknown value may be of it."""
        self._hidden = self._hidden or source.untrusted("")._replace(rank=8)

    def _sow(self, fed: list[str | float]) -> None:
        for leaf in fed:
            for value in (leaf, *(word for word, _ in value_words(leaf))):
                if value not in self._sown and not self._make_room(size_of(value)):
                    return
                self._sown[value] = self._sown.get(value, False) or value is leaf

    def _learn(self, value: str | float, found: Found) -> None:
        if isinstance(value, str) and not self.overflowed and len(value) <= MAX_LENGTH:
            for meaning in meanings(value):
                if found.rank < self._meant.get(meaning, UNKNOWN).rank:
                    self._meant[meaning] = found
            if not found.trusted and len(plain := folded(value)) >= MIN_LENGTH:
                self._meant.setdefault(plain, found)
        earlier = self._known.get(value)
        if earlier is None:
            if self._make_room(size_of(value)):
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


def _rank(found: Found) -> int:
    return found.rank
