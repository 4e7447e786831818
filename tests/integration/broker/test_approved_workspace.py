"""An approval is for the workspace the person was shown: no other workspace, no turned link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import anyio
import pytest
from people import KEYS, first_pending

from permissions.approval import console
from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us
from permissions.model import Completed, Denial
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall
from wardline import PathArg, tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from permissions.approval.model import AccessRequest
    from permissions.approval.service import ApprovalService
    from permissions.model import CallResult

RAN: list[str] = []
CALL = ToolCall("erase", {"path": "current/ledger"}, key="erase-1")


@tool(effect="irreversible", impact="high", output="trusted")
def erase(path: Annotated[str, PathArg("write")]) -> str:
    """Notes that it ran."""
    RAN.append(path)
    return "erased"


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> Iterator[None]:
    RAN.clear()
    yield
    RAN.clear()


def settings(folder: Path) -> BrokerConfig:
    return BrokerConfig.load(
        state=folder / "state",
        workspace=workspace(folder, "one"),
        approvers={
            "bob": ApproverConfig(groups=("operators",), public_key=str(KEYS["bob"].public))
        },
        sandbox={"backends": ()},
    )


def workspace(folder: Path, name: str) -> Path:
    """A folder in which `current` leads to `a`, and might lead to `b`."""
    path = folder / name
    for part in ("a", "b"):
        (path / part).mkdir(parents=True, exist_ok=True)
        (path / part / "ledger").touch()
    if not (path / "current").is_symlink():
        (path / "current").symlink_to("a")
    return path


def turn(path: Path) -> None:
    (path / "current").unlink()
    (path / "current").symlink_to("b")


async def answered(approvals: ApprovalService, request: AccessRequest) -> None:
    vote = sign_vote(
        request, approver="bob", verdict="approve", note="", now=now_us(), signer=KEYS["bob"]
    )
    assert (await approvals.vote(vote)).status == "approved"


@pytest.mark.parametrize("turned", [False, True], ids=["link left alone", "link turned"])
async def test_a_link_turned_while_a_person_thinks_voids_their_answer(
    tmp_path: Path, *, turned: bool
) -> None:
    got: list[CallResult] = []
    config = settings(tmp_path)
    async with (
        open_broker(config, [erase]) as broker,
        open_session(
            broker, user="alice", prompt="erase current/ledger", approval_mode="wait"
        ) as session,
        anyio.create_task_group() as tasks,
    ):

        async def agent() -> None:
            got.append(await broker.call(session, CALL))

        tasks.start_soon(agent)
        held = await first_pending(broker.parts.approvals)
        if turned:
            turn(config.workspace)
        await answered(broker.parts.approvals, held)

    (result,) = got
    if turned:
        assert isinstance(result, Denial)
        assert result.code == "approval.invalid"
        assert RAN == []
    else:
        assert isinstance(result, Completed)
        assert len(RAN) == 1


@pytest.mark.parametrize("path", ["same", "other workspace", "link turned"])
async def test_an_approval_runs_only_in_the_workspace_it_was_given_for(
    tmp_path: Path, path: str
) -> None:
    """Approved between two sessions; the second one is a new question anywhere else."""
    config = settings(tmp_path)
    run = "run-paths"
    async with open_broker(config, [erase]) as broker:
        async with open_session(
            broker,
            user="alice",
            run=run,
            prompt="erase current/ledger",
            approval_mode="suspend",
        ) as session:
            asked = await broker.call(session, CALL)
        assert isinstance(asked, Denial)
        assert asked.access_request is not None
        request = await broker.parts.approvals.get(asked.access_request)
        await answered(broker.parts.approvals, request)
        if path == "link turned":
            turn(config.workspace)
        where = workspace(tmp_path, "two" if path == "other workspace" else "one")
        async with open_session(
            broker, user="alice", run=run, workspace=where, approval_mode="suspend"
        ) as session:
            result = await broker.call(session, CALL)

    if path == "same":
        assert isinstance(result, Completed)
        assert len(RAN) == 1
    else:
        assert isinstance(result, Denial)
        assert result.kind == "pending"
        assert result.access_request != asked.access_request
        assert RAN == []


async def test_the_approver_sees_the_workspace_and_where_the_path_leads(
    tmp_path: Path,
) -> None:
    """A hostile name of a folder is shown escaped, like everything an agent wrote."""
    config = settings(tmp_path)
    hostile = config.workspace / "a\x1b[2J"
    hostile.mkdir()
    (config.workspace / "link").symlink_to(hostile)
    async with (
        open_broker(config, [erase]) as broker,
        open_session(
            broker, user="alice", prompt="erase link", approval_mode="suspend"
        ) as session,
    ):
        asked = await broker.call(session, ToolCall("erase", {"path": "link"}))
        assert isinstance(asked, Denial)
        assert asked.access_request is not None
        request = await broker.parts.approvals.get(asked.access_request)

    shown = console.page(request, now=now_us(), width=4000).text
    assert f"workspace   {config.workspace.resolve()}" in shown
    assert f'  < leads to "{config.workspace.resolve()}/a\\u001b[2J" now' in shown
    assert "\x1b" not in shown
