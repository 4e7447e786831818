"""Whatever happens to an evaluation happens to its process: deny, replace, go on."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from rego_samples import SAMPLE, sample_bundle, sample_request

from permissions.errors import (
    PdpAnswerError,
    PdpError,
    PdpTimeoutError,
    PdpUnavailableError,
    PolicyLoadError,
)
from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.embedded.pdp import EmbeddedPdp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from permissions.model import Decision, JsonObject
    from permissions.pdp.embedded.process import Evaluator

pytestmark = pytest.mark.both_backends

WAIT_SECONDS = 40


@pytest.fixture
async def pdp() -> AsyncIterator[EmbeddedPdp]:
    async with EmbeddedPdp(sample_bundle(), hard_deadline=20) as point:
        await settled(point, 2)
        yield point


@pytest.fixture
async def hasty() -> AsyncIterator[EmbeddedPdp]:
    """One for endless questions."""
    async with EmbeddedPdp(sample_bundle(), hard_deadline=1) as point:
        await settled(point, 2)
        yield point


async def settled(pdp: EmbeddedPdp, count: int) -> None:
    """Returns when `count` evaluators are up and nothing dead is left."""
    with anyio.fail_after(WAIT_SECONDS):
        while len(pdp._living) != count or pdp._dead:  # noqa: ASYNC110 - no event from inside
            await anyio.sleep(0.005)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def is_permitted(pdp: EmbeddedPdp) -> bool:
    return (await pdp.evaluate(sample_request("permit"))).permitted


async def test_an_endless_policy_meets_the_deadline(hasty: EmbeddedPdp) -> None:
    before = {evaluator.pid for evaluator in hasty._living}

    with anyio.fail_after(WAIT_SECONDS), pytest.raises(PdpTimeoutError):
        await hasty.evaluate(sample_request("loop"))

    assert await is_permitted(hasty), "the spare answers the next question"
    await settled(hasty, 2)
    (lost,) = before - {evaluator.pid for evaluator in hasty._living}
    assert not alive(lost)


async def test_a_memory_bomb_meets_the_limit() -> None:
    bundle = sample_bundle()
    async with EmbeddedPdp(bundle, hard_deadline=20, memory_bytes=256 * 1024 * 1024) as pdp:
        with pytest.raises(PdpUnavailableError):
            await pdp.evaluate(sample_request("bomb"))

        assert await is_permitted(pdp)


async def test_an_evaluator_killed_in_mid_question_costs_another_try(pdp: EmbeddedPdp) -> None:
    victim = pdp._living[0]
    os.kill(victim.pid, signal.SIGSTOP)  # so that the question is in it when it dies

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_kill_when_asked, victim, 1)
        assert await is_permitted(pdp)

    assert victim not in pdp._living


async def _kill_when_asked(evaluator: Evaluator, questions: int) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        while evaluator.waiting < questions:  # noqa: ASYNC110 - no event from inside
            await anyio.sleep(0.005)
    os.kill(evaluator.pid, signal.SIGKILL)


async def test_an_evaluator_killed_between_questions_costs_nobody_an_answer(
    pdp: EmbeddedPdp,
) -> None:
    os.kill(pdp._living[0].pid, signal.SIGKILL)

    assert await is_permitted(pdp)


async def test_all_evaluators_killed_come_back(pdp: EmbeddedPdp) -> None:
    """A question has two tries, and the second of them was the last evaluator's."""
    for evaluator in list(pdp._living):
        os.kill(evaluator.pid, signal.SIGKILL)

    with pytest.raises(PdpUnavailableError):
        await is_permitted(pdp)

    await settled(pdp, 2)
    assert await is_permitted(pdp)


async def test_a_cancelled_question_is_never_answered_to_the_next(pdp: EmbeddedPdp) -> None:
    """Nor does it cost an evaluator, whenever its caller leaves."""
    before = {evaluator.pid for evaluator in pdp._living}

    for number in range(40):
        with anyio.move_on_after(number / 10_000):
            await pdp.evaluate(sample_request("echo", "left", body="y" * 300_000))
        decision = await pdp.evaluate(sample_request("echo", f"call-{number}"))
        assert decision.rules == (f"call-{number}",)

    assert {evaluator.pid for evaluator in pdp._living} == before


async def test_a_caller_who_leaves_an_endless_question_is_let_go_at_the_deadline(
    hasty: EmbeddedPdp,
) -> None:
    with anyio.fail_after(WAIT_SECONDS), anyio.move_on_after(0.02) as left:
        await hasty.evaluate(sample_request("loop"))

    assert left.cancelled_caught
    assert await is_permitted(hasty)


@pytest.mark.slow
async def test_stalled_evaluators_cost_their_own_questions_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who wait meanwhile are answered by the ones that take their place."""
    # The product's five seconds may be too few to start two processes on a busy machine.
    monkeypatch.setattr("permissions.pdp.embedded.pdp._FREE_SECONDS", WAIT_SECONDS)
    ends: list[str] = []

    async def caller(number: int) -> None:
        try:
            answer = await pdp.evaluate(sample_request("echo", f"{number}"))
            ends.extend(answer.rules)
        except PdpTimeoutError:
            ends.append("late")

    async with EmbeddedPdp(sample_bundle(), hard_deadline=3) as pdp:
        await settled(pdp, 2)
        for evaluator in pdp._living:
            os.kill(evaluator.pid, signal.SIGSTOP)
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(caller, number)

    assert ends.count("late") == 2
    assert len(set(ends)) == 49


@pytest.mark.slow
async def test_many_together_get_what_each_would_get_alone() -> None:
    """Also those behind one that never ends, one that fails, and one the engine may not see."""
    tools = ["permit", "echo", "loop", "echo", "conflict", "undefined", "malformed", "echo"]
    documents = [sample_request(tool, f"call-{at}") for at, tool in enumerate(tools)]
    documents.insert(4, {"amount": float("nan")})
    async with EmbeddedPdp(sample_bundle(), hard_deadline=1, answers_together=8) as pdp:
        with anyio.fail_after(4 * WAIT_SECONDS):
            together = await pdp.evaluate_all(documents)
            alone = [await _told(pdp, each) for each in documents]

    assert [_named(each) for each in together] == alone
    assert len({str(each) for each in alone}) > 4, "the questions have unlike ends"
    assert await pdp.evaluate_all([]) == []


async def _told(pdp: EmbeddedPdp, document: JsonObject) -> Any:
    try:
        return _named(await pdp.evaluate(document))
    except PdpError as err:
        return type(err)


def _named(answer: Decision | PdpError) -> Any:
    return type(answer) if isinstance(answer, PdpError) else answer.response


async def test_many_together_outlive_the_evaluator_they_went_to(pdp: EmbeddedPdp) -> None:
    os.kill(pdp._living[0].pid, signal.SIGKILL)

    answers = await pdp.evaluate_all([sample_request("echo", f"call-{at}") for at in range(5)])

    assert [_named(each)["context"]["rules"] for each in answers] == [
        [f"call-{at}"] for at in range(5)
    ]


async def test_together_more_than_the_socket_holds(pdp: EmbeddedPdp) -> None:
    documents = [sample_request("echo", f"call-{at}", text="x" * 100_000) for at in range(20)]

    answers = await pdp.evaluate_all(documents)

    assert [each.rules for each in answers if not isinstance(each, PdpError)] == [
        (f"call-{at}",) for at in range(20)
    ]


@pytest.mark.slow
async def test_endless_questions_end(hasty: EmbeddedPdp) -> None:
    """Two evaluators, four of them: each takes one along, and the next has to come first."""
    errors: list[type[BaseException]] = []

    async def caller() -> None:
        try:
            await hasty.evaluate(sample_request("loop"))
        except PdpError as err:
            errors.append(type(err))

    with anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(caller)

    assert errors == [PdpTimeoutError] * 4 or PdpUnavailableError in errors
    assert len(errors) == 4


async def test_a_large_question_and_its_answer_pass(pdp: EmbeddedPdp) -> None:
    """Larger than the socket's buffer, so that it is sent in parts."""
    request = sample_request("echo", "x" * 100, body="y" * 900_000)

    decision = await pdp.evaluate(request)

    assert decision.rules == ("x" * 100,)


async def test_leaving_ends_every_process() -> None:
    async with EmbeddedPdp(sample_bundle()) as pdp:
        await settled(pdp, 2)
        pids = [evaluator.pid for evaluator in pdp._living]

    assert not any(map(alive, pids))


async def test_leaving_in_an_error_ends_every_process() -> None:
    pids: list[int] = []

    async def fail() -> None:
        async with EmbeddedPdp(sample_bundle()) as pdp:
            await settled(pdp, 2)
            pids.extend(evaluator.pid for evaluator in pdp._living)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert pids
    assert not any(map(alive, pids))


def children() -> set[str]:
    """Of every thread; one that ends meanwhile leaves its own to another, so they are read again."""
    while True:
        with suppress(FileNotFoundError, ProcessLookupError):
            tasks = Path("/proc/self/task").iterdir()
            return {pid for task in tasks for pid in (task / "children").read_text().split()}


@pytest.mark.parametrize("milliseconds", [0, 1, 5, 20, 60])
async def test_leaving_while_a_spare_starts_leaves_nothing(milliseconds: int) -> None:
    before = children()

    async with EmbeddedPdp(sample_bundle()):
        await anyio.sleep(milliseconds / 1000)

    assert children() <= before


REFUSED = {
    "a finding": SAMPLE + "\nx := lowr(1)\n",
    "permits an empty input": 'package wardline.main\n\nresponse := {"decision": true}\n',
    "says nothing clear to an empty input": "package wardline.main\n\nresponse := {}\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
async def test_a_bundle_that_must_not_be_used_does_not_start(text: str) -> None:
    pdp = EmbeddedPdp(PolicyBundle.of({"main.rego": text}))

    with pytest.raises(PolicyLoadError):
        async with pdp:
            pytest.fail("it started")

    assert not pdp._living


async def test_a_policy_that_never_ends_on_an_empty_input_does_not_start() -> None:
    text = SAMPLE.replace('input.resource.id == "loop"', "not input.resource")
    pdp = EmbeddedPdp(PolicyBundle.of({"main.rego": text}), hard_deadline=0.1)

    with pytest.raises(PdpUnavailableError):
        async with pdp:
            pytest.fail("it started")


async def test_an_answer_beyond_a_megabyte_is_refused() -> None:
    text = SAMPLE + (
        '\nresponse := concat("", [c | some i in _numbers; c := _page]) if'
        ' input.resource.id == "long"\n\n_page := "' + "x" * 200 + '"\n'
    )
    async with EmbeddedPdp(PolicyBundle.of({"main.rego": text}), hard_deadline=10) as pdp:
        with pytest.raises(PdpAnswerError, match="too long"):
            await pdp.evaluate(sample_request("long"))

        assert await is_permitted(pdp)


async def test_modules_of_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder may be the agent's workspace."""
    for name in ("regorus", "re2", "json", "permissions"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")

    async with EmbeddedPdp(sample_bundle(), hard_deadline=20, spare=0) as pdp:
        assert await is_permitted(pdp)


async def test_the_evaluator_inherits_no_environment_and_no_files() -> None:
    secret = "WARDLINE_TEST_SECRET"
    os.environ[secret] = "1"
    try:
        async with EmbeddedPdp(sample_bundle(), spare=0) as pdp:
            (evaluator,) = pdp._living
            environment = await anyio.Path(f"/proc/{evaluator.pid}/environ").read_bytes()
            limits = await anyio.Path(f"/proc/{evaluator.pid}/limits").read_text()
            folder = anyio.Path(f"/proc/{evaluator.pid}/fd")
            files = [str(await path.readlink()) async for path in folder.iterdir()]
    finally:
        del os.environ[secret]

    assert secret.encode() not in environment
    assert b"RUST_BACKTRACE" not in environment
    assert sorted(file.split(":")[0] for file in files) == ["/dev/null"] * 3 + ["socket"]
    assert next(line for line in limits.splitlines() if "core" in line).split()[4] == "0"
