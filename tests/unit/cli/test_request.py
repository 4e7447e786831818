"""`wardline request`: what it prints, and what its exit codes say."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from people import APPROVERS, KEYS, REASON, STATE_KEYS, payment
from structlog.testing import capture_logs
from terminals import on_a_terminal
from typer.testing import CliRunner

from permissions.approval.model import Background
from permissions.approval.service import ApprovalService
from permissions.approval.store import SCHEMA, SqliteRequestStore
from permissions.broker.ports import now_us
from permissions.cli.approver import app as approvers_app
from permissions.cli.grant import app as grants
from permissions.cli.plan import app as plan_app
from permissions.cli.request import app
from permissions.database import STATE_FILE, StateDatabase
from permissions.setup.layout import StateLayout
from permissions.signing.keys import write_secret
from permissions.trace.vault import make_kek

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from click.testing import Result

    from permissions.approval.model import AccessRequest, RequestedCall


class Desk:
    """A state folder, a configuration naming the approvers, and their key files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state"
        self.config = folder / "wardline.toml"
        self.keys = {}
        for name, signer in KEYS.items():
            path = folder / f"{name}.pem"
            write_secret(path, signer.pem())
            self.keys[name] = f"file:{path}"
        self.config.write_text(
            "\n".join(
                f"[approvers.{approver.id}]\n"
                f"groups = {json.dumps(sorted(approver.groups))}\n"
                f'public_key = "{approver.public_key}"'
                for approver in APPROVERS
            )
        )

    def do(self, work: Callable[[ApprovalService], Awaitable[Any]]) -> Any:
        make_kek(StateLayout(self.folder).kek, random=lambda count: b"k" * count)

        async def main() -> Any:
            async with StateDatabase(self.folder / STATE_FILE, [SCHEMA]) as database:
                ids = iter(f"ar-{number}" for number in range(1, 9))
                store = SqliteRequestStore(database, STATE_KEYS)
                taken = {request.id for request in await store.listed()}
                return await work(
                    ApprovalService(
                        store,
                        APPROVERS,
                        clock=now_us,
                        new_id=lambda: next(each for each in ids if each not in taken),
                    )
                )

        return anyio.run(main)

    def ask(self, call: RequestedCall | None = None) -> AccessRequest:
        request: AccessRequest = self.do(lambda s: s.submit(call or payment(), [REASON]))
        return request

    def run(
        self, *arguments: str, key: str | None = None, program: Any = app, **env: str
    ) -> Result:
        signed = ["--key", self.keys[key]] if key else []
        where = ["--dir", str(self.folder), "--config", str(self.config)]
        with capture_logs():  # `main` sends the log to stderr; this is below it
            return CliRunner().invoke(program, [*arguments, *where, *signed], env=env)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_list_names_what_waits(desk: Desk) -> None:
    desk.ask()
    desk.ask(payment(key="call-2", tool="delete"))
    desk.run("deny", "ar-2", key="bob")

    open_, all_ = desk.run("list"), desk.run("list", "--all")

    assert (open_.exit_code, all_.exit_code) == (0, 0)
    (line,) = open_.stdout.splitlines()
    assert line.startswith(
        "ar-1  pending  send_payment  asked by invoice-agent for user:alice  0 of 1 approvals"
    )
    assert [each.split("  ")[1] for each in all_.stdout.splitlines()] == ["pending", "denied"]


def test_the_list_as_json_is_one_object_a_line(desk: Desk) -> None:
    request = desk.ask()

    (line,) = desk.run("list", "--json").stdout.splitlines()
    said = json.loads(line)
    assert said["id"] == "ar-1"
    assert said["arguments"] == {"amount": "980.00", "recipient": "DE02120300000000202051"}
    assert said["binding"] == request.call.binding


def test_an_empty_list_is_no_failure(desk: Desk) -> None:
    desk.do(lambda service: service.listed(pending_only=True))

    listed = desk.run("list")
    assert (listed.exit_code, listed.stdout) == (0, "")
    assert "no access requests" in listed.stderr


def test_show_gives_the_page_or_json(desk: Desk) -> None:
    desk.ask(payment(arguments=json.dumps({"script": "x" * 1000 + "rm"})))

    assert "characters are not shown" in desk.run("show", "ar-1").stdout
    full = desk.run("show", "ar-1", "--full").stdout
    assert 'rm"' in full
    assert "not shown" not in full
    assert json.loads(desk.run("show", "ar-1", "--json").stdout)["status"] == "pending"


def test_show_gives_the_diff_of_changes_that_are_held(desk: Desk) -> None:
    change = {
        **dict.fromkeys(("mode", "size", "digest", "target", "was")),
        "path": "a",
        "kind": "changed",
        "type": "file",
        "executable": False,
    }
    diff = "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-open\n+paid"
    effects = {"change_set": {"entries": [change]}, "diffs": [{"path": "a", "diff": diff}]}
    desk.ask(payment(effects=json.dumps(effects)))

    shown = desk.run("show", "ar-1").stdout

    assert '  changed file: "a"\n      @@ -1 +1 @@\n      -open\n      +paid' in shown
    assert "changes to commit" in desk.run("list").stdout
    assert json.loads(desk.run("show", "ar-1", "--json").stdout)["effects"] == effects


def test_an_approval_is_signed_and_recorded(desk: Desk) -> None:
    request = desk.ask()

    approved = desk.run("approve", "ar-1", "--note", "seen the invoice", key="bob")

    assert approved.exit_code == 0, approved.stderr
    assert approved.stdout.startswith("ar-1  approved")
    assert 'recipient = "DE02120300000000202051"' in approved.stderr
    proven = desk.do(lambda service: service.verify("ar-1", request.call.binding))
    assert proven.approvers == ("bob",)
    (vote,) = json.loads(desk.run("show", "ar-1", "--json").stdout)["votes"]
    assert (vote["approver"], vote["note"]) == ("bob", "seen the invoice")


def test_a_quorum_is_told_as_it_grows(desk: Desk) -> None:
    desk.ask(payment(quorum=2))

    assert "pending" in desk.run("approve", "ar-1", key="bob").stdout
    assert "approved" in desk.run("approve", "ar-1", key="carol").stdout


def test_a_denial_ends_it(desk: Desk) -> None:
    desk.ask()

    assert desk.run("deny", "ar-1", key="bob").stdout.startswith("ar-1  denied")


@pytest.mark.parametrize(
    ("arguments", "key", "code", "said"),
    [
        (["approve", "ar-1"], "alice", 3, "somebody else"),
        (["approve", "ar-1"], "dave", 3, "none of the groups"),
        (["approve", "ar-1"], "mallory", 3, "no registered approver"),
        (["approve", "ar-1", "--as", "bob"], "mallory", 3, "not signed by the key"),
        (["deny", "ar-1"], "alice", 3, "somebody else"),
        (["approve", "ar-2"], "bob", 4, "no longer open"),
        (["approve", "ar-9"], "bob", 1, "no access request"),
        (["approve", "ar-1"], None, 2, "give --key"),
        (["approve", "ar-1", "--key", "file:/nowhere"], None, 2, "cannot be read"),
        (["approve", "ar-1", "--note", "x" * 501], "bob", 2, "too long"),
        (["show", "ar-9"], None, 1, "no access request"),
        (["approve"], "bob", 2, "ID"),
    ],
)
def test_the_exit_code_says_what_went_wrong(
    desk: Desk, arguments: list[str], key: str | None, code: int, said: str
) -> None:
    desk.ask()
    desk.ask(payment(key="call-2"))
    desk.do(lambda service: service.cancel("ar-2"))

    result = desk.run(*arguments, key=key)

    assert result.exit_code == code
    assert said in result.stderr
    assert desk.do(lambda service: service.get("ar-1")).votes == ()


def test_a_folder_without_state_is_not_filled(desk: Desk) -> None:
    result = desk.run("list")

    assert result.exit_code == 2
    assert "no state" in result.stderr
    assert not desk.folder.exists()


def test_a_broken_configuration_is_named(desk: Desk) -> None:
    desk.ask()
    desk.config.write_text('[approvers.Bob]\npublic_key = "x"')

    assert desk.run("list").exit_code == 2


def test_hostile_names_do_not_reach_the_terminal(desk: Desk) -> None:
    desk.ask(payment(tool="\x1b[2Jok", subject="a\nar-9  approved"))

    for arguments in (["list"], ["list", "--json"], ["show", "ar-1"]):
        out = desk.run(*arguments).stdout
        assert "\x1b" not in out
        assert "\nar-9" not in out


def test_the_key_may_come_from_the_environment(desk: Desk) -> None:
    desk.ask()
    result = desk.run("approve", "ar-1", WARDLINE_APPROVER_KEY=desk.keys["bob"])

    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("typed", ["", "perhaps\r"], ids=["at-once", "after-nonsense"])
def test_an_interrupt_ends_the_question(desk: Desk, typed: str) -> None:
    """A thread that waits for a line must not keep the program from ending."""
    request = desk.ask()
    where = ["--dir", str(desk.folder), "--config", str(desk.config)]
    command = [sys.executable, "-m", "permissions", "request", "watch"]
    with on_a_terminal([*command, *where, "--key", desk.keys["bob"]]) as terminal:
        terminal.read_until("? > ")
        if typed:
            terminal.type(typed)
            terminal.read_until("? > ")
        terminal.type("\x03")
        assert terminal.exit_code() == 130

    assert "Traceback" not in terminal.screen
    assert desk.do(lambda service: service.get(request.id)).status == "pending"


def test_watch_waits_for_a_state_that_is_not_there_yet(desk: Desk) -> None:
    where = ["--dir", str(desk.folder), "--config", str(desk.config)]
    command = [sys.executable, "-m", "permissions", "request", "watch"]
    with on_a_terminal([*command, *where, "--key", desk.keys["bob"]]) as terminal:
        terminal.read_until("waiting for a broker")
        desk.ask()
        terminal.read_until("? > ")
        terminal.type("deny\r")
        terminal.read_until("denied")
        terminal.type("\x03")
        assert terminal.exit_code() == 130


def test_an_interrupt_ends_the_wait_for_a_state(desk: Desk) -> None:
    where = ["--dir", str(desk.folder), "--config", str(desk.config)]
    command = [sys.executable, "-m", "permissions", "request", "watch"]
    with on_a_terminal([*command, *where]) as terminal:
        terminal.read_until("waiting for a broker")
        terminal.type("\x03")
        assert terminal.exit_code() == 130

    assert not desk.folder.exists()


def test_an_answer_on_the_terminal_is_signed(desk: Desk) -> None:
    request = desk.ask()
    where = ["--dir", str(desk.folder), "--config", str(desk.config)]
    command = [sys.executable, "-m", "permissions", "request", "watch"]
    with on_a_terminal([*command, *where, "--key", desk.keys["bob"]]) as terminal:
        terminal.read_until("? > ")
        terminal.type("deny\r")
        terminal.read_until("denied")
        terminal.type("\x03")
        assert terminal.exit_code() == 130

    assert desk.do(lambda service: service.get(request.id)).status == "denied"


PLAN = {
    "id": "p",
    "goal": "pay ACME",
    "subject": "agent:invoice-agent",
    "budget": {"calls": 1},
    "expires_at": 9,
    "steps": [{"id": "pay", "tool": "send_payment", "arguments": {"to": {"literal": "DE02"}}}],
}


def test_a_whole_plan_is_drawn_and_approved(desk: Desk) -> None:
    desk.ask(payment(tool="approve_plan", arguments=json.dumps({"plan": PLAN})))

    said = desk.run("approve", "ar-1", key="bob", program=plan_app)

    assert said.exit_code == 0, said.output
    assert "  1. pay: send_payment" in said.stderr
    assert '       to = "DE02"' in said.stderr
    assert "approved" in said.stdout


def test_a_change_of_a_plan_is_shown_as_what_it_changes(desk: Desk) -> None:
    delta = {"add": PLAN["steps"], "remove": ["old"], "calls": 2}
    desk.ask(payment(tool="amend_plan", arguments=json.dumps(delta)))

    said = desk.run("approve", "ar-1", key="bob", program=plan_app)

    assert said.exit_code == 0, said.output
    for line in ('adds: {"id": "pay"', "removes: old", "calls: +2"):
        assert line in said.stderr


def test_what_is_no_plan_is_not_approved_as_one(desk: Desk) -> None:
    desk.ask()

    said = desk.run("approve", "ar-1", key="bob", program=plan_app)

    assert said.exit_code != 0
    assert "wardline request approve" in said.output
    assert json.loads(desk.run("list", "--json").stdout)["status"] == "pending"


def test_an_edit_changes_what_it_names_and_ends_the_request(desk: Desk) -> None:
    desk.ask()
    for wrong in ("amount", "amount=20.00x", "nobody=1"):
        assert desk.run("edit", "ar-1", wrong, key="bob").exit_code != 0

    said = desk.run("edit", "ar-1", 'amount="20.00"', "--note", "as agreed", key="bob")

    assert said.exit_code == 0, said.output
    assert "ar-1  edited  send_payment" in said.stdout
    shown = json.loads(desk.run("show", "ar-1", "--json").stdout)
    (vote,) = shown["votes"]
    assert vote["arguments"] == {"amount": "20.00", "recipient": "DE02120300000000202051"}
    assert desk.run("approve", "ar-1", key="carol").exit_code == 4


def remembered(desk: Desk) -> Result:
    background = Background({"control": ["amount", "recipient"], "sources": []})
    desk.do(lambda s: s.submit(payment(separation=False), [REASON], background))
    limit = ["--at-most", "amount=1000.00", "--uses", "3", "--hours", "2"]
    return desk.run("remember", "ar-1", *limit, key="bob")


def test_what_is_remembered_is_listed_shown_and_taken_back(desk: Desk) -> None:
    said = remembered(desk)
    assert said.exit_code == 0, said.output
    assert "ar-1  approved" in said.stdout
    assert '  amount is at most "1000.00"' in said.stdout
    (kept,) = [
        json.loads(each)
        for each in desk.run("list", "--json", program=grants).stdout.splitlines()
    ]
    assert (kept["approver"], kept["uses"], kept["used"]) == ("bob", 3, 0)

    listed = desk.run("list", program=grants).stdout
    assert f"{kept['id']}  send_payment  0 of 3 uses  ends in " in listed
    shown = desk.run("show", kept["id"], program=grants).stdout
    assert '  recipient is "DE02120300000000202051"' in shown
    assert "revoked" in desk.run("revoke", kept["id"], program=grants).stdout
    assert desk.run("revoke", "grant-0", program=grants).exit_code == 1


def test_a_call_that_names_nothing_is_not_remembered(desk: Desk) -> None:
    desk.ask()
    said = desk.run("remember", "ar-1", key="bob")

    assert said.exit_code != 0
    assert "control arguments" in said.output


def test_approvers_are_listed_with_their_keys(desk: Desk) -> None:
    desk.ask()
    listed = desk.run("list", program=approvers_app).stdout
    assert f"bob  groups finance\n  key file  {KEYS['bob'].public.keyid[:16]}" in listed
    documents = desk.run("list", "--json", program=approvers_app).stdout.splitlines()
    assert json.loads(documents[1])["public_key"] == str(KEYS["bob"].public)
    assert desk.run("revoke", "bob", program=approvers_app).exit_code == 1
    assert desk.run("revoke", "eve", program=approvers_app).exit_code == 3
