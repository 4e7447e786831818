"""The job: a workspace, a broker over it, the agent at work, and the person who is asked."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from agents_demo.agent import build_agent, chosen_model
from agents_demo.daemon import link, serving
from agents_demo.declared import plan_for
from agents_demo.narrator import Narrator, heading, say
from agents_demo.tools import TOOLS, WORKSPACE
from permissions.approval import console
from permissions.approval.approvers import Approvers
from permissions.approval.service import ApprovalService
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.approval.text import moment, visible
from permissions.approval.votes import sign_vote
from permissions.broker.ports import now_us, random_id
from permissions.cli import interrupt
from permissions.cli.plan import plan_text
from permissions.cli.prompt import ask_person
from permissions.database import StateDatabase
from permissions.errors import ConfigError
from permissions.integrations.langgraph import pending, resume
from permissions.model import Denial
from permissions.setup.config import ApproverConfig, PdpConfig
from permissions.setup.layout import StateLayout
from permissions.signing.keys import generate
from wardline import Broker, BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.runnables import RunnableConfig

    from permissions.approval.model import AccessRequest, Verdict
    from permissions.signing.keys import Signer

APPROVER = "olga"
NO_ISOLATION = "NONE: tools that need a sandbox will be refused; see wardline doctor"
STATE = ".wardline-demo"
"""Folder of the demo's own state inside the workspace."""
KEY = "approver.pem"
SETTINGS = "wardline.toml"
"""What `wardline request` needs to know to take an answer from another terminal."""
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the demo.

    Attributes:
        workspace: folder with `request.txt`, `invoices/`, `mail/`, `vendors.json`.
        interactive: whether somebody sits at the terminal to approve.
        port: of the console of a daemon; None for a broker in this process.
    """

    workspace: Path
    interactive: bool
    port: int | None = None

    @property
    def layout(self) -> StateLayout:
        """Where the broker's things are."""
        return StateLayout(self.workspace / STATE)


def package_folder(name: str) -> Path:
    """A folder of this package: `sample`, `overlay` or `stricter`."""
    return Path(str(resources.files("agents_demo") / name))


def prepare(folder: Path | None, *, port: int | None = None) -> Job:
    """The job on a folder of the user's own, or on a fresh copy of the sample.

    With a port the broker is a daemon, and its console is there.

    Raises:
        ConfigError: the folder does not hold such a job.
    """
    if folder is None:
        workspace = Path("wardline-demo").resolve()
        if workspace.exists() and not (workspace / STATE).is_dir():
            raise ConfigError(f"{workspace} is in the way and was not made by the demo")
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(package_folder("sample"), workspace)
    else:
        workspace = folder.resolve()
        missing = [
            name
            for name in ("request.txt", "vendors.json", "invoices", "mail")
            if not (workspace / name).exists()
        ]
        if missing:
            raise ConfigError(
                f"{workspace} lacks {', '.join(missing)}; a job has request.txt (what the"
                " person asks for), vendors.json (name to account), invoices/*.txt and"
                " mail/*.eml. See agents_demo/sample"
            )
        shutil.rmtree(workspace / STATE, ignore_errors=True)
    job = Job(workspace, sys.stdin.isatty() and sys.stdout.isatty(), port)
    job.layout.make(workspace)
    return job


def work(job: Job) -> Narrator:
    """Lets the agent do the job under the broker, and tells it as it happens."""
    key = generate(job.workspace / STATE / KEY)
    settings = job.workspace / STATE / SETTINGS
    settings.write_text(_settings(job, str(key.public)))
    config = BrokerConfig.load(
        state=job.layout.root,
        workspace=job.workspace,
        environment="demo",
        pdp=PdpConfig(overlay=package_folder("overlay")),
        approvers={APPROVER: ApproverConfig(groups=("operators",), public_key=str(key.public))},
    )
    request = (job.workspace / "request.txt").read_text()
    WORKSPACE.set(job.workspace)
    narrator = Narrator(job.layout)
    heading("The person asks")
    say("  " + request.strip().replace("\n", "\n  "))
    plan = plan_for(request, now=now_us())
    heading("The broker opens")
    with (
        _opened(job, config, settings) as broker,
        broker.session(
            user="alice",
            agent="invoice-agent",
            run=random_id("run"),
            prompt=request,
            plan=plan,
            plan_required=True,
            budgets={"calls": 80, "amount_eur": 500_000},
            approval_mode="suspend",
        ) as session,
    ):
        say(f"  plan       {len(plan.steps)} steps, verified and signed into the record")
        heading("The whole plan is put to a person, once")
        shown = {"plan": plan.document()}
        asked = broker.call(session, "approve_plan", shown)
        narrator.catch_up()
        if isinstance(asked, Denial) and asked.access_request is not None:
            say()
            say(_indented(plan_text(plan)))
            interrupt.run(partial(_answer, job, config, key, asked.access_request))
            broker.call(session, "approve_plan", shown)
            narrator.catch_up()
        heading("The agent works")
        config_of_graph: RunnableConfig = {"configurable": {"thread_id": session.run}}
        agent = build_agent(chosen_model())
        inputs: Any = {"messages": [{"role": "user", "content": request}]}
        for _ in agent.stream(inputs, config_of_graph, stream_mode="updates"):
            narrator.catch_up()
        while held := pending(agent, config_of_graph):
            for each in held:
                interrupt.run(partial(_answer, job, config, key, each.access_request))
            resume(agent, config_of_graph)
            narrator.catch_up()
        last = agent.get_state(config_of_graph).values["messages"][-1]
        heading("The agent is done")
        say(f"  {visible(str(last.content))}")
    return narrator


def _settings(job: Job, key: str) -> str:
    """The demo's broker as settings: for `wardline request`, `serve` and `assure`."""
    service = (
        ""
        if job.port is None
        else '[service]\ntools = ["agents_demo.tools"]\n'
        f'http = "127.0.0.1:{job.port}"\nurl = "http://localhost:{job.port}"\n'
    )
    return (
        f"state = {json.dumps(str(job.layout.root))}\n"
        f"workspace = {json.dumps(str(job.workspace))}\n"
        'environment = "demo"\n'
        f"[pdp]\noverlay = {json.dumps(str(package_folder('overlay')))}\n"
        f'{service}[approvers.{APPROVER}]\ngroups = ["operators"]\npublic_key = "{key}"\n'
    )


@contextmanager
def _opened(job: Job, config: BrokerConfig, settings: Path) -> Iterator[Broker]:
    """The broker: in this process, or a daemon whose console is open."""
    if job.port is None:
        with Broker(TOOLS, config=config) as broker:
            say(
                f"  policies   {broker.core.parts.pdp.revision} ({broker.core.parts.pdp.engine})"
            )
            say(f"  isolation  {', '.join(broker.core.isolation[1:]) or NO_ISOLATION}")
            yield broker
        return
    with serving(job.workspace, job.layout.root, settings) as address:
        say(f"  To answer as {APPROVER}, open once and add a passkey:")
        say(f"    {link(settings, 'approver', 'invite', APPROVER)}")
        say("  To look on as a responder:")
        say(f"    {link(settings, 'console', 'link', '--role', 'responder', '--for', 'rita')}")
        with Broker.connect(address, TOOLS) as broker:
            yield broker


async def _answer(job: Job, config: BrokerConfig, key: Signer, request_id: str) -> None:
    """Asks the person at the terminal; without one, a scripted person says yes.

    Who says `later` has not said no: the request stays open until somebody answers it.
    """
    async with StateDatabase(job.layout.database, [SCHEMA]) as state:
        desk = ApprovalService(
            SqliteRequestStore(state, job.layout.run_keys()),
            Approvers.from_config(config.approvers),
            clock=now_us,
            new_id=lambda: random_id("req"),
        )
        request = await desk.get(request_id)
        heading("A person is asked")
        verdict: Verdict = "approve"
        if job.interactive and job.port is not None:
            say(f"  In the console: http://localhost:{job.port}/requests/{request.id}")
            await _until_answered(desk, request_id)
            return
        if job.interactive:
            said = await ask_person(request, write=say)
            if said == "later":
                _say_how(job, request)
                await _until_answered(desk, request_id)
                return
            verdict = said
        else:
            say(_indented(console.page(request, now=now_us()).text))
            say()
            say("  (no terminal: a scripted approver answers) > approve")
        await desk.vote(
            sign_vote(
                request, approver=APPROVER, verdict=verdict, note="", now=now_us(), signer=key
            )
        )
    say(f"  {APPROVER} signed: {verdict}")
    say()


async def _until_answered(desk: ApprovalService, request_id: str) -> None:
    token = await desk.changed(None)
    while (await desk.get(request_id)).status == "pending":
        with anyio.move_on_after(_LOOK_SECONDS):  # it may also expire
            token = await desk.changed(token)


def _say_how(job: Job, request: AccessRequest) -> None:
    state = job.workspace / STATE
    where = ("--dir", str(state), "--config", str(state / SETTINGS))
    key = ("--key", f"file:{state / KEY}")
    say(f"  Left open until {moment(request.expires_at)}. From another terminal:")
    say(f"    {shlex.join(('wardline', 'request', 'approve', request.id, *where, *key))}")
    say("  The demo goes on with the answer; Ctrl-C ends it.")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
