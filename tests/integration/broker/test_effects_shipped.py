"""The shipped policies on change sets, and the command line around one that a person decides."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio import to_thread
from editing import change, note, script
from editing_commands import mark_paid
from overlays import fill, tree
from people import KEYS, first_pending
from typer.testing import CliRunner

from permissions.cli.request import app as request_app
from permissions.cli.trace import app as trace_app
from permissions.model import Completed, Denial
from permissions.pdp.bundle import shipped_folder
from permissions.sessions.open import open_session
from permissions.setup.config import ApproverConfig, BrokerConfig, PdpConfig
from permissions.setup.factory import open_broker
from permissions.setup.layout import log_signer
from permissions.signing.keys import write_secret
from permissions.tools.call import ToolCall
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from pathlib import Path

    from permissions.broker.broker import PermissionBroker
    from permissions.model import CallResult

pytestmark = pytest.mark.bwrap

BEFORE = {"a.txt": "open: 1\n", "d/x.txt": "x\n"}


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    """A state folder inside of the workspace, under another name than the usual one."""
    workspace = fill(tmp_path / "w", BEFORE)
    return BrokerConfig.load(
        state=workspace / "kept",
        workspace=workspace,
        approvers={
            "bob": ApproverConfig(groups=("operators",), public_key=str(KEYS["bob"].public))
        },
        sandbox={"backends": ("bubblewrap",), "prewarmed": 0},
    )


async def called(config: BrokerConfig, call: ToolCall, *others: Any) -> CallResult:
    """What one call came to, while others do their part."""
    async with (
        open_broker(config, [change, note, mark_paid]) as broker,
        open_session(
            broker,
            user="alice",
            agent="bot",
            prompt="write note.txt, mark a.txt as paid, and tidy up",
            approval_mode="wait",
        ) as session,
        anyio.create_task_group() as tasks,
    ):
        for work in others:
            tasks.start_soon(work, broker)
        return await broker.call(session, call)


async def test_few_small_changes_ask_nobody(config: BrokerConfig) -> None:
    (config.workspace / ".env").write_text("TOKEN=1\n")

    result = await called(config, script("ls -A; echo 'paid: 1' >> a.txt"))

    assert isinstance(result, Completed), result
    assert result.value == "a.txt\nd\n"  # neither the broker's folder nor a secret's file
    assert (config.workspace / ".env").read_text() == "TOKEN=1\n"
    assert (config.workspace / "a.txt").read_text() == "open: 1\npaid: 1\n"


@pytest.mark.slow
async def test_many_small_changes_of_one_run_add_up(config: BrokerConfig) -> None:
    """Nineteen files a call ask nobody; the sixth such call is one too many, and so later on."""

    async def changed(calls: range) -> list[Any]:
        async with (
            open_broker(config, [change]) as broker,
            open_session(broker, user="alice", run="run-1", approval_mode="suspend") as session,
        ):
            return [
                await broker.call(
                    session, script(f"for i in $(seq 19); do echo x > {n}-$i.txt; done")
                )
                for n in calls
            ]

    *kept, sixth = await changed(range(6))
    (resumed,) = await changed(range(6, 7))

    assert [type(each) for each in kept] == [Completed] * 5
    for denied in (sixth, resumed):
        assert isinstance(denied, Denial)
        assert "changes.many" in [each.code for each in denied.reasons]
    assert len(list(config.workspace.glob("*-*.txt"))) == 5 * 19


@pytest.mark.slow
async def test_what_the_call_named_asks_nobody(config: BrokerConfig) -> None:
    result = await called(config, ToolCall("note", {"path": "note.txt", "text": "hi"}))

    assert isinstance(result, Completed), result
    assert (config.workspace / "note.txt").read_text() == "hi"


async def test_a_command_works_on_the_workspace_as_it_does_outside(
    config: BrokerConfig,
) -> None:
    """Which files it writes beside its target (`sed -i` a draft of its own) is its business."""
    result = await called(config, ToolCall("mark_paid", {"path": "a.txt"}))

    assert isinstance(result, Completed), result
    assert result.value.exit_code == 0
    assert (config.workspace / "a.txt").read_text() == "paid: 1\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo x > d/.git-credentials", "changes.protected"),
        ("echo x > conftest.py", "changes.protected"),
        ("mkdir kept; echo x > kept/keys", "effects.refused"),
    ],
    ids=["secret", "steering", "the broker's own"],
)
async def test_what_policy_or_the_layer_refuses(
    text: str, code: str, config: BrokerConfig
) -> None:
    result = await called(config, script(text))

    assert isinstance(result, Denial)
    assert result.code == code
    assert {name for name in tree(config.workspace) if not name.startswith("kept")} == {
        "a.txt",
        "d",
        "d/x.txt",
    }


@pytest.mark.parametrize(
    "setting", ["overlay", pytest.param("policies", marks=pytest.mark.slow)]
)
async def test_no_run_changes_the_policies_of_the_next_start(
    setting: str, config: BrokerConfig
) -> None:
    """They are as much the broker's own as its keys, under whatever name they lie."""
    rules = config.workspace / "rules"
    if setting == "overlay":
        (rules / "data").mkdir(parents=True)
    else:
        shutil.copytree(shipped_folder(), rules)
    config = config.model_copy(update={"pdp": PdpConfig(**{setting: rules})})

    seen = await called(config, script("ls"))
    result = await called(config, script("mkdir -p rules/data; echo {} > rules/data/x.json"))

    assert isinstance(seen, Completed), seen
    assert "rules" not in seen.value
    assert isinstance(result, Denial)
    assert result.code == "effects.refused"
    assert not (rules / "data/x.json").exists()


@pytest.mark.slow
def test_a_person_decides_from_the_command_line(config: BrokerConfig, tmp_path: Path) -> None:
    """They see the diff, sign it, and it is what is committed; the record says all of it."""
    key = tmp_path / "bob.pem"
    write_secret(key, KEYS["bob"].pem())
    settings = tmp_path / "wardline.toml"
    settings.write_text(
        f'[approvers.bob]\ngroups = ["operators"]\npublic_key = "{KEYS["bob"].public}"\n'
    )
    where = ["--dir", str(config.state), "--config", str(settings)]
    pages: list[str] = []

    def wardline(app: Any, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, *where], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    async def bob(broker: PermissionBroker) -> None:
        asked = (await first_pending(broker.parts.approvals)).id
        pages.append(await to_thread.run_sync(wardline, request_app, "show", asked))
        await to_thread.run_sync(
            wardline, request_app, "approve", asked, "--key", f"file:{key}"
        )

    result = anyio.run(called, config, script("rm d/x.txt; echo 'paid: 1' >> a.txt"), bob)

    assert isinstance(result, Completed), result
    assert not (config.workspace / "d/x.txt").exists()
    (page,) = pages
    assert '  deleted file (was mode 0644, 2 bytes): "d/x.txt"' in page
    assert "      +paid: 1" in page
    assert "changes.deletions" in page

    (listed,) = wardline(trace_app, "list", "--json").splitlines()
    assert json.loads(listed)["changes"] == "committed"
    assert "changes committed" in wardline(trace_app, "list")
    shown = wardline(trace_app, "show", json.loads(listed)["call"], "--open")
    assert "    +paid: 1" in shown
    assert "fate: committed" in shown
    assert "different  0" in " ".join(wardline(trace_app, "replay").split("\n"))
    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed"
    assert report.completeness.is_whole, report.completeness.findings


@pytest.mark.slow
async def test_a_resumed_run_knows_the_call_and_not_the_question_about_its_changes(
    config: BrokerConfig,
) -> None:
    """Where its arguments came from stands in the decision before the start."""
    call = ToolCall("note", {"path": "note.txt", "text": "hi"}, key="k")
    for _ in range(2):
        async with (
            open_broker(config, [change, note]) as broker,
            open_session(
                broker, user="alice", agent="bot", prompt="write hi to note.txt", run="r"
            ) as session,
        ):
            result = await broker.call(session, call)
            history = session.history.document()

    assert isinstance(result, Completed)
    assert result.replayed
    assert [(each["tool"], each["outcome"]) for each in history] == [("note", "ok")]


async def test_in_a_session_that_suspends_it_is_discarded(config: BrokerConfig) -> None:
    async with (
        open_broker(config, [change]) as broker,
        open_session(broker, user="alice", agent="bot", approval_mode="suspend") as session,
    ):
        result = await broker.call(session, script("rm d/x.txt"))

    assert isinstance(result, Denial)
    assert [each.code for each in result.reasons] == [
        "effects.need_wait",
        "changes.deletions",
        "effects.discarded",
    ]
    assert (config.workspace / "d/x.txt").exists()
