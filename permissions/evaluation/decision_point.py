"""The shipped engine in this process, for evaluations of thousands of calls.

The same engine, the same bundle, the same checks of question and answer as
`permissions.pdp.embedded`. What is missing is what protects a broker from its policies: no
process of its own, no deadline, no memory limit. Never for anything but an evaluation.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Self

import anyio.lowlevel
import orjson

from permissions.errors import PdpAnswerError, PdpUndefinedError
from permissions.model import Decision
from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.embedded.served import served
from permissions.pdp.input_json import input_bytes
from permissions.pdp.regorus.engine import UNDEFINED, Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from permissions.model import Digest, JsonObject
    from permissions.pdp.bundle import PolicyBundle


class InProcessPdp:
    """A `PolicyDecisionPoint` for evaluations, without a process of its own.

    Raises:
        PolicyLoadError: on entering, when the bundle must not be used.
    """

    def __init__(self, bundle: PolicyBundle) -> None:
        self._bundle = bundle
        self._engine: Engine | None = None
        self._name = f"regorus/{version('gordon-to-regorus')} in process"
        self._reads_history = bundle.reads_history()

    @property
    def revision(self) -> Digest:
        """Digest of the bundle."""
        return self._bundle.revision

    @property
    def engine(self) -> str:
        """`regorus/<version>`, in process."""
        return self._name

    @property
    def reads_history(self) -> bool:
        """Whether a module of the bundle may read `context.history`."""
        return self._reads_history

    async def __aenter__(self) -> Self:
        """Judges the bundle and loads it."""
        modules = orjson.loads(served(self._bundle, linking=False).payload)["modules"]
        data = orjson.dumps(self._bundle.data).decode()
        self._engine = Engine(modules, data, translated=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drops the engine."""
        self._engine = None

    async def evaluate(
        self, document: JsonObject, *, meanwhile: Callable[[], None] | None = None
    ) -> Decision:
        """See `PolicyDecisionPoint.evaluate`; there is no deadline."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._engine is None:
            raise PdpAnswerError("the decision point is not open")
        asked = input_bytes(document).decode()
        if meanwhile is not None:
            meanwhile()
        try:
            answer = self._engine.ask(ENTRYPOINT, asked)
        except EngineError as err:
            raise PdpAnswerError(f"the policy failed: {err.fault}") from err
        if answer == UNDEFINED:
            raise PdpUndefinedError(f"{ENTRYPOINT} has no value for this input")
        return Decision.from_response(orjson.loads(answer))
