"""The same work by agt-sandbox 5.0.0 on Docker. Runs in its own environment.

Its sessions are used again. Its `destroy` would wait five seconds for a process that does not
listen, so it is not within the time.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent_sandbox.docker_provider.provider import DockerSandboxProvider
from docker.models.containers import ContainerCollection
from image import engine, first_process, named_python
from measure import Timed, WrongAnswerError, main, memory_of, timed, timed_together

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = 12
CALLERS = 4
CALLS_EACH = 15
AGENT = "bench"


def prints(provider: Any, handle: Any) -> bool:
    """One execution in a session, which has to print 1."""
    done = provider.execute_code(AGENT, handle.session_id, "print(1)")
    return bool(done.result.stdout.strip() == "1")


@contextmanager
def opened(number: int) -> Iterator[tuple[Any, list[Any]]]:
    """A provider with so many sessions."""
    with engine() as client, named_python(client) as image:
        provider = DockerSandboxProvider(image=image)
        handles: list[Any] = []
        try:
            handles += [provider.create_session(AGENT) for _ in range(number)]
            yield provider, handles
        finally:
            for handle in handles:
                provider.destroy_session(AGENT, handle.session_id)


def cold() -> Timed:
    """Create and execute."""
    latencies = []
    with opened(0) as (provider, _):
        for _ in range(CALLS):
            before = time.perf_counter_ns()
            handle = provider.create_session(AGENT)
            right = prints(provider, handle)
            latencies.append(time.perf_counter_ns() - before)
            provider.destroy_session(AGENT, handle.session_id)
            if not right:
                raise WrongAnswerError("agt-sandbox answered wrongly")
    return Timed(latencies, sum(latencies))


def session() -> Timed:
    """Executions in one session."""
    with opened(1) as (provider, [handle]), engine() as client:
        measured = timed(lambda _: prints(provider, handle), CALLS)
        container = provider._containers[AGENT, handle.session_id].id
        memory = memory_of(first_process(client, container))
        return Timed(measured.latencies, measured.elapsed, memory)


def sustained() -> Timed:
    """Callers with a session each."""
    with opened(CALLERS) as (provider, handles):
        callers = [lambda _, one=one: prints(provider, one) for one in handles]
        return timed_together(callers, CALLS_EACH)


def without_seccomp_default(run: Any) -> Any:
    """Engines before 23 take `seccomp=default` for a file; without it they use that profile."""

    def start(self: Any, *arguments: Any, security_opt: list[str], **rest: Any) -> Any:
        kept = [option for option in security_opt if option != "seccomp=default"]
        return run(self, *arguments, security_opt=kept, **rest)

    return start


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    ContainerCollection.run = without_seccomp_default(ContainerCollection.run)
    main({"cold": cold, "session": session, "sustained": sustained})
