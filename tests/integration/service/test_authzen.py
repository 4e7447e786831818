"""The Authorization API: the certification scenario of OpenID AuthZEN 1.0, and what is ours.

The scenario is openid/authzen, certification/authorization-api-1_0-scenario.md (2026); each case
has the number of its section there.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from records import SETTINGS, TOOLS

from permissions.broker.ports import now_us
from permissions.errors import ConfigError
from permissions.setup.config import BrokerConfig
from permissions.setup.daemon import running
from permissions.setup.layout import log_signer
from permissions.trace.reader import read_entries
from permissions.trace.verify import verify_trace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLICY = Path(__file__).parents[2] / "cases" / "authzen" / "policy"


@pytest.fixture
def config(tmp_path: Path) -> BrokerConfig:
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\nworkspace = "{tmp_path}"\n[pdp]\npolicies = "{POLICY}"\n'
        f"[sandbox]\nbackends = []\n{SETTINGS}"
    )
    return BrokerConfig.load(tmp_path / "wardline.toml")


@asynccontextmanager
async def served(
    config: BrokerConfig, name: str = "gateway"
) -> AsyncIterator[httpx.AsyncClient]:
    """The daemon's interface, for a client with a token."""
    async with running(config, TOOLS) as daemon:
        now = now_us()
        _, token = await daemon.tokens.create(name, now=now, expires=now + 10**12)
        headers = {"Authorization": f"Bearer {token}"}
        assert daemon.url is not None
        async with httpx.AsyncClient(
            base_url=daemon.url, headers=headers, timeout=60
        ) as client:
            yield client


def user(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "user", "id": name, **({"properties": properties} if properties else {})}


def record(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "record", "id": name, **({"properties": properties} if properties else {})}


def action(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, **({"properties": properties} if properties else {})}


def asks(subject: Any, act: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"subject": subject, "action": act, "resource": resource, **more}


ALICE, BOB, ONE, TWO = user("alice"), user("bob"), record("record-1"), record("record-2")
READ, WRITE = action("read"), action("write")
ARCHIVED = record("record-2", status="archived")
ADMIN = user("bob", role="admin")
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}
PERMIT = asks(ALICE, READ, ONE)
RICH = asks(
    user("alice", department="Sales", role="manager"),
    action("read", method="GET"),
    record("record-1", status="active", owner="bob"),
)

DECISIONS = {
    "2.2.1 permit": (PERMIT, True),
    "2.2.2 deny": (asks(BOB, WRITE, ONE), False),
    "rule 2": (asks(ALICE, WRITE, ONE), True),
    "rule 3": (asks(BOB, READ, ONE), True),
    "2.2.3 context": ({**PERMIT, "context": CONTEXT}, True),
    "2.2.4 by properties": (asks(ALICE, WRITE, ARCHIVED), False),
    "2.2.5 by the subject's": (asks(ADMIN, WRITE, ARCHIVED), True),
    "2.2.6 by the action's": (asks(ALICE, action("delete", soft=True), ONE), True),
    "2.2.7 by the action's": (asks(ALICE, action("delete", soft=False), ONE), False),
    "2.2.8 more properties": (RICH, True),
    "2.2.9 unknown members": ({**PERMIT, "foo": "bar", "future": {"nested": True}}, True),
}
BATCHES: dict[str, tuple[dict[str, Any], list[bool | None]]] = {
    "3.2.1": (
        {
            "subject": ALICE,
            "action": READ,
            "evaluations": [{"resource": ONE}, {"resource": TWO}],
        },
        [None, None],
    ),
    "3.2.2": (
        {"subject": BOB, "resource": ONE, "evaluations": [{"action": READ}, {"action": WRITE}]},
        [True, False],
    ),
    "3.2.3": (
        {
            "subject": ALICE,
            "action": WRITE,
            "evaluations": [
                {"resource": record("record-1", status="active")},
                {"resource": ARCHIVED},
            ],
        },
        [True, False],
    ),
    "3.2.4": (
        {
            "action": WRITE,
            "resource": ARCHIVED,
            "evaluations": [{"subject": ALICE}, {"subject": ADMIN}],
        },
        [False, True],
    ),
    "3.2.5": ({"evaluations": [PERMIT, asks(BOB, WRITE, ONE)]}, [True, False]),
    "3.2.6": (
        {
            "subject": ALICE,
            "action": READ,
            "context": CONTEXT,
            "evaluations": [{"resource": ONE}, {"resource": TWO, "context": {"source": "x"}}],
        },
        [None, None],
    ),
    "3.2.7": (
        {
            **asks(ALICE, WRITE, record("record-1", status="active")),
            "evaluations": [{}, {"resource": ARCHIVED}],
        },
        [True, False],
    ),
    "3.4.1": (
        {
            "subject": ALICE,
            "action": READ,
            "options": {"evaluations_semantic": "execute_all"},
            "evaluations": [{"resource": ONE}, {}],
        },
        [True, False],
    ),
    "deny on first deny": (
        {
            "subject": BOB,
            "resource": ONE,
            "options": {"evaluations_semantic": "deny_on_first_deny"},
            "evaluations": [{"action": READ}, {"action": WRITE}, {"action": READ}],
        },
        [True, False],
    ),
    "permit on first permit": (
        {
            "subject": BOB,
            "resource": ONE,
            "options": {"evaluations_semantic": "permit_on_first_permit"},
            "evaluations": [{"action": WRITE}, {"action": READ}, {"action": WRITE}],
        },
        [False, True],
    ),
}
TYPED, KIND = {"type": "user"}, {"type": "record"}
SEARCHES: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "4.2.1": ("subject", asks(TYPED, READ, ONE), [ALICE, BOB]),
    "4.2.2": ("subject", asks(TYPED, READ, ONE, context=CONTEXT), [ALICE, BOB]),
    "4.2.3": ("subject", asks(ALICE, READ, ONE), [ALICE, BOB]),
    "4.2.4": ("subject", asks(TYPED, WRITE, ARCHIVED), [BOB]),
    "4.3.1": ("resource", asks(ALICE, READ, KIND), [ONE, TWO]),
    "4.3.2": ("resource", asks(ALICE, READ, KIND, context=CONTEXT), [ONE, TWO]),
    "4.3.3": ("resource", asks(ALICE, READ, ONE), [ONE, TWO]),
    "4.3.4": ("resource", asks(ADMIN, WRITE, KIND), [TWO]),
    "4.4.1": ("action", {"subject": ALICE, "resource": ONE}, [READ, WRITE]),
    "4.4.2": ("action", {"subject": ALICE, "resource": ONE, "context": CONTEXT}, [READ, WRITE]),
    "4.4.3": ("action", {"subject": ADMIN, "resource": ARCHIVED}, [READ, WRITE]),
    "4.5.1": ("subject", asks(TYPED, READ, ONE, page={"limit": 1}), [ALICE, BOB]),
    "4.6.1": ("action", {"subject": user("nonexistent-user"), "resource": ONE}, []),
    "4.6.1 another's": ("action", {"subject": user("mallory"), "resource": ONE}, []),
    "4.6.2": ("subject", asks({"type": "spaceship"}, READ, ONE), []),
    "4.6.2 resource": ("resource", asks(ALICE, READ, {"type": "spaceship"}), []),
    "4.6.2 action": (
        "action",
        {"subject": ALICE, "resource": {"type": "spaceship", "id": "x"}},
        [],
    ),
}
MALFORMED: dict[str, tuple[str, Any]] = {
    **{
        f"2.4.1 no {name}": ("evaluation", {k: v for k, v in PERMIT.items() if k != name})
        for name in PERMIT
    },
    "2.4.2 subject type": ("evaluation", {**PERMIT, "subject": {"id": "alice"}}),
    "2.4.2 subject id": ("evaluation", {**PERMIT, "subject": {"type": "user"}}),
    "2.4.2 action name": ("evaluation", {**PERMIT, "action": {}}),
    "2.4.2 resource type": ("evaluation", {**PERMIT, "resource": {"id": "record-1"}}),
    "2.4.2 resource id": ("evaluation", {**PERMIT, "resource": {"type": "record"}}),
    "2.4.6 subject": ("evaluation", {**PERMIT, "subject": "alice"}),
    "2.4.6 action": ("evaluation", {**PERMIT, "action": {"name": 123}}),
    "no object": ("evaluation", [PERMIT]),
    "evaluations no list": ("evaluations", {"evaluations": {"0": PERMIT}}),
    "too many": ("evaluations", {"evaluations": [PERMIT] * 101}),
    "unknown semantic": (
        "evaluations",
        {"evaluations": [PERMIT], "options": {"evaluations_semantic": "any"}},
    ),
    "4.7.1 subject": ("search/subject", {"subject": TYPED, "resource": ONE}),
    "4.7.1 resource": ("search/resource", {"action": READ, "resource": KIND}),
    "4.7.1 action": ("search/action", {"subject": ALICE}),
    "4.7.2 subject": ("search/subject", asks(TYPED, READ, KIND)),
    "4.7.2 resource": ("search/resource", asks(TYPED, READ, KIND)),
    "4.7.2 action": ("search/action", {"subject": TYPED, "resource": ONE}),
}


@pytest.mark.slow
async def test_the_certification_scenario(config: BrokerConfig) -> None:
    async with served(config) as client:

        async def said(path: str, body: Any, status: int = 200) -> Any:
            answer = await client.post(
                f"/access/v1/{path}", json=body, headers={"X-Request-ID": "a b-1"}
            )
            assert answer.status_code == status, (path, body, answer.text)
            kind = "application/json" if status == 200 else "application/problem+json"
            assert answer.headers["content-type"] == kind
            assert answer.headers["x-request-id"] == "a b-1"  # 2.5
            return answer.json()

        for name, (body, decision) in DECISIONS.items():
            for path in ("evaluation", "evaluation", "evaluations"):  # 2.6, 3.4.2
                found = await said(path, body)
                assert found["decision"] is decision, (name, found)
                assert isinstance(found["context"], dict)
        assert (await said("evaluations", {**PERMIT, "evaluations": []}))[
            "decision"
        ] is True  # 3.4.3
        for name, (body, decisions) in BATCHES.items():
            found = (await said("evaluations", body))["evaluations"]
            assert len(found) == len(decisions), name
            for one, wanted in zip(found, decisions, strict=True):
                assert isinstance(one["decision"], bool)
                assert wanted in (None, one["decision"]), (name, found)
        for name, (kind, body, wanted_results) in SEARCHES.items():
            found = await said(f"search/{kind}", body)
            key = "name" if kind == "action" else "id"
            assert [each[key] for each in found["results"]] == [
                each[key] for each in wanted_results
            ], name
            assert "page" not in found
        for path, body in MALFORMED.values():
            await said(path, body, 400)
        for content, kind in (
            (b"{", "application/json"),
            (b"", "application/json"),
            (b"{}", "text/plain"),
        ):
            answer = await client.post(
                "/access/v1/evaluation", content=content, headers={"Content-Type": kind}
            )
            assert answer.status_code == 400  # 2.4.3 to 2.4.5
        metadata = (await client.get("/.well-known/authzen-configuration")).json()  # 6
        here = str(client.base_url).rstrip("/")
        assert metadata["policy_decision_point"] == here
        assert metadata["access_evaluation_endpoint"] == f"{here}/access/v1/evaluation"
        assert metadata["search_action_endpoint"] == f"{here}/access/v1/search/action"

    report = verify_trace(config.state / "trace", key=log_signer(config).public)
    assert report.integrity.verdict == "signed", report
    assert report.completeness.is_whole, report.completeness
    entries = [*read_entries(config.state / "trace")]
    assert not [each for each in entries if each.type in {"start", "outcome"}]
    permitted = [
        each
        for each in entries
        if each.type == "denied" and each.body["codes"] == ["call.only_asked"]
    ]
    assert len(permitted) > 20


async def test_who_asks_and_for_whom(config: BrokerConfig) -> None:
    async with served(config, "other") as client:
        url = "/access/v1/evaluation"
        for headers in (
            {"Authorization": ""},
            {"Authorization": "Basic eDp5"},
            {"Authorization": "Bearer x"},
        ):
            answer = await client.post(url, json=PERMIT, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        forbidden = await client.post(url, json=PERMIT)
        assert forbidden.status_code == 403
        assert "alice" in forbidden.json()["detail"]
        many = await client.post("/access/v1/evaluations", json={"evaluations": [PERMIT]})
        assert many.json()["evaluations"][0] == {
            "decision": False,
            "context": {"error": {"status": 403, "message": forbidden.json()["detail"]}},
        }
        carol = await client.post(url, json={**PERMIT, "subject": user("carol", role="admin")})
        assert carol.status_code == 403
        odd = await client.post(url, json={**PERMIT, "subject": user("carol", roles="admin")})
        assert odd.status_code == 403
        long = await client.post(
            url, content=b" " * (1024 * 1024 + 1), headers={"Content-Type": "application/json"}
        )
        assert long.status_code == 413


@pytest.mark.slow
async def test_a_tool_is_asked_about_as_it_would_be_called(config: BrokerConfig) -> None:
    async with served(config) as client:

        async def decided(args: Any, name: str = "write_record", subject: Any = ALICE) -> Any:
            resource = {"type": "tool", "id": name, "properties": {"args": args}}
            body = asks(subject, action("tools/call"), resource)
            return (await client.post("/access/v1/evaluation", json=body)).json()

        assert (await decided({"record": "record-1"}))["decision"] is True
        assert (await decided({"record": "record-1", "status": "archived"}))[
            "decision"
        ] is False
        for args in ({}, {"record": 5}, {"record": "x", "more": 1}, "record-1", None, [1]):
            found = await decided(args)
            assert found["decision"] is False
            assert found["context"]["reasons"][0]["code"] == "arguments.invalid"
        unknown = await decided({}, "format_disk")
        assert unknown["context"]["reasons"][0]["code"] == "tool.unregistered"
        agent = {"type": "agent", "id": "desk-1", "properties": {"on_behalf_of": "alice"}}
        assert (await decided({"record": "record-1"}, "read_record", agent))[
            "decision"
        ] is False
        body = asks(
            ALICE,
            action("tools/call"),
            {"type": "tool", "properties": {"args": {"record": "r"}}},
        )
        found = (await client.post("/access/v1/search/resource", json=body)).json()
        assert [each["id"] for each in found["results"]] == ["read_record", "write_record"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'actions = { read = "erase" }\nid = "record"',
            "'erase', which the daemon does not know",
        ),
        ('actions = { read = "read_record" }\nid = "number"', "no argument 'number'"),
    ],
)
async def test_a_resource_without_its_tool_is_told(
    tmp_path: Path, said: str, told: str
) -> None:
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\n[service]\nhttp = "127.0.0.1:0"\n[service.resources.x]\n{said}\n'
    )
    with pytest.raises(ConfigError, match=told):
        async with served(BrokerConfig.load(tmp_path / "wardline.toml")):
            raise AssertionError("it started")


@pytest.mark.slow
async def test_the_description_is_what_is_served(config: BrokerConfig) -> None:
    """Schemathesis asks whatever the OpenAPI document allows, and what it does not."""
    async with served(config) as client:
        await anyio.to_thread.run_sync(
            explore, str(client.base_url).rstrip("/"), dict(client.headers)
        )


def explore(url: str, headers: dict[str, str]) -> None:
    import schemathesis  # which takes long, and is for this test alone
    from schemathesis.generation import GenerationMode

    known = {"Authorization": headers["authorization"]}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    paths = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        paths.add(operation.path)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def asked(case: Any) -> None:
                case.call_and_validate(headers=known, timeout=60)

            asked()
    assert len(paths) == 8
