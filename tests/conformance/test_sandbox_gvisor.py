"""Jobs on a kernel of their own, under a real `runsc`: the port's contract, less what is named here.

Without these, that kernel may refuse what every other one takes, and nobody sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from backends import ON_GVISOR, leftovers

from sandbox import CommandJob, SandboxProfile, SandboxProviderError, SandboxUnavailableError
from sandbox.conformance import CHECKS
from sandbox.conformance.conversations import CONVERSATION_CHECKS
from sandbox.conformance.sessions import SESSION_CHECKS
from sandbox.egress.sandbox import EgressSandbox
from sandbox.network.rules import Egress, EgressRule

if TYPE_CHECKING:
    from sandbox import Sandbox

ALL = {**CHECKS, **CONVERSATION_CHECKS, **SESSION_CHECKS}

UNSEEN = "waits until it sees the job among the processes of the host, where it is none"
OPEN = "process 1 is not closed to the job there, which can end its own sandbox by it"
NOT_DONE = {
    "the_job_cannot_touch_its_supervisor": OPEN,
    "the_kept_process_cannot_touch_its_supervisor": OPEN,
    "cancelling_the_caller_kills_the_job": UNSEEN,
    "giving_up_leaves_nothing": UNSEEN,
    "a_cancelled_call_ends_the_session_and_all_in_it": UNSEEN,
    "what_is_left_is_stopped_between_calls_and_dead_at_the_end": UNSEEN,
}
"""What gVisor does not do, or what cannot be seen of it, with why.

What is promised of it stands in `docs/reference/sandbox-probes.md`.
"""


OF_MEMORY = {
    "a_limit_ends_it_and_is_told",
    "memory_over_the_limit_ends_in_oom",
    "processes_share_the_memory_limit",
}
"""Memory beyond the limit ends that kernel itself, and an engine may miss why. Then nobody claims
a limit: the call fails, and says what may have been."""


@pytest.mark.parametrize("sandbox", ON_GVISOR, indirect=True)
@pytest.mark.parametrize("name", [name for name in ALL if name not in NOT_DONE])
async def test_conforms(sandbox: Sandbox, name: str) -> None:
    """A value, a command, files, limits, deadlines, sessions and conversations."""
    try:
        await ALL[name](sandbox)
    except* SandboxProviderError as failed:
        is_missed = sandbox.name == "docker" and name in OF_MEMORY
        if not is_missed or "perhaps for its memory" not in str(failed.exceptions):
            raise

    assert leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", ON_GVISOR, indirect=True)
async def test_egress_is_refused_before_anything_starts(sandbox: Sandbox) -> None:
    """A job that would reach none of its hosts is not started; the message says what to do."""
    profile = SandboxProfile(network=Egress(allow=(EgressRule(host="example.org"),)))
    async with EgressSandbox(sandbox) as reaching:
        with pytest.raises(SandboxUnavailableError, match="no listed host") as caught:
            await reaching.run(CommandJob(("true",)), profile)

    assert "profile without egress" in caught.value.remedy
    assert leftovers() == []


def test_what_is_not_done_is_part_of_the_contract() -> None:
    assert NOT_DONE.keys() <= ALL.keys()
    assert len(ALL) == len(CHECKS) + len(CONVERSATION_CHECKS) + len(SESSION_CHECKS)
