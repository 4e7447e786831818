"""Where hooks are answered: in the daemon, or in the helper of one user.

A hook asks one question per connection. A conversation of an agent's is one run, whose session
stays open between its calls, so that nothing is read back for each; after `IDLE_SECONDS` it is
closed, and the next call opens it again.

A call that was admitted is recorded as handed over, for the agent runs it. Where the agent tells
what came of it (`--outcomes`), its record ends with that: whether it failed, and a digest of what
came out. That is the agent's word, and nothing is decided by it.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio
import orjson

from permissions.broker.call import Admission
from permissions.coding.calls import call_of
from permissions.coding.dialects import DIALECTS, Ended, event_of
from permissions.coding.hook import STALE
from permissions.coding.noted import VERSION
from permissions.coding.verdict import ALLOWED, EventError, Verdict, verdict_of
from permissions.errors import BrokerError, ServiceError
from permissions.execution.base import Outcome, Reported
from permissions.execution.in_process import STOPPED_BEFORE
from permissions.logs import get_logger
from permissions.model import Denial
from permissions.run.state import subject_of
from permissions.service.address import account_name
from permissions.service.tasks import beside
from permissions.service.wire import denial_form
from permissions.sessions.answerable import is_one_persons
from permissions.sessions.open import open_session
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from permissions.broker.broker import PermissionBroker
    from permissions.coding.dialects import Asked
    from permissions.coding.verdict import Answer
    from permissions.model import JsonObject
    from permissions.run.state import RunState
    from permissions.service.address import Peer
    from permissions.service.clients import Client
    from permissions.service.server import Asked as Answering

QUESTION = "hook"
IDLE_SECONDS = 600.0
"""Without a call, after which a conversation's session is closed."""
AWAITED_SECONDS = 3600.0
"""The same, where what came of one of its calls is still to be told."""
AWAITED = 64
"""Calls of one conversation whose outcome is not told yet; the oldest is then handed over."""
MAX_SESSION = 64
"""Characters of an agent's own name for a conversation."""
_log = get_logger("coding.desk")


class _Conversation:
    """One run: its open session, and the calls of which nothing was told yet, oldest first."""

    def __init__(self, session: RunState, stack: AsyncExitStack) -> None:
        self.session = session
        self.stack = stack
        self.awaited: deque[tuple[str, Admission]] = deque()
        self.in_hand = 0
        self.used = time.monotonic()

    def take(self, key: str) -> Admission | None:
        for each in self.awaited:
            if each[0] == key:
                self.awaited.remove(each)
                return each[1]
        return None


class HookDesk:
    """Answers hooks for one broker.

    Args:
        broker: opened in this event loop.
        is_stale: of the circumstances of a hook, whether this process was started under others,
            or what it was started from has changed; it then decides nothing.
    """

    def __init__(
        self, broker: PermissionBroker, is_stale: Callable[[str], bool] | None = None
    ) -> None:
        self._broker = broker
        self._is_stale = is_stale
        self._conversations: dict[str, _Conversation] = {}
        self._opening = anyio.Lock()
        self.asked = time.monotonic()
        """When a hook last asked, on `time.monotonic`."""

    async def answer(self, client: Client, peer: Peer, frame: JsonObject) -> JsonObject:
        """The answer to the one question of a hook.

        Raises:
            ServiceError: it is not of the form, or not this client's to ask.
            BrokerError: nobody can decide it.
        """
        self.asked = time.monotonic()
        agent, options, home, about, event = _read(frame)
        if self._is_stale is not None and self._is_stale(about):
            return {"answer": b64encode(STALE).decode()}
        try:
            found = DIALECTS[agent].read(event_of(event))
        except EventError as err:
            raise ServiceError(str(err)) from err
        asked = found.asked if isinstance(found, Ended) else found
        user = account_name(peer.uid)
        user = str(peer.uid) if user == "?" else user
        client.require(user=user, agent=agent, roles=())
        run = f"{agent}-{_short(asked.session)}"
        if isinstance(found, Ended):
            verdict = await self._ended(run, found)
        else:
            asked = asked._replace(call=asked.call._replace(home=home))
            may_ask = "--ask" in options and asked.attended
            told = "--outcomes" in options
            verdict = await self._asked(user, agent, run, asked, may_ask=may_ask, told=told)
        return _form(DIALECTS[agent].answer(verdict, asked.event))

    async def _asked(
        self, user: str, agent: str, run: str, asked: Asked, *, may_ask: bool, told: bool
    ) -> Verdict:
        call = call_of(asked.call)
        conversation = await self._conversation(user, agent, run)
        try:
            broker, session = self._broker, conversation.session
            asking = ToolCall(call.tool, call.arguments, caller="hook")
            decided = await broker.admit(session, asking)
            if isinstance(decided, Denial):
                may_ask = may_ask and await is_one_persons(broker, decided)
                return _refused(decided, may_ask=may_ask)
            if not isinstance(decided, Admission):
                raise ServiceError("a call without a key has no earlier run")
            if decided.executor is not None:
                await broker.settle(
                    decided, Outcome("not_run", detail="no sandbox of the agent")
                )
                raise ServiceError(
                    "policy wants a sandbox for this call, which the agent has not"
                )
            if not decided.execution.halt.begin():
                ended = await broker.settle(decided, STOPPED_BEFORE)
                return _of(ended)
            if not told:
                return await self._handed_over(decided)
            conversation.awaited.append((asked.key, decided))
            if len(conversation.awaited) > AWAITED:
                await self._handed_over(conversation.awaited.popleft()[1])
            return ALLOWED
        finally:
            conversation.in_hand -= 1
            conversation.used = time.monotonic()

    async def _ended(self, run: str, ended: Ended) -> Verdict:
        """Ends the record of a call; one that nobody waits for has its end already."""
        conversation = self._conversations.get(run)
        admission = None if conversation is None else conversation.take(ended.asked.key)
        if admission is not None:
            await self._broker.settle(admission, _outcome(ended))
        return ALLOWED

    async def _handed_over(self, admission: Admission) -> Verdict:
        outcome = Outcome(
            "ok", detail="the coding agent runs it", verdict="handed_over", enforced=_ENFORCED
        )
        return _of(await self._broker.settle(admission, outcome))

    async def _conversation(self, user: str, agent: str, run: str) -> _Conversation:
        """The run's open session, which is in hand until its `in_hand` is counted down."""
        async with self._opening:
            found = self._conversations.get(run)
            if found is None:
                async with AsyncExitStack() as stack:
                    session = await stack.enter_async_context(
                        open_session(
                            self._broker,
                            user=user,
                            agent=agent,
                            run=run,
                            approval_mode="suspend",
                        )
                    )
                    found = _Conversation(session, stack.pop_all())
                self._conversations[run] = found
            elif found.session.subject != subject_of(user=user, agent=agent, roles=()):
                raise ServiceError(f"the run {run[:80]!r} is of another user")
            found.in_hand += 1
            return found

    @property
    def is_used(self) -> bool:
        """Whether a conversation is open; each closes after a while without a call."""
        return bool(self._conversations)

    async def close(self, *, idle_seconds: float = 0.0) -> None:
        """Closes what nobody used for so long; whatever was not told is handed over."""
        async with self._opening:
            now = time.monotonic()
            for run, each in [*self._conversations.items()]:
                most = AWAITED_SECONDS if each.awaited and idle_seconds else idle_seconds
                if each.in_hand or now - each.used < most:
                    continue
                del self._conversations[run]
                try:
                    async with each.stack:
                        for _, admission in each.awaited:
                            await self._handed_over(admission)
                except BrokerError as err:
                    _log.error("conversation_not_closed", run=run, cause=str(err)[:300])


@asynccontextmanager
async def hook_desk(
    broker: PermissionBroker, is_stale: Callable[[str], bool] | None = None
) -> AsyncIterator[Mapping[str, Answering]]:
    """Answers hooks while the context is open, which the broker outlives."""
    async with open_desk(broker, is_stale) as desk:
        yield {QUESTION: desk.answer}


@asynccontextmanager
async def open_desk(
    broker: PermissionBroker, is_stale: Callable[[str], bool] | None = None
) -> AsyncIterator[HookDesk]:
    """As `hook_desk`, for who has to know when it was last asked."""
    desk = HookDesk(broker, is_stale)
    try:
        async with beside() as tasks:
            tasks.start_soon(_tidy, desk)
            yield desk
    finally:
        with anyio.CancelScope(shield=True):
            await desk.close()


async def _tidy(desk: HookDesk) -> None:
    while True:
        await anyio.sleep(IDLE_SECONDS / 10)
        with anyio.CancelScope(shield=True):
            await desk.close(idle_seconds=IDLE_SECONDS)


_ENFORCED = {"boundary": "none", "reported_by": "hook"}


def _outcome(ended: Ended) -> Outcome:
    """An outcome that the agent tells: a digest of what came out, and what detectors find in it."""
    data = orjson.dumps(ended.output, option=orjson.OPT_SORT_KEYS)
    said = f"sha256:{sha256(data).hexdigest()} of {len(data)} bytes of JSON"
    if ended.failed:
        detail = "the coding agent says that it failed"
        return Outcome(
            "error", detail=detail, verdict="told", enforced=_ENFORCED, shown=ended.output
        )
    detail = "the coding agent says that it ran"
    # `whole`: of what came out nothing is known, as of what was handed over.
    told = Reported(said, whole=True, exact=True)
    return Outcome(
        "ok",
        value=said,
        detail=detail,
        verdict="told",
        enforced=_ENFORCED,
        reported=told,
        shown=ended.output,
    )


def _of(result: object) -> Verdict:
    return _refused(result, may_ask=False) if isinstance(result, Denial) else ALLOWED


def _refused(denial: Denial, *, may_ask: bool) -> Verdict:
    return verdict_of(denial_form(denial)["denial"], may_ask=may_ask)


def _read(frame: JsonObject) -> tuple[str, list[str], str, str, str]:
    if frame.get("version") != VERSION:
        raise ServiceError(
            f"the hook speaks version {str(frame.get('version'))[:20]}, and this broker"
            f" {VERSION}; install the same wardline for both"
        )
    said = [frame.get(n) for n in ("agent", "options", "home", "circumstances", "event")]
    agent, options, home, about, event = said
    if not (
        isinstance(agent, str)
        and agent in DIALECTS
        and isinstance(options, str)
        and type(frame.get("id")) is int
    ):
        raise ServiceError("what a hook asks is not of the form")
    try:
        return agent, options.split(), _text(home), _text(about), _text(event, strict=True)
    except UnicodeDecodeError as err:
        raise ServiceError("the event is not UTF-8") from err


def _text(coded: Any, *, strict: bool = False) -> str:
    if not isinstance(coded, str):
        raise ServiceError("what a hook asks is not of the form")
    try:
        data = b64decode(coded, validate=True)
    except (Base64Error, ValueError) as err:
        raise ServiceError("what a hook asks is not of the form") from err
    return data.decode(errors="strict" if strict else "surrogateescape")


def _form(answer: Answer) -> JsonObject:
    first, second = (
        text.encode(errors="backslashreplace") for text in (answer.stdout, answer.stderr)
    )
    told = bytes([answer.exit_code]) + len(first).to_bytes(4, "big") + first + second
    return {"answer": b64encode(told).decode()}


def _short(session: str) -> str:
    """The agent's name of a conversation, or where that is an odd one a digest of it."""
    bare = session.replace("-", "").replace("_", "")
    if len(session) <= MAX_SESSION and bare.isalnum() and session.isascii():
        return session
    return sha256(session.encode(errors="backslashreplace")).hexdigest()
