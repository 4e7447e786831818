"""A decision point without an engine: a Python function instead of a policy.

For tests, and for programs that decide in Python. It keeps the whole contract of
`PolicyDecisionPoint`: the strict JSON form, an answer that is checked, errors for everything that
is no clear answer. The same conformance suite holds it to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import anyio.lowlevel
import orjson

from permissions.errors import PdpAnswerError, PdpUnavailableError
from permissions.model import Decision
from permissions.pdp.input_json import input_bytes
from permissions.signing.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from permissions.model import Digest, JsonObject, JsonValue


class ScriptedPdp:
    """A `PolicyDecisionPoint` that answers with what `respond` returns for the input.

    `respond` gets the input as it reads as plain JSON and returns the value of the
    entrypoint. It may raise any `PdpError`; `PdpUndefinedError` says that it has no answer.
    """

    def __init__(
        self, respond: Callable[[JsonObject], JsonValue], *, name: str = "scripted"
    ) -> None:
        self._respond = respond
        self._revision = digest(f"scripted policy {name}".encode())
        self._open = False

    @property
    def revision(self) -> Digest:
        """Digest of the name given; a function has no other identity."""
        return self._revision

    @property
    def engine(self) -> str:
        """Always `scripted/1`."""
        return "scripted/1"

    @property
    def reads_history(self) -> bool:
        """Nobody can tell what a function reads."""
        return True

    async def __aenter__(self) -> Self:
        """Opens it."""
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it: later questions are refused."""
        self._open = False

    async def evaluate(
        self, document: JsonObject, *, meanwhile: Callable[[], None] | None = None
    ) -> Decision:
        """See `PolicyDecisionPoint.evaluate`."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if not self._open:
            raise PdpUnavailableError("the decision point is not running")
        asked = orjson.loads(input_bytes(document))
        if meanwhile is not None:
            meanwhile()
        response = self._respond(asked)
        try:
            return Decision.from_response(orjson.loads(orjson.dumps(response)))
        except TypeError as err:
            raise PdpAnswerError("the scripted answer is not JSON") from err
