"""The default decision point: regorus in processes of its own.

Whatever happens to an evaluation happens to its process: an endless loop, a memory bomb, a
crash of the engine. The broker sees a deadline passed or a socket closed, denies that one
call, kills the process by its id, and asks a warm spare next time while a new one is started
in the background.

What it does not protect from: a policy's author, who decides what is permitted by definition;
and an attacker who takes over the evaluator runs as the same user as the broker.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from importlib.metadata import version
from time import monotonic
from typing import TYPE_CHECKING, Self

import anyio
import anyio.lowlevel
import orjson

from permissions.errors import (
    PdpAnswerError,
    PdpError,
    PdpTimeoutError,
    PdpUnavailableError,
    PdpUndefinedError,
    PolicyLoadError,
)
from permissions.logs import get_logger
from permissions.model import Decision
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.embedded.process import Evaluator, EvaluatorLostError, Limits
from permissions.pdp.embedded.served import served
from permissions.pdp.embedded.start import start_evaluator
from permissions.pdp.input_json import input_bytes
from permissions.pdp.linker.linked import LinkedBundle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from permissions.model import Digest, JsonObject
    from permissions.pdp.bundle import PolicyBundle

_FREE_SECONDS = 5.0
"""For an evaluator to become free. Others may be before this caller, and one that has just ended
takes a moment to replace: neither says anything about this question."""
_AT_ONCE = 32
"""Questions that wait for one evaluator before another is asked."""
_SLOW_SECONDS = 0.02
"""For an evaluator to be at one question before others are asked in its place."""
_SPARE_SECONDS = 0.5
"""After the opening, when the first evaluator is at work: until then a spare would take the
processor from what it is opened for, and many processes end before they need one."""
_RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)
_ENGINE = f"regorus/{version('gordon-to-regorus')}"
"""Looked up once: each look reads the package's files."""
_log = get_logger("embedded")


class EmbeddedPdp:
    """A `PolicyDecisionPoint` over evaluator processes.

    One evaluator is asked as long as it answers quickly, by many callers at once; the spares
    take over when it dies, and help out while it is busy with something slow. A question whose
    evaluator was lost is asked once more, of one that has nothing else to do.
    """

    def __init__(
        self,
        bundle: PolicyBundle,
        *,
        soft_deadline: float = 0.05,
        hard_deadline: float = 0.25,
        memory_bytes: int = 512 * 1024 * 1024,
        spare: int = 1,
        linked: bool = True,
        answers_together: int = 1,
    ) -> None:
        """Starts nothing yet.

        Args:
            bundle: modules and data; judged by `lint` when the context is entered.
            soft_deadline: seconds after which a slow answer is logged.
            hard_deadline: seconds after which the evaluator is killed and the call denied. For
                a free one a caller waits that long at most, or 5 s where that is more.
            memory_bytes: address space of one evaluator.
            spare: evaluators kept warm beside the one in use.
            linked: whether to serve the bundle as the linker composes it; a decision of an
                earlier time is made again as it was made (`permissions.pdp.linker`).
            answers_together: how many answers to `evaluate_all` come at once.
        """
        self._bundle = bundle
        self._soft_deadline = soft_deadline
        self._limits = Limits(hard_deadline, memory_bytes, answers_together)
        self._size = 1 + spare
        self._linking = linked
        self._linked = LinkedBundle(bundle.modules)
        self._served = b""
        self._reads_history = bundle.reads_history()
        self._living: list[Evaluator] = []
        self._dead: list[Evaluator] = []
        self._loss = anyio.Event()
        self._change = anyio.Event()
        self._open = False
        self._stack = AsyncExitStack()

    @property
    def revision(self) -> Digest:
        """Digest of the bundle."""
        return self._bundle.revision

    @property
    def engine(self) -> str:
        """`regorus/<version>`, and the linker's, known once entered."""
        return self._linked.named(_ENGINE)

    @property
    def reads_history(self) -> bool:
        """Whether a module of the bundle may read `context.history`."""
        return self._reads_history

    async def __aenter__(self) -> Self:
        """Judges the bundle and starts the first evaluator.

        Raises:
            PolicyLoadError: the bundle must not be used.
            PdpUnavailableError: no evaluator can be started.
        """
        await anyio.to_thread.run_sync(self._prepare)
        await self._start()
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(self._keep_spares)
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kills every evaluator by its id and waits for it."""
        self._open = False
        try:
            await self._stack.aclose()
        finally:
            for evaluator in (*self._living, *self._dead):
                evaluator.kill()
                evaluator.reap()
            self._living.clear()
            self._dead.clear()

    async def evaluate(
        self, document: JsonObject, *, meanwhile: Callable[[], None] | None = None
    ) -> Decision:
        """See `PolicyDecisionPoint.evaluate`.

        Alone in its loop, a caller whose answer is there within a fraction of a millisecond does
        not yield, so that a decision costs no more than the evaluation itself. A caller who is
        cancelled leaves; that costs no evaluator.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        question = input_bytes(document)
        started = monotonic()
        try:
            kind, payload = await self._ask(await self._take(), question, meanwhile)
        except EvaluatorLostError:
            kind, payload = await self._ask_alone(question)
        if monotonic() - started > self._soft_deadline:
            _log.info("policy_evaluation_slow", seconds=round(monotonic() - started, 3))
        return self._decision(kind, payload)

    async def evaluate_all(self, documents: Sequence[JsonObject]) -> list[Decision | PdpError]:
        """Each document's decision, or what `evaluate` would raise, in the same order.

        For many that nobody waits for one by one: they go out together. One that gets no answer so
        is asked again with an evaluator to itself, so that an error is its own.
        """
        await anyio.lowlevel.checkpoint()
        found: dict[int, Decision | PdpError] = {}
        asked: dict[int, bytes] = {}
        for at, document in enumerate(documents):
            try:
                asked[at] = input_bytes(document)
            except PdpError as err:
                found[at] = err
        try:
            evaluator = await self._take()
            answers = await evaluator.ask_all(list(asked.values()))
            if evaluator.is_lost:
                self._retire(evaluator, EvaluatorLostError("lost while it was asked"))
        except PdpError as err:
            return [found.get(at, err) for at in range(len(documents))]
        for (at, question), answer in zip(asked.items(), answers, strict=True):
            try:
                found[at] = self._decision(*(answer or await self._ask_alone(question)))
            except PdpError as err:
                found[at] = err
        return [found[at] for at in range(len(documents))]

    async def _ask(
        self,
        evaluator: Evaluator,
        question: bytes,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[bytes, bytes]:
        try:
            return await evaluator.ask(question, meanwhile=meanwhile)
        except BaseException as err:
            if evaluator.is_lost:
                self._retire(evaluator, err)
            raise

    async def _ask_alone(self, question: bytes) -> tuple[bytes, bytes]:
        """Asks where no other question can cost this one its answer again."""
        while True:
            evaluator = await self._take(alone=True)
            try:
                await evaluator.drained()
                if not evaluator.is_lost:
                    return await self._ask(evaluator, question)
                self._retire(evaluator, EvaluatorLostError("lost while it was waited for"))
            finally:
                evaluator.is_reserved = False
                self._changed()

    def _decision(self, kind: bytes, payload: bytes) -> Decision:
        if kind == b"v":
            return Decision.from_response(orjson.loads(payload))
        if kind == b"u":
            raise PdpUndefinedError(f"{ENTRYPOINT} has no value for this input")
        fault = orjson.loads(payload)["fault"] if kind == b"e" else "unknown answer"
        raise PdpAnswerError(f"the policy failed: {self._linked.fault(fault)}")

    def _prepare(self) -> None:
        prepared = served(self._bundle, linking=self._linking)
        self._linked, self._served = prepared.linked, prepared.payload

    async def _take(self, *, alone: bool = False) -> Evaluator:
        """The evaluator to ask next, reserved when it is to be asked `alone`."""
        if not self._open:
            raise PdpUnavailableError("the decision point is not running")
        if (found := self._found(alone=alone)) is not None:
            return found
        seconds = max(self._limits.deadline_seconds, _FREE_SECONDS)
        try:
            with anyio.fail_after(seconds):
                while (found := self._found(alone=alone)) is None:
                    await self._change.wait()
        except TimeoutError:
            if self._living:
                raise PdpTimeoutError(
                    f"all {len(self._living)} policy evaluators were busy for {seconds:g} s"
                ) from None
            raise PdpUnavailableError(
                f"no policy evaluator is alive, nor became so within {seconds:g} s"
            ) from None
        return found

    def _found(self, *, alone: bool) -> Evaluator | None:
        free = [each for each in self._living if not (each.is_lost or each.is_reserved)]
        quick = (
            each
            for each in free
            if each.waiting < _AT_ONCE and each.busy_seconds < _SLOW_SECONDS
        )
        found = next(quick, None) or min(free, key=lambda each: each.waiting, default=None)
        if found is not None and alone:
            found.is_reserved = True
        return found

    def _changed(self) -> None:
        """Has those who wait for an evaluator look again."""
        self._change.set()
        self._change = anyio.Event()

    def _retire(self, evaluator: Evaluator, err: BaseException) -> None:
        if evaluator not in self._living:
            return  # another of those who asked it did that
        self._living.remove(evaluator)
        evaluator.kill()
        self._dead.append(evaluator)
        self._loss.set()
        self._changed()
        _log.warning("policy_evaluator_ended", pid=evaluator.pid, cause=type(err).__name__)

    async def _start(self) -> None:
        evaluator = await start_evaluator(self._served, self._linked, self._limits)
        self._living.append(evaluator)
        self._changed()

    async def _keep_spares(self) -> None:
        failures = 0
        with anyio.move_on_after(_SPARE_SECONDS):
            await self._loss.wait()
        while True:
            while self._dead:
                self._dead.pop().reap()
            if len(self._living) >= self._size:
                self._loss = anyio.Event()
                await self._loss.wait()
                continue
            try:
                await self._start()
                failures = 0
            except (PdpError, PolicyLoadError) as err:
                _log.error("policy_evaluator_not_started", cause=type(err).__name__)
                await anyio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
