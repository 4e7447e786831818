"""Asks a broker of this process's own about one call, where no daemon is configured.

Slower than the daemon, for policies and keys are loaded before each call. Hooks of one project
take turns, since a record has one writer.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

from permissions.broker.call import Admission
from permissions.coding.thin import HANDED_OVER
from permissions.coding.tools import TOOLS
from permissions.coding.verdict import ALLOWED, Verdict, verdict_of
from permissions.execution.base import Outcome
from permissions.model import Denial
from permissions.service.wire import denial_form
from permissions.sessions.answerable import is_one_persons
from permissions.sessions.open import open_session
from permissions.setup.config import BrokerConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import StateLayout
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.broker.broker import PermissionBroker
    from permissions.coding.calls import Call


def ask(opening: dict[str, Any], call: Call, *, may_ask: bool, until: float) -> Verdict:
    """What the policies of the settings say of a call, once that is on record.

    Args:
        opening: what the session is opened with.
        call: as `permissions.coding.calls` gives it.
        may_ask: whether a question may be put to the person at the agent's prompt.
        until: on `time.monotonic`, to get a turn.

    Raises:
        ConfigError: a setting cannot be used.
        BrokerError: the broker does not open, or its record cannot be written.
        TimeoutError: other hooks took all of the time.
    """
    config = BrokerConfig.load()
    StateLayout(config.state).make(config.workspace)
    with _turn(str(config.state / "hook.lock"), until):
        return anyio.run(_decide, config, opening, call, may_ask)


def open_once(config: BrokerConfig) -> None:
    """Opens a broker for these tools and closes it, so that the next one opens quickly.

    Judging policies for the first time takes longer than an agent waits for a hook.

    Raises:
        BrokerError: as `permissions.setup.factory.open_broker`.
    """
    anyio.run(_opened, config)


async def _opened(config: BrokerConfig) -> None:
    async with open_broker(config, TOOLS):
        pass


async def _decide(
    config: BrokerConfig,
    opening: dict[str, Any],
    call: Call,
    may_ask: bool,  # noqa: FBT001 - anyio.run takes no names
) -> Verdict:
    async with open_broker(config, TOOLS) as broker, open_session(broker, **opening) as session:
        asked = ToolCall(call.tool, call.arguments, caller="hook")
        decided = await broker.admit(session, asked)
        if isinstance(decided, Denial):
            may_ask = may_ask and await is_one_persons(broker, decided)
            return _refused(decided, may_ask=may_ask)
        if not isinstance(decided, Admission):
            raise TypeError("a call without a key has no earlier run")
        return await _handed_over(broker, decided)


async def _handed_over(broker: PermissionBroker, admission: Admission) -> Verdict:
    enforced = {"boundary": "none", "reported_by": "hook"}
    ended = await broker.settle(admission, Outcome(**HANDED_OVER, enforced=enforced))  # type: ignore[arg-type]
    return _refused(ended, may_ask=False) if isinstance(ended, Denial) else ALLOWED


def _refused(denial: Denial, *, may_ask: bool) -> Verdict:
    return verdict_of(denial_form(denial)["denial"], may_ask=may_ask)


@contextmanager
def _turn(path: str, until: float) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError("other hooks of this project took too long") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
