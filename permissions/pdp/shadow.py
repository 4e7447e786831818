"""Decides without the packages in the shadow, and finds out what they would have changed.

Two decision points: one has never heard of those packages, and its answer alone counts. The
other serves all packages as if each was in force. What it says is told beside the decision; when
it is late, fails or dies, that is told, and the decision is what it was.

Not protected from: the time it takes. A call waits for both answers, for the second no longer than
a hard deadline.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from permissions.errors import PdpError
from permissions.model import ShadowAnswer
from permissions.pdp.shadow_marks import enforced

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from permissions.model import Decision, Digest, JsonObject
    from permissions.pdp.base import PolicyDecisionPoint
    from permissions.pdp.bundle import PolicyBundle


def with_shadow(
    bundle: PolicyBundle,
    *,
    decides: Callable[[PolicyBundle], AbstractAsyncContextManager[PolicyDecisionPoint]],
    would: Callable[[PolicyBundle], AbstractAsyncContextManager[PolicyDecisionPoint]],
) -> AbstractAsyncContextManager[PolicyDecisionPoint]:
    """The decision point of a bundle, with the packages in the shadow beside it if it has any.

    Args:
        bundle: all packages.
        decides: makes the one whose answer counts.
        would: makes the one that is asked what it would be with all of them.
    """
    view = enforced(bundle)
    if view is bundle:
        return decides(bundle)
    return ShadowedPdp(bundle, decides(view), would(bundle))


class ShadowedPdp:
    """A `PolicyDecisionPoint` whose decisions say what other packages would have made of them."""

    def __init__(
        self,
        bundle: PolicyBundle,
        decides: AbstractAsyncContextManager[PolicyDecisionPoint],
        would: AbstractAsyncContextManager[PolicyDecisionPoint],
    ) -> None:
        self._bundle = bundle
        self._opening = (decides, would)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens both.

        Raises:
            PolicyLoadError: the packages in force do not stand without the others, or any of
                them must not be used.
            PdpError: one of the two does not start.
        """
        async with AsyncExitStack() as stack:
            self._decides = await stack.enter_async_context(self._opening[0])
            self._would = await stack.enter_async_context(self._opening[1])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes both."""
        await self._stack.aclose()

    @property
    def revision(self) -> Digest:
        """Digest of all packages, those in the shadow included."""
        return self._bundle.revision

    @property
    def engine(self) -> str:
        """Of the one whose answer counts."""
        return self._decides.engine

    @property
    def reads_history(self) -> bool:
        """Whether either may read `context.history`."""
        return self._decides.reads_history or self._would.reads_history

    async def evaluate(
        self, document: JsonObject, *, meanwhile: Callable[[], None] | None = None
    ) -> Decision:
        """See `PolicyDecisionPoint.evaluate`."""
        decided = await self._decides.evaluate(document, meanwhile=meanwhile)
        try:
            would = await self._would.evaluate(document)
        except PdpError as err:
            return replace(decided, shadow=ShadowAnswer.of_fault(type(err).__name__))
        return replace(decided, shadow=ShadowAnswer.beside(decided, would))
