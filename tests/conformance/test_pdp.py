"""What every decision point must do: scripted, embedded, or a real OPA server."""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from opa_server import opa_server
from rego_samples import sample_answer, sample_bundle, sample_request

from permissions.errors import (
    PdpAnswerError,
    PdpInputError,
    PdpUnavailableError,
    PdpUndefinedError,
)
from permissions.pdp.embedded.pdp import EmbeddedPdp
from permissions.pdp.memory import ScriptedPdp
from permissions.pdp.opa import OpaPdp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.model import Decision
    from permissions.pdp.base import PolicyDecisionPoint

Pdp = ScriptedPdp | EmbeddedPdp | OpaPdp

KINDS = ["scripted", "embedded", pytest.param("opa", marks=pytest.mark.opa)]


@pytest.fixture(params=KINDS)
def closed(request: pytest.FixtureRequest) -> Iterator[Pdp]:
    """A decision point under the sample policy, not entered yet."""
    with ExitStack() as stack:
        if request.param == "scripted":
            yield ScriptedPdp(sample_answer)
        elif request.param == "embedded":
            yield EmbeddedPdp(sample_bundle(), hard_deadline=5.0)
        else:
            url = stack.enter_context(opa_server(sample_bundle()))
            yield OpaPdp(sample_bundle(), url=url, deadline_seconds=5.0)


async def ask(pdp: PolicyDecisionPoint, tool: str, call: str = "call-1") -> Decision:
    return await pdp.evaluate(sample_request(tool, call))


async def test_a_permit_is_permitted(closed: Pdp) -> None:
    async with closed as pdp:
        decision = await ask(pdp, "permit")

    assert decision.permitted
    assert decision.response["decision"] is True


async def test_a_denial_carries_its_reasons(closed: Pdp) -> None:
    async with closed as pdp:
        decision = await ask(pdp, "deny")

    assert not decision.permitted
    assert [reason.code for reason in decision.reasons] == ["sample.no"]


async def test_undefined_is_no_answer(closed: Pdp) -> None:
    async with closed as pdp:
        with pytest.raises(PdpUndefinedError):
            await ask(pdp, "nobody knows this tool")


@pytest.mark.parametrize("tool", ["malformed", "conflict", "mistyped"])
async def test_an_answer_that_is_none_raises(closed: Pdp, tool: str) -> None:
    async with closed as pdp:
        with pytest.raises(PdpAnswerError):
            await pdp.evaluate(sample_request(tool, number=5))


async def test_an_error_names_no_value_of_the_input(closed: Pdp) -> None:
    async with closed as pdp:
        with pytest.raises(PdpAnswerError) as caught:
            await pdp.evaluate(sample_request("mistyped", number=271828182845))

    assert "271828182845" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**63, "\ud800", {1: 2}])
async def test_what_no_engine_reads_alike_is_refused(closed: Pdp, value: object) -> None:
    async with closed as pdp:
        with pytest.raises(PdpInputError):
            await pdp.evaluate(sample_request("permit", value=value))


async def test_an_error_leaves_the_next_question_alone(closed: Pdp) -> None:
    async with closed as pdp:
        with pytest.raises(PdpAnswerError):
            await ask(pdp, "conflict")

        decision = await ask(pdp, "permit")

    assert decision.permitted


class _OwnFaultError(Exception):
    pass


async def test_what_a_caller_does_meanwhile_is_done_once_at_most(closed: Pdp) -> None:
    async with closed as pdp:
        for number in range(20):
            done: list[int] = []
            asked = sample_request("echo", f"call-{number}")
            answer = await pdp.evaluate(asked, meanwhile=partial(done.append, number))

            assert answer.rules == (f"call-{number}",)
            assert done in ([], [number])


async def test_a_fault_in_that_is_its_caller_s_and_costs_the_next_question_nothing(
    closed: Pdp,
) -> None:
    async with closed as pdp:
        for number in range(20):
            done: list[int] = []

            def fail(done: list[int] = done) -> None:
                done.append(1)
                raise _OwnFaultError

            try:
                await pdp.evaluate(sample_request("echo", "left"), meanwhile=fail)
            except _OwnFaultError:
                assert done == [1]
            else:
                assert done == []
            answer = await ask(pdp, "echo", f"call-{number}")
            assert answer.rules == (f"call-{number}",)


async def test_what_no_engine_reads_alike_is_refused_before_anything_is_done(
    closed: Pdp,
) -> None:
    done: list[int] = []
    async with closed as pdp:
        with pytest.raises(PdpInputError):
            await pdp.evaluate(
                sample_request("permit", value=math.nan), meanwhile=partial(done.append, 1)
            )

    assert done == []


async def test_callers_at_once_get_their_own_answers(closed: Pdp) -> None:
    answers: dict[str, tuple[str, ...]] = {}

    async def caller(number: int) -> None:
        for turn in range(5):
            call = f"call-{number}-{turn}"
            answers[call] = (await ask(pdp, "echo", call)).rules

    async with closed as pdp, anyio.create_task_group() as tasks:
        for number in range(64):
            tasks.start_soon(caller, number)

    assert len(answers) == 64 * 5
    assert all(rules == (call,) for call, rules in answers.items())


async def test_it_names_its_revision_and_engine(closed: Pdp) -> None:
    async with closed as pdp:
        assert pdp.revision.startswith("sha256:")
        assert "/" in pdp.engine


async def test_after_it_is_closed_nothing_is_answered(closed: Pdp) -> None:
    async with closed as pdp:
        await ask(pdp, "permit")

    with pytest.raises(PdpUnavailableError):
        await ask(pdp, "permit")
