"""What may follow what: the state machine of runs and calls, without any IO.

::

    intent ──► (resolution | decision | request | approval | grant)* ──► denied
                          │
                          └─ after a permit ──► start ──► (decision | effect)* ──► outcome
    what a run changed:  effect (changes) ──► (decision | request | approval)* ──► effect (fate)
    from any open state ──► gap          a run: run.start ──► plans, delegations, calls ──► run.end

Before the start a decision is about the call (`action` is `tools/call`), after it about what
the call does then. A connection that was made has a decision of its own that permits it.
Every call ends once: `denied`, `outcome` or `gap`. A call that is asked for after its run ended
is denied; it does not open the run again. A run left open by one writer may be started
again under the next `log.open`. What does not fit is a finding, not an
exception: the entry is there and signed, it just tells a story that must not happen. Types
this version does not know are left alone, so that later ones can be added.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from permissions.trace.entry import TERMINAL
from permissions.trace.stops import Stops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from permissions.model import JsonObject
    from permissions.trace.decoded import DecodedEntry

Say: TypeAlias = "Callable[[str], None]"
"""Where a sentence goes about what is wrong."""
LOG_TYPES = frozenset(
    {
        "log.open",
        "log.recover",
        "log.close",
        "config",
        "key",
        "access",
        "erase",
        "hold",
        "stop",
        "resume",
    }
)
RUN_TYPES = frozenset({"run.start", "run.end", "plan", "delegation"})
CALL_TYPES = frozenset(
    {
        "intent",
        "resolution",
        "grant",
        "decision",
        "request",
        "approval",
        "denied",
        "start",
        "effect",
        "outcome",
        "gap",
    }
)
CLOCK_SLACK_US = 1_000_000
"""Ordinary correction of a clock; a larger step back is worth a look."""
LISTED_GAPS = 100
KNOWN_TYPES = LOG_TYPES | RUN_TYPES | CALL_TYPES


@dataclass(slots=True)
class CallState:
    """Where a call stands that has not ended; `key` and `args` are tags of what they name."""

    run: str
    call: str
    since: int
    key: str | None = None
    args: str | None = None
    tool: str | None = None
    last: str = "intent"
    permitted: bool = False
    requested: str | None = None
    approved: str | None = None
    begun: bytes = b""
    """Digest of its key, tool and arguments, once started."""
    started: bool = False
    """Whether the tool may have been run."""
    connections: frozenset[int] = frozenset()
    """Numbers of the connections that were permitted and have not been reported."""
    held: str | None = None
    """Tag of its change set, until the fate of that is recorded."""
    committable: bool = False
    """Whether the last decision about its change set permits."""
    begun_before: bool = False
    """Whether its beginning was not observed, so that nothing can be said of its order."""

    def __str__(self) -> str:
        """As sentences name it."""
        return f"call {self.call!r}"


@dataclass(slots=True)
class _Run:
    calls: int = 0
    """Calls that were started."""
    resumable: bool = False
    counted: bool = True
    """False once the run went on after an end that is not remembered here."""
    open: dict[str, CallState] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    begun: dict[bytes, int] = field(default_factory=dict)
    """Where a call with a key was started, unless it did not end well."""


FAILED = frozenset(
    {"error", "stopped", "provider_failed", "unavailable", "state_lost", "cancelled"}
)
"""How a call ends that may be tried again under its key."""


class Story:
    """Follows the entries of one log.

    Memory grows with open runs, and by a digest for each run that ended and each approval that
    was used: an approval counts once in the whole log, however often its run ended and was
    resumed.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._is_open = False
        self._may_go_on = False
        """Whether runs and calls may have begun before what is observed."""
        self.closed = False
        self.gaps = 0
        self.gap_calls: list[CallState] = []
        """The first of them, with the entry before the gap as their last."""
        self.unknown = 0
        self.reason: str | None = None
        self._time = 0
        """The latest of any entry."""
        self._told_behind = 0
        self._used: dict[bytes, int] = {}
        self._held: set[str] = set()
        """Runs that must not be erased."""
        self._ended_runs: set[bytes] = set()
        self._late: dict[str, _Run] = {}
        """Calls that a run's end left open, or that were asked for after it."""
        self._stops = Stops()

    def go_on(
        self,
        calls: Iterable[tuple[str, str, str | None, int, str]],
        *,
        closed: bool,
        known: bool = True,
    ) -> None:
        """Takes up the story after entries that were not observed, with the calls open then.

        What is said of runs and approvals then leaves out what came before. When it is not
        `known` which runs there were, one that turns up in the middle may have begun before, and
        nothing is said of how the calls that were open go on.
        """
        self._is_open, self.closed, self._may_go_on = True, closed, not known
        self._stops.go_on()
        for run, call, tool, since, last in calls:
            state = self._runs.setdefault(run, _Run(resumable=True, counted=False))
            started = last in ("start", "effect")
            state.open[call] = CallState(
                run,
                call,
                since,
                tool=tool,
                last=last,
                started=started,
                permitted=True,
                begun_before=not known,
            )

    @property
    def open_runs(self) -> tuple[str, ...]:
        """Runs without a `run.end`, oldest first."""
        return tuple(self._runs)

    @property
    def open_calls(self) -> tuple[CallState, ...]:
        """Calls without a terminal entry, oldest first."""
        runs = [*self._runs.values(), *self._late.values()]
        calls = [call for run in runs for call in run.open.values()]
        return tuple(sorted(calls, key=lambda call: call.since))

    def observe(self, entry: DecodedEntry) -> list[str]:
        """Takes in the next entry; says what is wrong about it, one sentence each."""
        found: list[str] = []
        time, kind = entry.time, entry.type
        if time >= self._time:
            self._time, self._told_behind = time, 0
        else:
            self._clock(time, found.append)
        if self.closed and kind != "log.open":
            found.append(f"{kind} after log.close")
        if kind in CALL_TYPES:
            self._call(kind, entry, found.append)
        elif kind in RUN_TYPES:
            self._run(kind, entry, found.append)
        elif kind in LOG_TYPES:
            self._log(kind, entry, found.append)
        else:
            self.unknown += 1
        return found

    def _clock(self, time: int, say: Say) -> None:
        """A step back is told once; one that walks back in small steps is told as well."""
        behind = self._time - time
        if behind > self._told_behind + CLOCK_SLACK_US:
            self._told_behind = behind
            say(f"the clock went back by {behind} us")

    def _log(self, kind: str, entry: DecodedEntry, say: Say) -> None:
        if not self._is_open and kind != "log.open":
            say(f"{kind} before log.open")
        if kind == "log.open":
            self._is_open, self.closed = True, False
            for run in self._runs.values():
                run.resumable = True
        elif kind == "hold":
            change = (
                self._held.update if entry.body.get("held") else self._held.difference_update
            )
            change(entry.body.get("runs", ()))
        elif kind == "erase":
            for name in self._held.intersection(entry.body.get("runs", ())):
                say(f"run {name[:80]!r} was erased while it was on hold")
        elif kind == "log.close":
            self.closed = True
            self.reason = entry.body.get("reason")
        elif kind in ("stop", "resume"):
            for text in self._stops.said(kind, entry.body):
                say(text)
            self._lift(entry, say)

    def _lift(self, entry: DecodedEntry, say: Say) -> None:
        """An approval lifts one stop."""
        if (request := entry.body.get("request")) is not None:
            first = self._used.setdefault(_short(str(request)), entry.index)
            if first != entry.index:
                say(f"resume uses the approval of the entry at {first} again")

    def _run(self, kind: str, entry: DecodedEntry, say: Say) -> None:
        run = entry.run
        if not run:
            say(f"{kind} names no run")
        elif kind == "run.start":
            self._begin(run, entry.body, say)
        elif run not in self._runs and not self._may_go_on:
            say(f"{kind} outside any run")
        elif kind == "delegation":
            self._stops.send(run, entry.body.get("sent"))
        elif kind == "run.end" and run in self._runs:
            state = self._runs.pop(run)
            self._ended_runs.add(_short(run))
            self._stops.end(run)
            for call in state.open:
                say(f"run {run!r} ended while its call {call!r} was open")
            if state.open:
                earlier = self._late.get(run)
                state.open |= {} if earlier is None else earlier.open
                self._late[run] = state
            said = entry.body.get("calls")
            if said is not None and state.counted and said != state.calls:
                say(f"run {run!r} says it started {said} calls; {state.calls} are recorded")

    def _begin(self, run: str, body: JsonObject, say: Say) -> None:
        resumed = body.get("resumed") is True
        state = self._runs.setdefault(run, _Run(resumable=True, counted=not resumed))
        if not state.resumable:
            say(f"run {run!r} is started twice")
        state.resumable = False
        if not resumed:
            state.calls = 0
        self._stops.begin(run, body.get("subject"))

    def _call(self, kind: str, entry: DecodedEntry, say: Say) -> None:
        run, call, body = entry.run, entry.call, entry.body
        if not run or not call:
            say(f"{kind} names no run or no call")
            return
        state = self._state_of(run, call)
        if state is None:
            if not self._may_go_on:
                say(f"{kind} of call {call!r} outside any run")
            begun = _Run(resumable=self._may_go_on, counted=not self._may_go_on)
            state = self._runs.setdefault(run, begun)
        if kind == "intent":
            if call in state.open or call in state.ended:
                say(f"call {call!r} has a second intent")
                return
            key, args, tool = body.get("key"), body.get("args"), body.get("tool")
            state.open[call] = CallState(run, call, entry.index, key, args, tool)
            return
        current = (
            self._opened(state, run, call, entry.index)
            if self._may_go_on
            else state.open.get(call)
        )
        if current is None:
            ended = "after its end" if call in state.ended else "without an intent"
            say(f"{kind} of call {call!r} {ended}")
        else:
            self._move(entry, state, current, say)

    def _move(self, entry: DecodedEntry, state: _Run, call: CallState, say: Say) -> None:
        kind, body = entry.type, entry.body
        if kind == "gap":
            self._gap(call)
        if call.begun_before:  # what it may do stands in what was not observed
            call.last = kind
        else:
            _go_on(kind, body, call, say)
        if kind == "start":
            state.calls += 1
            if not call.begun_before:
                self._start(entry, state, call, say)
        elif kind == "effect":
            if body.get("kind") == "fate" and not call.begun_before:
                self._use(entry, call, say)
        elif kind in TERMINAL:
            _end(state, call, failed=kind == "gap" or body.get("status") in FAILED)
            if self._late:
                self._forget_late(call.run)

    def _opened(self, state: _Run, run: str, call: str, index: int) -> CallState | None:
        """The open call of an entry; one that may have begun before is taken up."""
        if call not in state.open and call not in state.ended:
            state.open[call] = CallState(run, call, index, begun_before=True)
        return state.open.get(call)

    def _state_of(self, run: str, call: str) -> _Run | None:
        """The run of a call; of one that has ended, what is left of it or comes late."""
        found = self._runs.get(run)
        if self._late:
            late = self._late.get(run)
            if late is not None and (call in late.open or found is None):
                return late
        if found is not None or _short(run) not in self._ended_runs:
            return found
        return self._late.setdefault(run, _Run())

    def _forget_late(self, run: str) -> None:
        late = self._late.get(run)
        if late is not None and not late.open:
            del self._late[run]

    def _gap(self, call: CallState) -> None:
        self.gaps += 1
        if len(self.gap_calls) < LISTED_GAPS:
            self.gap_calls.append(replace(call))

    def _start(self, entry: DecodedEntry, run: _Run, call: CallState, say: Say) -> None:
        """An approval lets one start through; so does a key with the same tool and arguments."""
        if self._late and run is self._late.get(call.run):
            say(f"start of call {call.call!r} after the end of its run")
        self._use(entry, call, say)
        if (stop := self._stops.bars(call.run, call.tool)) is not None:
            say(f"call {call.call!r} was started while {stop} stopped it")
        args = entry.body.get("args")
        if args != call.args:
            say(f"call {call.call!r} was started with other arguments than it was asked for")
        if call.key is not None and args is not None:
            call.begun = _short(f"{call.key}\n{call.tool}\n{args}")
            first = run.begun.setdefault(call.begun, entry.index)
            if first != entry.index:
                say(
                    f"call {call.call!r} has the key, tool and arguments of the start at {first}"
                )

    def _use(self, entry: DecodedEntry, call: CallState, say: Say) -> None:
        """An approval lets one start or one commit through."""
        if (request := entry.body.get("request")) is None:
            return
        if request != call.approved:
            say(f"call {call.call!r} uses an approval that is not recorded with it")
        first = self._used.setdefault(_short(str(request)), entry.index)
        if first != entry.index:
            say(f"call {call.call!r} uses the approval of the entry at {first} again")


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _go_on(kind: str, body: JsonObject, call: CallState, say: Say) -> None:
    """Moves an open call on; says what is wrong about the move."""
    if call.started and not _may_follow_start(kind, call):
        say(f"{kind} of {call} after its start")
    if kind == "decision":
        _decided(body, call, say)
    elif kind == "start":
        if not call.permitted:
            say(f"{call} was started without a permit")
        call.started = True
    elif kind in ("outcome", "effect"):
        if not call.started:
            say(f"{call} has an {kind} but was never started")
        _observed(kind, body, call, say)
    elif kind == "request":
        call.requested = body.get("request")
    elif kind == "approval":
        call.approved = body.get("request")
        if call.approved is None or call.approved != call.requested:
            say(f"{call} has an approval of something else than it asked for")
    call.last = kind


def _may_follow_start(kind: str, call: CallState) -> bool:
    """Decisions say what they are about; people are asked about its change set alone."""
    if kind in ("request", "approval"):
        return call.held is not None
    return kind not in ("denied", "start", "resolution", "grant")


def _decided(body: JsonObject, call: CallState, say: Say) -> None:
    action = body.get("action", "tools/call")
    permitted = body.get("permitted") is True
    if (action == "tools/call") == call.started:
        when = "after" if call.started else "before"
        say(f"decision about {action} of {call} {when} its start")
    elif action == "tools/call":
        call.permitted = permitted
    elif action == "effects/commit":
        if call.held is None:
            say(f"decision about changes of {call} that are not recorded, or ended")
        call.committable = permitted
    elif permitted and type(number := body.get("connection")) is int:
        call.connections |= {number}


def _observed(kind: str, body: JsonObject, call: CallState, say: Say) -> None:
    if kind == "outcome":
        if call.held is not None:
            say(f"{call} ended, and nothing says what became of its change set")
        return
    match body.get("kind"):
        case "connection":
            _connected(body, call, say)
        case "changes":
            if call.held is not None:
                say(f"{call} has a second change set")
            call.held, call.committable = str(body.get("change_set")), False
            call.requested = call.approved = None  # what let it run lets nothing be committed
        case "fate":
            if body.get("change_set") != call.held:
                say(f"{call} ends another change set than its own")
            if body.get("fate") == "committed" and not call.committable:
                say(f"{call} was committed without a permit")
            call.held = None


def _connected(body: JsonObject, call: CallState, say: Say) -> None:
    """Each permit lets one connection through."""
    number = body.get("connection")
    if type(number) is int and number in call.connections:
        call.connections -= {number}
    elif body.get("permitted") is True and "connection" in body:
        say(f"{call} made a connection without a permit")


def _end(run: _Run, call: CallState, *, failed: bool) -> None:
    del run.open[call.call]
    run.ended.add(call.call)
    if failed:
        run.begun.pop(call.begun, None)
