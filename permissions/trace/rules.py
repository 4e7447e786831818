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
from typing import TYPE_CHECKING

from permissions.trace.entry import TERMINAL
from permissions.trace.stops import Stops

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.model import JsonObject

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
    connections: set[int] = field(default_factory=set)
    """Numbers of the connections that were permitted and have not been reported."""
    held: str | None = None
    """Tag of its change set, until the fate of that is recorded."""
    committable: bool = False
    """Whether the last decision about its change set permits."""
    begun_before: bool = False
    """Whether its beginning was not observed, so that nothing can be said of its order."""


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

    def observe(self, entry: JsonObject) -> Iterator[str]:
        """Takes in the next entry; yields what is wrong about it, one sentence each."""
        time = entry["time"]
        if time >= self._time:
            self._time, self._told_behind = time, 0
        else:
            yield from self._clock(time)
        if self.closed and entry["type"] != "log.open":
            yield f"{entry['type']} after log.close"
        kind = entry["type"]
        if kind in LOG_TYPES:
            yield from self._log(kind, entry)
        elif kind in RUN_TYPES:
            yield from self._run(kind, entry)
        elif kind in CALL_TYPES:
            yield from self._call(kind, entry)
        else:
            self.unknown += 1

    def _clock(self, time: int) -> Iterator[str]:
        """A step back is told once; one that walks back in small steps is told as well."""
        behind = self._time - time
        if behind > self._told_behind + CLOCK_SLACK_US:
            self._told_behind = behind
            yield f"the clock went back by {behind} us"

    def _log(self, kind: str, entry: JsonObject) -> Iterator[str]:
        if not self._is_open and kind != "log.open":
            yield f"{kind} before log.open"
        if kind == "log.open":
            self._is_open, self.closed = True, False
            for run in self._runs.values():
                run.resumable = True
        elif kind == "hold":
            change = (
                self._held.update if entry["body"].get("held") else self._held.difference_update
            )
            change(entry["body"].get("runs", ()))
        elif kind == "erase":
            for name in self._held.intersection(entry["body"].get("runs", ())):
                yield f"run {name[:80]!r} was erased while it was on hold"
        elif kind == "log.close":
            self.closed = True
            self.reason = entry["body"].get("reason")
        elif kind in ("stop", "resume"):
            yield from self._stops.said(kind, entry["body"])
            yield from self._lift(entry)

    def _lift(self, entry: JsonObject) -> Iterator[str]:
        """An approval lifts one stop."""
        if (request := entry["body"].get("request")) is not None:
            first = self._used.setdefault(_short(str(request)), entry["index"])
            if first != entry["index"]:
                yield f"resume uses the approval of the entry at {first} again"

    def _run(self, kind: str, entry: JsonObject) -> Iterator[str]:
        run = entry["run"]
        if not run:
            yield f"{kind} names no run"
        elif kind == "run.start":
            yield from self._begin(run, entry["body"])
        elif run not in self._runs and not self._may_go_on:
            yield f"{kind} outside any run"
        elif kind == "delegation":
            self._stops.send(run, entry["body"].get("sent"))
        elif kind == "run.end" and run in self._runs:
            state = self._runs.pop(run)
            self._ended_runs.add(_short(run))
            self._stops.end(run)
            for call in state.open:
                yield f"run {run!r} ended while its call {call!r} was open"
            if state.open:
                earlier = self._late.get(run)
                state.open |= {} if earlier is None else earlier.open
                self._late[run] = state
            said = entry["body"].get("calls")
            if said is not None and state.counted and said != state.calls:
                yield f"run {run!r} says it started {said} calls; {state.calls} are recorded"

    def _begin(self, run: str, body: JsonObject) -> Iterator[str]:
        resumed = body.get("resumed") is True
        state = self._runs.setdefault(run, _Run(resumable=True, counted=not resumed))
        if not state.resumable:
            yield f"run {run!r} is started twice"
        state.resumable = False
        if not resumed:
            state.calls = 0
        self._stops.begin(run, body.get("subject"))

    def _call(self, kind: str, entry: JsonObject) -> Iterator[str]:
        run, call = entry["run"], entry["call"]
        if not run or not call:
            yield f"{kind} names no run or no call"
            return
        state = self._state_of(run, call)
        if state is None:
            if not self._may_go_on:
                yield f"{kind} of call {call!r} outside any run"
            begun = _Run(resumable=self._may_go_on, counted=not self._may_go_on)
            state = self._runs.setdefault(run, begun)
        if kind == "intent":
            if call in state.open or call in state.ended:
                yield f"call {call!r} has a second intent"
                return
            key, args, tool = (entry["body"].get(name) for name in ("key", "args", "tool"))
            state.open[call] = CallState(run, call, entry["index"], key, args, tool)
            return
        current = self._opened(state, entry)
        if current is None:
            ended = "after its end" if call in state.ended else "without an intent"
            yield f"{kind} of call {call!r} {ended}"
            return
        if kind == "gap":
            self._gap(current)
        if current.begun_before:  # what it may do stands in what was not observed
            current.last = kind
        else:
            yield from self._go_on(entry, state, current)
        state.calls += kind == "start"
        if kind in TERMINAL:
            _end(state, current, failed=kind == "gap" or entry["body"].get("status") in FAILED)
            self._forget_late(run)

    def _opened(self, state: _Run, entry: JsonObject) -> CallState | None:
        """The open call of an entry; one that may have begun before is taken up."""
        run, call = entry["run"], entry["call"]
        if self._may_go_on and call not in state.open and call not in state.ended:
            state.open[call] = CallState(run, call, entry["index"], begun_before=True)
        return state.open.get(call)

    def _go_on(self, entry: JsonObject, state: _Run, call: CallState) -> Iterator[str]:
        kind, body = entry["type"], entry["body"]
        yield from _findings(kind, body, call)
        if kind == "start":
            yield from self._start(entry, state, call)
        elif kind == "effect" and body.get("kind") == "fate":
            yield from self._use(entry, call)

    def _state_of(self, run: str, call: str) -> _Run | None:
        """The run of a call; of one that has ended, what is left of it or comes late."""
        late = self._late.get(run)
        if late is not None and (call in late.open or run not in self._runs):
            return late
        if run in self._runs or _short(run) not in self._ended_runs:
            return self._runs.get(run)
        return self._late.setdefault(run, _Run())

    def _forget_late(self, run: str) -> None:
        late = self._late.get(run)
        if late is not None and not late.open:
            del self._late[run]

    def _gap(self, call: CallState) -> None:
        self.gaps += 1
        if len(self.gap_calls) < LISTED_GAPS:
            self.gap_calls.append(replace(call))

    def _start(self, entry: JsonObject, run: _Run, call: CallState) -> Iterator[str]:
        """An approval lets one start through; so does a key with the same tool and arguments."""
        if run is self._late.get(call.run):
            yield f"start of call {call.call!r} after the end of its run"
        yield from self._use(entry, call)
        if (stop := self._stops.bars(call.run, call.tool)) is not None:
            yield f"call {call.call!r} was started while {stop} stopped it"
        index, args = entry["index"], entry["body"].get("args")
        if args != call.args:
            yield f"call {call.call!r} was started with other arguments than it was asked for"
        if call.key is not None and args is not None:
            call.begun = _short(f"{call.key}\n{call.tool}\n{args}")
            first = run.begun.setdefault(call.begun, index)
            if first != index:
                yield f"call {call.call!r} has the key, tool and arguments of the start at {first}"

    def _use(self, entry: JsonObject, call: CallState) -> Iterator[str]:
        """An approval lets one start or one commit through."""
        index, request = entry["index"], entry["body"].get("request")
        if request is None:
            return
        if request != call.approved:
            yield f"call {call.call!r} uses an approval that is not recorded with it"
        first = self._used.setdefault(_short(str(request)), index)
        if first != index:
            yield f"call {call.call!r} uses the approval of the entry at {first} again"


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _findings(kind: str, body: JsonObject, call: CallState) -> Iterator[str]:
    """Moves an open call on; yields what is wrong about the move."""
    name = f"call {call.call!r}"
    if call.started and not _may_follow_start(kind, call):
        yield f"{kind} of {name} after its start"
    match kind:
        case "decision":
            yield from _decided(name, body, call)
        case "request":
            call.requested = body.get("request")
        case "approval":
            call.approved = body.get("request")
            if call.approved is None or call.approved != call.requested:
                yield f"{name} has an approval of something else than it asked for"
        case "start":
            if not call.permitted:
                yield f"{name} was started without a permit"
            call.started = True
        case "effect" | "outcome":
            if not call.started:
                yield f"{name} has an {kind} but was never started"
            yield from _observed(name, kind, body, call)
    call.last = kind


def _may_follow_start(kind: str, call: CallState) -> bool:
    """Decisions say what they are about; people are asked about its change set alone."""
    if kind in ("request", "approval"):
        return call.held is not None
    return kind not in ("denied", "start", "resolution", "grant")


def _decided(name: str, body: JsonObject, call: CallState) -> Iterator[str]:
    action = body.get("action", "tools/call")
    permitted = body.get("permitted") is True
    if (action == "tools/call") == call.started:
        when = "after" if call.started else "before"
        yield f"decision about {action} of {name} {when} its start"
    elif action == "tools/call":
        call.permitted = permitted
    elif action == "effects/commit":
        if call.held is None:
            yield f"decision about changes of {name} that are not recorded, or ended"
        call.committable = permitted
    elif permitted and type(number := body.get("connection")) is int:
        call.connections.add(number)


def _observed(name: str, kind: str, body: JsonObject, call: CallState) -> Iterator[str]:
    match kind, body.get("kind"):
        case "outcome", _ if call.held is not None:
            yield f"{name} ended, and nothing says what became of its change set"
        case "effect", "connection":
            yield from _connected(name, body, call)
        case "effect", "changes":
            if call.held is not None:
                yield f"{name} has a second change set"
            call.held, call.committable = str(body.get("change_set")), False
            call.requested = call.approved = None  # what let it run lets nothing be committed
        case "effect", "fate":
            if body.get("change_set") != call.held:
                yield f"{name} ends another change set than its own"
            if body.get("fate") == "committed" and not call.committable:
                yield f"{name} was committed without a permit"
            call.held = None


def _connected(name: str, body: JsonObject, call: CallState) -> Iterator[str]:
    """Each permit lets one connection through."""
    number = body.get("connection")
    if type(number) is int and number in call.connections:
        call.connections.discard(number)
    elif body.get("permitted") is True and "connection" in body:
        yield f"{name} made a connection without a permit"


def _end(run: _Run, call: CallState, *, failed: bool) -> None:
    del run.open[call.call]
    run.ended.add(call.call)
    if failed:
        run.begun.pop(call.begun, None)
