"""Which tools policies could allow to the subject of a session: what its client lists.

A tool is left out only where every call of it by this subject would be denied, whatever its
arguments are (`permissions.pdp.possible`); where that cannot be told, it is listed. So a list is
no promise that a call is allowed, and no protection either: each call is decided, whether the
tool was listed or not.

Policies are taken from where the settings name them, and only when they are those in force.
For policies that the embedded engine does not take, nothing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from permissions.broker.mapping import boundaries_of, environment_of, tool_question
from permissions.errors import BrokerError
from permissions.logs import get_logger
from permissions.model import Decision
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.possible import possible
from permissions.pdp.regorus.errors import EngineError
from permissions.run.state import RunState
from permissions.setup.policies import load_policies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from permissions.broker.broker import PermissionBroker
    from permissions.broker.ports import BrokerParts
    from permissions.pdp.bundle import PolicyBundle
    from permissions.sessions.rings import OpenRun
    from permissions.setup.config import BrokerConfig
    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import JsonObject

_log = get_logger("setup.listing")

READY_SECONDS = 5.0
"""For what answers to be ready, the first time and after other policies came into force."""
ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Ready:
    """What answers for the policies of these parts; nothing does where it cannot be told."""

    parts: BrokerParts
    pdp: EmbeddedPdp | None


class Listing:
    """Tells which tools could be allowed. Somebody has to `run` it beside what asks.

    Args:
        broker: whose policies count.
        config: the settings they are named in.
    """

    def __init__(self, broker: PermissionBroker, config: BrokerConfig) -> None:
        self._broker = broker
        self._config = config
        self._wanted = anyio.Event()
        self._ready: _Ready | None = None
        self._change = anyio.Event()

    async def run(self) -> None:
        """Keeps what answers at hand, under the policies in force; ends when it is cancelled."""
        await self._wanted.wait()
        while True:
            parts, reloaded = self._broker.parts, self._broker.reloaded
            try:
                bundle = await anyio.to_thread.run_sync(self._bundle, parts)
                async with EmbeddedPdp(
                    bundle, hard_deadline=ANSWER_SECONDS, spare=0, linked=False
                ) as pdp:
                    self._now(_Ready(parts, pdp))
                    await reloaded.wait()
            except (BrokerError, EngineError) as err:
                _log.warning("tools_listed_unfiltered", fault=str(err)[:300])
                self._now(_Ready(parts, None))
                await reloaded.wait()

    async def possible(
        self, session: OpenRun, tools: Iterable[ToolDefinition]
    ) -> frozenset[str]:
        """The names of those that policies could allow to the subject of this session."""
        asked = list(tools)
        everything = frozenset(each.name for each in asked)
        pdp = await self._at_hand()
        if pdp is None or not isinstance(session, RunState):
            return everything
        questions = [self._question(session, each) for each in asked]
        try:
            answers = await pdp.evaluate_all(questions)
        except BrokerError:
            return everything
        return everything - {
            tool.name
            for tool, answer in zip(asked, answers, strict=True)
            if isinstance(answer, Decision) and not answer.permitted
        }

    def _question(self, session: RunState, tool: ToolDefinition) -> JsonObject:
        boundaries = boundaries_of(tool, self._broker.isolation)
        where = environment_of(session, self._broker.parts.environment, boundaries)
        return {**tool_question(session, tool), "context": {"environment": where}}

    async def _at_hand(self) -> EmbeddedPdp | None:
        self._wanted.set()
        with anyio.move_on_after(READY_SECONDS):
            while self._ready is None or self._ready.parts is not self._broker.parts:
                await self._change.wait()
            return self._ready.pdp
        return None

    def _now(self, ready: _Ready) -> None:
        self._ready = ready
        self._change.set()
        self._change = anyio.Event()

    def _bundle(self, parts: BrokerParts) -> PolicyBundle:
        named = load_policies(self._config).bundle
        if named.revision != parts.pdp.revision:
            raise BrokerError("the policies in force are not those that the settings name now")
        return possible(named)
