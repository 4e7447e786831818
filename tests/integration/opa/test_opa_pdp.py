"""`OpaPdp` against a real OPA server, and against servers that misbehave."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from opa_server import free_port, opa_process, opa_server

from permissions.errors import (
    ConfigError,
    PdpAnswerError,
    PdpError,
    PdpInputError,
    PdpTimeoutError,
    PdpUnavailableError,
    PdpUndefinedError,
    PolicyLoadError,
)
from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.linker.linked import link
from permissions.pdp.opa import OpaPdp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DENIAL = """{
    "decision": false,
    "context": {
        "reasons": [{"code": "main.no", "agent": "No.", "operator": "", "nearest": null}],
        "obligations": [], "access_request": null, "rules": [],
    },
}"""
PERMIT = DENIAL.replace("false", "true")


def made(rules: str) -> PolicyBundle:
    """A bundle of one module that denies, with more rules about `input`."""
    return PolicyBundle.of(
        {"main/main.rego": f"package wardline.main\n\n{rules}\n"}, {"wardline": {"tables": {}}}
    )


MISBEHAVING = made(
    f"""
response := {DENIAL} if count(input) == 0
response := {PERMIT} if input.case == "permit"
response := "yes" if input.case == "form"
response := {DENIAL} if {{
    input.case == "builtin"
    not to_number(input.text) == 1
}}
response := {DENIAL} if input.case == "conflict"
response := {PERMIT} if input.case == "conflict"
"""
)


def pdp_of(bundle: PolicyBundle, url: str, deadline_seconds: float = 10) -> OpaPdp:
    return OpaPdp(bundle, url=url, deadline_seconds=deadline_seconds)


async def enter(pdp: OpaPdp) -> None:
    async with pdp:
        pass


@pytest.fixture(scope="module")
def misbehaving_server():
    with opa_server(MISBEHAVING) as url:
        yield url


@pytest.mark.opa
async def test_answers_under_the_shipped_policies(
    shipped: PolicyBundle, shipped_server: str
) -> None:
    """An input of unknown form is denied, with the codes of the policy."""
    async with pdp_of(shipped, shipped_server) as pdp:
        decided = await pdp.evaluate({"subject": {}})

    assert not decided.permitted
    assert "contract.action" in decided.rules
    assert pdp.engine.startswith("opa/1.")
    assert pdp.revision == shipped.revision


@pytest.mark.opa
async def test_many_at_once_each_get_their_own_answer(misbehaving_server: str) -> None:
    """64 questions share fewer connections, and no answer goes to another question."""
    outcomes: dict[int, str] = {}

    async def ask(number: int) -> None:
        case = "permit" if number % 2 else "form"
        try:
            decided = await pdp.evaluate({"case": case, "number": number})
            outcomes[number] = "permit" if decided.permitted else "deny"
        except PdpAnswerError:
            outcomes[number] = "form"

    async with (
        pdp_of(MISBEHAVING, misbehaving_server) as pdp,
        anyio.create_task_group() as group,
    ):
        for number in range(64):
            group.start_soon(ask, number)

    assert outcomes == {n: "permit" if n % 2 else "form" for n in range(64)}


@dataclass(frozen=True)
class Case:
    id: str
    document: dict[str, Any]
    error: type[PdpError]
    says: str


CASES = (
    Case("undefined", {"case": "none"}, PdpUndefinedError, "has no value"),
    Case("form", {"case": "form"}, PdpAnswerError, "not in the contract's form"),
    Case("conflict", {"case": "conflict"}, PdpAnswerError, "eval_conflict_error"),
    Case(
        "builtin", {"case": "builtin", "text": "x-secret"}, PdpAnswerError, "eval_builtin_error"
    ),
    Case("nan", {"case": float("nan")}, PdpInputError, "NaN"),
    Case("big", {"case": 2**64}, PdpInputError, "64-bit"),
    Case("surrogate", {"case": "\ud800"}, PdpInputError, "plain JSON"),
)


@pytest.mark.opa
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_each_kind_of_no_answer_is_its_own_error(
    misbehaving_server: str, case: Case
) -> None:
    """Nothing but a well-formed value is an answer, and no error quotes the input."""
    async with pdp_of(MISBEHAVING, misbehaving_server) as pdp:
        with pytest.raises(case.error, match=case.says) as caught:
            await pdp.evaluate(case.document)

    assert "x-secret" not in str(caught.value)


@pytest.mark.opa
async def test_a_conflict_is_asked_once(misbehaving_server: str) -> None:
    """OPA answers a rule conflict with 500, which the client would repeat twice."""
    async with relay(misbehaving_server) as (url, seen), pdp_of(MISBEHAVING, url) as pdp:
        before = len(seen)
        with pytest.raises(PdpAnswerError):
            await pdp.evaluate({"case": "conflict"})

        assert seen[before:] == ["POST"]


@pytest.mark.opa
async def test_other_policies_are_refused_at_start(shipped: PolicyBundle) -> None:
    """Each module or table that differs is found before anything is decided."""
    modules = dict(shipped.modules)
    modules["impact/impact.rego"] += "\n# changed\n"
    modules["extra/extra.rego"] = "package wardline.policies.extra\n\nallow contains `a.b`\n"
    tables = json.loads(json.dumps(shipped.data))
    tables["wardline"]["tables"]["network"]["hosts"]["evil.example"] = {}
    with (
        opa_server(PolicyBundle.of(modules, tables)) as url,
        pytest.raises(PolicyLoadError) as caught,
    ):
        await enter(pdp_of(shipped, url))

    assert [finding.split(":")[0] for finding in caught.value.findings] == [
        "impact/impact.rego",
        "linked/call.rego",
        "wardline",
        "data",
    ]


@pytest.mark.opa
async def test_the_same_policies_without_a_revision_are_refused(
    shipped: PolicyBundle, tmp_path: Path
) -> None:
    """A server that was given files answers under no bundle, so reloads would go unseen."""
    for path, text in link(shipped).modules.items():
        target = tmp_path / "policies" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    data = tmp_path / "data.json"
    data.write_text(json.dumps(shipped.data), "utf-8")
    with (
        opa_process([str(tmp_path / "policies"), str(data)], tmp_path) as url,
        pytest.raises(PdpUnavailableError, match="another bundle"),
    ):
        await enter(pdp_of(shipped, url))


@pytest.mark.opa
async def test_a_policy_that_permits_nothing_said_is_refused() -> None:
    bundle = made(f"response := {PERMIT}")
    with (
        opa_server(bundle) as url,
        pytest.raises(PolicyLoadError, match="empty input is permitted"),
    ):
        await enter(pdp_of(bundle, url))


@pytest.mark.opa
async def test_a_server_that_dies_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    """A dead server is a denial now, and no reason to start the broker again later."""
    with opa_server(MISBEHAVING) as url:
        pdp = await pdp_of(MISBEHAVING, url).__aenter__()
        assert (await pdp.evaluate({"case": "permit"})).permitted
    with pytest.raises(PdpUnavailableError, match="cannot be reached"):
        await pdp.evaluate({"case": "permit"})
    await pdp.__aexit__(None, None, None)


async def test_nobody_listens() -> None:
    with pytest.raises(PdpUnavailableError, match="cannot be reached"):
        await enter(pdp_of(MISBEHAVING, f"http://127.0.0.1:{free_port()}"))


async def test_a_silent_server_meets_the_deadline() -> None:
    """Accepted and never answered: the one deadline ends it."""
    async with answering(None) as (url, _):
        with (
            anyio.fail_after(40),
            pytest.raises(PdpTimeoutError, match=r"within 0\.2 s"),
        ):
            await enter(pdp_of(MISBEHAVING, url, deadline_seconds=0.2))


ODD = (
    Case("error", {"status": 503, "body": "{}"}, PdpUnavailableError, "503"),
    Case("html", {"status": 200, "body": "<html>"}, PdpAnswerError, "not JSON"),
    Case("list", {"status": 200, "body": "[]"}, PdpAnswerError, "no provenance"),
    Case("redirect", {"status": 302, "body": "{}"}, PdpUnavailableError, "302"),
    Case(
        "code",
        {"status": 401, "body": '{"code": "unauthorized", "message": "x-secret"}'},
        PdpUnavailableError,
        r"401 \(unauthorized\)",
    ),
)


@pytest.mark.parametrize("case", ODD, ids=lambda case: case.id)
async def test_what_no_opa_would_answer_is_refused(case: Case) -> None:
    async with answering(Page(**case.document)) as (url, _):
        with pytest.raises(case.error, match=case.says) as caught:
            await enter(pdp_of(MISBEHAVING, url))

    assert "x-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "problem"), [("0.70.0", "0.70.0"), ("next", "next"), ("", "''")]
)
async def test_an_opa_before_rego_v1_is_refused(version: str, problem: str) -> None:
    page = Page(200, json.dumps({"provenance": {"version": version}}))
    async with answering(page) as (url, _):
        with pytest.raises(ConfigError, match=problem):
            await enter(pdp_of(MISBEHAVING, url))


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8181",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:8181/v1",
        "http://user@127.0.0.1:8181",
        "http://127.0.0.1:8181?a=b",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="URL"):
        pdp_of(MISBEHAVING, url)


def test_another_event_loop_is_refused() -> None:
    with pytest.raises(ConfigError, match="asyncio only"):
        anyio.run(enter, pdp_of(MISBEHAVING, "http://127.0.0.1:1"), backend="trio")


@dataclass(frozen=True)
class Page:
    """What a hand-made server says to everything."""

    status: int
    body: str
    headers: str = field(default="Location: http://127.0.0.1:1/\r\n")


@asynccontextmanager
async def answering(page: Page | None) -> AsyncIterator[tuple[str, list[str]]]:
    """A TCP server that gives one HTTP answer to everything, or none at all."""
    seen: list[str] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            try:
                while head := await stream.receive():
                    seen.append(head.decode("latin-1").split(" ", 1)[0])
                    if page is not None:
                        await stream.send(http_answer(page))
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django
        yield f"http://127.0.0.1:{port}", seen
        group.cancel_scope.cancel()


def http_answer(page: Page) -> bytes:
    return (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
        f"Content-Type: application/json\r\n{page.headers}"
        f"Content-Length: {len(page.body)}\r\n\r\n{page.body}"
    ).encode()


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A TCP relay to a server that notes the method of each request."""
    seen: list[str] = []
    port = int(target.rsplit(":", 1)[1])

    async def serve(near: anyio.abc.SocketStream) -> None:
        far = await anyio.connect_tcp("127.0.0.1", port)
        async with near, far, anyio.create_task_group() as group:
            group.start_soon(back, far, near)
            try:
                while data := await near.receive():
                    if data.startswith((b"GET ", b"POST ")):
                        seen.append(data.split(b" ", 1)[0].decode())
                    await far.send(data)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                group.cancel_scope.cancel()

    async def back(far: anyio.abc.SocketStream, near: anyio.abc.SocketStream) -> None:
        try:
            while data := await far.receive():
                await near.send(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        local = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no Django
        yield f"http://127.0.0.1:{local}", seen
        group.cancel_scope.cancel()
