"""People are asked about what the Authorization API denied: AuthZEN's profile, draft 1."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from serving import destroy, measure

from permissions.broker.ports import now_us
from permissions.service.authzen import access_requests, denials
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import running
from permissions.setup.layout import log_signer
from permissions.testing import Person
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.setup.daemon import Daemon

OLGA, PETE = Person("olga"), Person("pete")
URL = "/access/v1/requests"
ERROR = "urn:openid:authzen:access-request:error:"


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    people = "".join(
        f'[approvers.{who.name}]\ngroups = ["operators"]\npublic_key = "{who.signer.public}"\n'
        for who in (OLGA, PETE)
    )
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}"\n{people}'
        '[sandbox]\nbackends = []\n[service]\nhttp = "127.0.0.1:0"\nurl = "https://desk.example"\n'
        '[service.clients.gateway]\nusers = ["alice", "bob"]\nroles = ["clerk"]\n'
        '[service.clients.other]\nusers = ["alice"]\n'
    )
    return BrokerConfig.load(tmp_path / "wardline.toml")


class Pep:
    """A client of the interface that enforces what it is told."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self._http.post(path, json=body, headers={**self._headers, **headers})

    async def get(self, path: str) -> httpx.Response:
        return await self._http.get(path, headers=self._headers)

    async def asks(self, question: dict[str, Any], **context: Any) -> Any:
        body = {**question, "context": context}
        answer = await self.post("/access/v1/evaluation", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def submits(self, question: dict[str, Any], told: Any, **more: Any) -> httpx.Response:
        context = told["context"]
        denial = {
            "evaluation_id": context["evaluation_id"],
            "evaluated_at": context["evaluated_at"],
            "expires_at": context["access_request"]["expires_at"],
            "reason": context["reason"],
        }
        return await self.post(URL, {**question, "denial": denial, **more})


@asynccontextmanager
async def served(config: BrokerConfig) -> AsyncIterator[tuple[Daemon, Pep, Pep]]:
    """The daemon, and two of its clients."""
    async with running(config, [destroy, measure]) as daemon:
        assert daemon.url is not None
        async with httpx.AsyncClient(base_url=daemon.url, timeout=60) as http:
            tokens = [
                (await daemon.tokens.create(name, now=now_us(), expires=now_us() + 10**12))[1]
                for name in ("gateway", "other")
            ]
            yield daemon, Pep(http, tokens[0]), Pep(http, tokens[1])


def question(name: str = "records", user: str = "alice", **properties: Any) -> dict[str, Any]:
    subject = {"type": "user", "id": user, **({"properties": properties} if properties else {})}
    return {
        "subject": subject,
        "action": {"name": "tools/call"},
        "resource": {
            "type": "tool",
            "id": "destroy",
            "properties": {"args": {"name": name}},
        },
    }


def problem(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == ERROR + kind


@pytest.mark.slow
async def test_people_are_asked_and_the_approval_is_used_once(config: BrokerConfig) -> None:
    asked = question()
    async with served(config) as (daemon, pep, other):
        metadata = (await pep.get("/.well-known/authzen-configuration")).json()
        assert metadata["access_request_endpoint"] == f"{daemon.url}{URL}"
        assert "urn:openid:authzen:capability:access-request" in metadata["capabilities"]

        told = await pep.asks(asked)
        assert told["decision"] is False
        assert told["context"]["reason"] == "approval_required"
        submitted = await pep.submits(asked, told, requested_access={"emergency": True})
        assert submitted.status_code == 202, submitted.text
        task = submitted.json()["task"]
        assert submitted.headers["location"] == task["status_endpoint"]
        assert task["status"] == "pending"
        assert task["links"]["review"] == f"https://desk.example/requests/{task['id']}"
        assert task["progress"] == {"current_step": 1, "total_steps": 1}
        assert (await pep.submits(asked, told)).json()["task"]["id"] == task["id"]
        again = await pep.submits(asked, await pep.asks(asked))  # another denial of the same
        assert again.json()["task"]["id"] == task["id"]

        early = await pep.asks(asked, approval={"id": task["id"]})
        assert (early["decision"], early["context"]["next_action"]) == (False, "request")
        for mine in (other, other):
            problem(await mine.get(f"{URL}/{task['id']}"), 404, "unknown_task")
            problem(await mine.post(f"{URL}/{task['id']}/cancel", {}), 404, "unknown_task")

        shown = await daemon.broker.parts.approvals.get(task["id"])
        assert shown.call.arguments == '{"name":"records"}'
        assert shown.call.subject == "alice"
        await OLGA.answer(daemon.broker, task["id"])
        done = await pep.get(f"{URL}/{task['id']}")
        assert done.status_code == 200
        assert done.json()["task"]["status"] == "approved"
        result = done.json()["result"]
        assert result["mode"] == "reevaluate"
        approval = result["approval"]

        # Of nothing else, and for nobody else.
        for swapped in (question("backups"), question(user="bob"), question(roles=["clerk"])):
            denied = await pep.asks(swapped, approval=approval)
            assert denied["decision"] is False
            assert denied["context"]["reason"] == "out_of_scope"
            assert denied["context"]["next_action"] == "request"
            assert "access_request" in denied["context"]
        for unknown in ({"id": "request-0"}, {}, "yes", {"id": 5}):
            denied = await pep.asks(asked, approval=unknown)
            assert denied["context"]["reason"] == "approval_unverifiable"
            assert denied["context"]["next_action"] == "none"
            assert "access_request" not in denied["context"]
        stolen = await other.asks(asked, approval=approval)
        assert stolen["decision"] is False
        assert stolen["context"]["reason"] == "approval_unverifiable"

        answers = []

        async def use() -> None:
            answers.append(await pep.asks(asked, approval=approval))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(use)
        permits = [each["context"] for each in answers if each["decision"]]
        assert len(permits) == 1
        assert permits[0]["approval"]["id"] == approval["id"]
        late = await pep.asks(asked, approval=approval)
        assert late["decision"] is False
        assert late["context"]["reason"] == "approval_expired"
        assert late["context"]["next_action"] == "request"
        assert (await pep.asks(asked))["decision"] is False

    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed", report
    assert report.completeness.is_whole, report.completeness
    entries = [*read_entries(config.state / "trace")]
    assert [each.body["request"] for each in entries if each.type == "approval"] == [task["id"]]
    assert not [each for each in entries if each.type in {"start", "outcome"}]


@pytest.mark.slow
async def test_a_no_and_a_withdrawal(config: BrokerConfig) -> None:
    async with served(config) as (daemon, pep, _):
        first, second = question("one"), question("two")
        told = await pep.asks(first)
        task = (await pep.submits(first, told)).json()["task"]["id"]
        await OLGA.answer(daemon.broker, task, "deny", note="Ask Pete.")
        assert (await pep.get(f"{URL}/{task}")).json()["task"]["status"] == "denied"
        problem(await pep.post(f"{URL}/{task}/cancel", {}), 409, "invalid_task_state")
        # Nobody is asked the same again.
        again = await pep.submits(first, await pep.asks(first))
        assert again.status_code == 201
        assert again.json()["task"] == {
            "id": task,
            "status": "denied",
            "status_endpoint": f"{daemon.url}{URL}/{task}",
            "links": {"review": f"https://desk.example/requests/{task}"},
        }
        other = (await pep.submits(second, await pep.asks(second))).json()["task"]
        withdrawn = await pep.post(other["links"]["cancel"], {"comment": "not needed"})
        assert withdrawn.json()["task"]["status"] == "cancelled"
        denied = await pep.asks(second, approval={"id": other["id"]})
        assert denied["context"]["reason"] == "approval_expired"


@pytest.mark.slow
async def test_what_is_not_the_denial_that_was_told(
    config: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = question()
    async with served(config) as (daemon, pep, other):
        told = await pep.asks(asked)
        for wrong in (question("backups"), question(user="bob"), question(roles=["clerk"])):
            problem(await pep.submits(wrong, told), 400, "invalid_denial_binding")
        problem(await other.submits(asked, told), 400, "invalid_denial_binding")
        later = {**told["context"]["access_request"], "expires_at": "2999-01-01T00:00:00Z"}
        forged = {"context": {**told["context"], "access_request": later}}
        problem(await pep.submits(asked, forged), 400, "invalid_denial_binding")
        another = question(user="mallory")
        assert (await pep.submits(another, told)).status_code == 403
        for more in (
            {"items": [{"resource": asked["resource"], "action": asked["action"]}]},
            {"callback": {"endpoint": "http://169.254.169.254/"}},
        ):
            assert (await pep.submits(asked, told, **more)).status_code == 400
        actor = {"actor": {"id": "bob"}}
        assert (await pep.submits(asked, told, client=actor)).status_code == 403
        assert await daemon.broker.parts.approvals.pending() == {}

        # A permit and a denial that nobody may lift can not be asked about.
        fine = {**asked, "resource": {"type": "tool", "id": "measure"}}
        assert "access_request" not in (await pep.asks(fine))["context"]
        unknown = {**asked, "resource": {"type": "tool", "id": "format"}}
        assert "access_request" not in (await pep.asks(unknown))["context"]

        # Ten minutes are the product's; what is tried is that they end.
        monkeypatch.setattr(denials, "LIFETIME", 0)
        problem(await pep.submits(asked, await pep.asks(asked)), 410, "expired_denial")


@pytest.mark.slow
async def test_a_flood_of_requests_waits_for_people(
    config: BrokerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The product's bound would need hundreds of requests; what is tried is what lies beyond it.
    monkeypatch.setattr(access_requests, "MOST_OPEN", 2)
    async with served(config) as (daemon, pep, _):

        async def submitted(name: str) -> httpx.Response:
            return await pep.submits(question(name), await pep.asks(question(name)))

        first, second = [(await submitted(each)).json()["task"]["id"] for each in ("1", "2")]
        refused = await submitted("3")
        assert (refused.status_code, refused.json()["type"]) == (429, "about:blank")
        assert (await submitted("1")).json()["task"]["id"] == first  # which stands
        assert [*await daemon.broker.parts.approvals.pending()] == [first, second]
        await OLGA.answer(daemon.broker, first, "deny", note="No.")
        assert (await submitted("3")).status_code == 202


@pytest.mark.slow
async def test_a_task_outlives_the_daemon_and_not_its_clients_rights(
    config: BrokerConfig, tmp_path: Path
) -> None:
    asked = question()
    async with served(config) as (daemon, pep, _):
        told = await pep.asks(asked)
        task = (await pep.submits(asked, told)).json()["task"]["id"]
        await OLGA.answer(daemon.broker, task)
    async with served(config) as (_, pep, _):
        problem(await pep.submits(asked, told), 400, "invalid_denial_binding")
        approval = (await pep.get(f"{URL}/{task}")).json()["result"]["approval"]
    narrowed = (tmp_path / "wardline.toml").read_text().replace('["alice", "bob"]', '["bob"]')
    (tmp_path / "wardline.toml").write_text(narrowed)
    config = BrokerConfig.load(tmp_path / "wardline.toml")
    async with served(config) as (_, pep, _):
        problem(await pep.get(f"{URL}/{task}"), 404, "unknown_task")
    widened = narrowed.replace('["bob"]', '["alice"]')
    (tmp_path / "wardline.toml").write_text(widened)
    async with served(BrokerConfig.load(tmp_path / "wardline.toml")) as (_, pep, _):
        assert (await pep.asks(asked, approval=approval))["decision"] is True


def test_denials_are_forgotten_by_each_client_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three for thousands: whose denial is forgotten is what is tried.
    monkeypatch.setattr(denials, "MOST", 3)
    kept = denials.Denials()
    kept.keep("quiet", "call-0", "sha256:0", now=0).request = "request-0"
    for number in range(10):
        kept.keep("loud", f"call-{number}", "sha256:0", now=0)
    assert kept.find("quiet", "call-0") is not None
    assert [kept.find("loud", f"call-{each}") is not None for each in (0, 6, 7, 9)] == [
        False,
        False,
        True,
        True,
    ]
    assert [*kept.requests("quiet", "sha256:0")] == ["request-0"]
    assert [*kept.requests("loud", "sha256:0")] == []
