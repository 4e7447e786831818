"""The same work by llm-sandbox 0.3.46 on Docker. Runs in its own environment.

Its containers run as root and without limits, and are used again: that is its default, and
quicker than if it were hardened. They get no network, which is quicker still.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from image import engine, first_process, named_python
from llm_sandbox import SandboxSession
from llm_sandbox.pool import PoolConfig, create_pool_manager
from measure import Timed, main, memory_of, timed, timed_together

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 12
CALLERS = 4
CALLS_EACH = 15
NO_NETWORK = {"network_mode": "none"}


def prints(session: Any) -> bool:
    """One run in an open session, which has to print 1."""
    return bool(session.run("print(1)").stdout.strip() == "1")


def cold() -> Timed:
    """Open, run, close."""
    with engine() as client, named_python(client) as image:

        def call(_: int) -> bool:
            with _session(client, image) as session:
                return prints(session)

        return timed(call, CALLS)


def session() -> Timed:
    """Runs in one session."""
    with engine() as client, named_python(client) as image, _session(client, image) as opened:
        measured = timed(lambda _: prints(opened), CALLS)
        memory = memory_of(first_process(client, opened.container.id))
        return Timed(measured.latencies, measured.elapsed, memory)


def pooled(callers: int) -> Timed:
    """Takes a container from a warm pool, runs, gives it back."""
    with engine() as client, named_python(client) as image:
        pool = create_pool_manager(
            backend="docker",
            config=PoolConfig(max_pool_size=callers, min_pool_size=callers),
            client=client,
            lang="python",
            image=image,
            skip_environment_setup=True,
            runtime_configs=NO_NETWORK,
        )

        def call(_: int) -> bool:
            with SandboxSession(pool=pool, lang="python") as one:
                return prints(one)

        together: list[Callable[[int], bool]] = [call] * callers
        try:
            timed(call, 1)
            return timed(call, CALLS) if callers == 1 else timed_together(together, CALLS_EACH)
        finally:
            pool.close()


def _session(client: Any, image: str) -> Any:
    return SandboxSession(
        client=client,
        lang="python",
        image=image,
        skip_environment_setup=True,
        keep_template=True,
        runtime_configs=NO_NETWORK,
    )


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    main(
        {
            "cold": cold,
            "session": session,
            "pool": lambda: pooled(1),
            "sustained": lambda: pooled(CALLERS),
        }
    )
