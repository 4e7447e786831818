"""The proxy as the inside of a sandbox meets it: a real process, real sockets, real TLS."""

from __future__ import annotations

import base64
import logging
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from effort import tries
from hosts import Host, plain_host, tls_host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inside import connected, get, rest_of, say, tunnel

from sandbox.egress import (
    Egress,
    EgressDecision,
    EgressRequest,
    EgressRule,
    HeaderSecret,
)
from sandbox.egress.proxy import open_proxy
from sandbox.egress.secrets import MemorySecrets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import Any

    from anyio.abc import ByteStream

HERE = "127.0.0.1"


@pytest.fixture
def host() -> Iterator[Host]:
    with plain_host() as serving:
        yield serving


@pytest.fixture
def secure_host() -> Iterator[Host]:
    with tls_host("api.example") as serving:
        yield serving


def plain(host: Host, **bounds: Any) -> Egress:
    """One plain host."""
    rule = EgressRule(
        host="api.example",
        mode="http",
        ports=(host.port,),
        methods=("GET", "POST"),
        unsafe_address=HERE,
    )
    return Egress(allow=(rule,), **bounds)


def tunnelled(host: Host, **bounds: Any) -> Egress:
    """One host by CONNECT."""
    rule = EgressRule(host="api.example", ports=(host.port,), unsafe_address=HERE)
    return Egress(allow=(rule,), **bounds)


def trusting(host: Host) -> ssl.SSLContext:
    """What a client inside trusts."""
    return ssl.create_default_context(cadata=host.authorities)


class Answering:
    """A gate that does whatever it was given."""

    def __init__(self, answer: Callable[[], Awaitable[Any]]) -> None:
        self._answer = answer

    async def decide(self, request: EgressRequest) -> Any:  # noqa: ARG002
        return await self._answer()


async def hang() -> None:
    await anyio.sleep_forever()


async def fail() -> None:
    raise ValueError("a secret")


async def leave() -> None:
    raise SystemError


def answered(answer: Any) -> Callable[[], Awaitable[Any]]:
    async def at_once() -> Any:
        return answer

    return at_once


BAD_GATES: dict[str, Callable[[], Awaitable[Any]]] = {
    "hangs": hang,
    "raises": fail,
    "faults": leave,
    "says nothing": answered(None),
    "says yes in other words": answered("permitted"),
    "says yes in JSON": answered({"permitted": True, "reason": "x"}),
    "says it truthily": answered(EgressDecision(permitted="no", reason="test.odd")),  # type: ignore[arg-type]
    "says one": answered(EgressDecision(permitted=1, reason="test.odd")),  # type: ignore[arg-type]
}


@pytest.mark.slow
@pytest.mark.parametrize("gate", BAD_GATES)
async def test_a_gate_without_a_clear_answer_refuses(host: Host, gate: str) -> None:
    """Nothing is dialled, the job is told, and the report says who was in the way."""
    answering = Answering(BAD_GATES[gate])
    async with open_proxy(plain(host), wall_seconds=60, gate=answering) as proxy:
        told = await say(proxy.folder, get(f"http://api.example:{host.port}/a"))
    (report,) = proxy.reports

    assert told.startswith(b"HTTP/1.1 403 ")
    assert (report.permitted, report.end, report.address) == (False, "refused", None)
    assert report.reason in ("egress.gate_failed", "test.odd")
    assert b"a secret" not in told
    assert host.requests == []


async def test_a_gate_is_asked_in_its_own_numbers(host: Host) -> None:
    """The report names the answer it went by."""
    gate = Answering(answered(EgressDecision(permitted=True, reason="test.ok", number=7)))
    async with open_proxy(plain(host), wall_seconds=60, gate=gate) as proxy:
        await say(proxy.folder, get(f"http://api.example:{host.port}/a"))
        await say(proxy.folder, get("http://evil.example/"))

    assert [report.number for report in proxy.reports] == [7, None]


async def test_an_allowed_host_is_reached_and_the_rest_is_not(host: Host) -> None:
    """Each connection is in the record with its decision, address and bytes."""
    at = f"http://api.example:{host.port}"
    async with open_proxy(plain(host), wall_seconds=30) as proxy:
        good = await say(proxy.folder, get(f"{at}/a?b=c"))
        other = await say(proxy.folder, get(f"http://evil.example:{host.port}/"))
        put = await say(proxy.folder, get(f"{at}/a", method="PUT", body="x"))

    assert good.startswith(b"HTTP/1.1 200 ")
    assert b'"path": "/a?b=c"' in good
    assert b"egress.host_unlisted" in other
    assert b"egress.method_unlisted" in put
    assert [seen["path"] for seen in host.requests] == ["/a?b=c"]
    assert [(report.end, report.address) for report in proxy.reports] == [
        ("complete", HERE),
        ("refused", None),
        ("refused", None),
    ]
    assert proxy.reports[0].bytes_in > 200
    assert proxy.reports[0].request == EgressRequest(
        "http", "api.example", host.port, "GET", "/a"
    )


async def test_the_host_gets_only_what_it_is_meant_to(host: Host) -> None:
    """Hop-by-hop headers stay, bodies arrive whole in either framing, redirects are answers."""
    at = f"http://api.example:{host.port}"
    async with open_proxy(plain(host), wall_seconds=30) as proxy:
        await say(proxy.folder, get(f"{at}/", "Proxy-Authorization: Basic x", "Upgrade: h2c"))
        await say(proxy.folder, get(f"{at}/", method="POST", body="hello"))
        chunked = get(f"{at}/", "Transfer-Encoding: chunked", method="POST")
        await say(proxy.folder, chunked + b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n")
        waits = get(f"{at}/", "Expect: 100-continue", method="POST", body="hello")
        await say(proxy.folder, waits)
        moved = await say(proxy.folder, get(f"{at}/redirect"))

    first = host.requests[0]["headers"]
    assert isinstance(first, dict)
    assert first.keys() == {"host", "connection"}
    assert [seen["body"] for seen in host.requests[1:4]] == ["hello"] * 3
    assert moved.startswith(b"HTTP/1.1 302 ")
    assert len(host.requests) == 5


async def test_nothing_can_be_smuggled_behind_a_request(host: Host) -> None:
    """A second request on the connection is never read, let alone passed on."""
    at = f"http://api.example:{host.port}"
    async with open_proxy(plain(host), wall_seconds=30) as proxy:
        await say(proxy.folder, get(f"{at}/first") + get(f"{at}/second"))

    assert [seen["path"] for seen in host.requests] == ["/first"]


async def test_a_tunnel_carries_tls_to_the_named_host(secure_host: Host) -> None:
    """The certificate is checked inside, against the host's own authority."""
    async with open_proxy(tunnelled(secure_host), wall_seconds=30) as proxy:
        async with connected(proxy.folder) as stream:
            secured = await tunnel(
                stream,
                f"api.example:{secure_host.port}",
                name="api.example",
                context=trusting(secure_host),
            )
            await secured.send(
                b"GET /in HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"
            )
            answer = await rest_of(secured)
            await secured.aclose()

    assert b'"path": "/in"' in answer
    # The host's goodbye may meet a client that has left with its answer.
    assert proxy.reports[0].end in {"complete", "client"}
    assert proxy.reports[0].request == EgressRequest("connect", "api.example", secure_host.port)


@pytest.mark.parametrize("name", ["evil.example", None, "api.example.evil.example"])
async def test_the_tls_name_has_to_be_the_host(secure_host: Host, name: str | None) -> None:
    """Another name, or none, ends the tunnel before a byte of it reaches the host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with open_proxy(tunnelled(secure_host), wall_seconds=30) as proxy:
        async with connected(proxy.folder) as stream:
            with pytest.raises((ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream)):
                await tunnel(
                    stream, f"api.example:{secure_host.port}", name=name, context=context
                )

    assert [report.end for report in proxy.reports] == ["server_name"]
    assert [report.bytes_out for report in proxy.reports] == [0]


async def test_a_tunnel_carries_nothing_but_tls(secure_host: Host) -> None:
    """Plain HTTP, SSH or anything else behind a CONNECT ends it."""
    async with open_proxy(tunnelled(secure_host), wall_seconds=30) as proxy:
        answer = await say(
            proxy.folder,
            f"CONNECT api.example:{secure_host.port} HTTP/1.0\r\n\r\n".encode()
            + b"SSH-2.0-OpenSSH_9\r\n",
        )

    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\n"
    assert proxy.reports[0].end == "server_name"


HOSTILE = {
    "nul": b"CONNECT api.example\0.evil:443 HTTP/1.0\r\n\r\n",
    "address": b"CONNECT 169.254.169.254:443 HTTP/1.0\r\n\r\n",
    "mapped": b"CONNECT [::ffff:127.0.0.1]:443 HTTP/1.0\r\n\r\n",
    "decimal": b"CONNECT 2130706433:443 HTTP/1.0\r\n\r\n",
    "user-info": b"CONNECT api.example@evil.example:443 HTTP/1.0\r\n\r\n",
    "trailing-dot": b"CONNECT api.example.:443 HTTP/1.0\r\n\r\n",
    "socks4": b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
    "socks5": b"\x05\x01\x00\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "head-too-long": b"GET http://api.example/ HTTP/1.1\r\nA: " + b"a" * 40000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bytes_are_refused_and_the_proxy_goes_on(host: Host, data: bytes) -> None:
    async with open_proxy(plain(host, idle_seconds=2), wall_seconds=30) as proxy:
        answer = await say(proxy.folder, data)
        good = await say(proxy.folder, get(f"http://api.example:{host.port}/"))

    assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert good.startswith(b"HTTP/1.1 200 ")
    assert proxy.reports[0].end in ("malformed", "idle")
    assert proxy.reports[0].address is None


async def test_a_name_that_leads_to_this_machine_is_refused(host: Host) -> None:
    """Looked up for real: `localhost` is on the list, its address may not be dialled."""
    rule = EgressRule(host="localhost", mode="http", ports=(host.port,))
    async with open_proxy(Egress(allow=(rule,)), wall_seconds=30) as proxy:
        answer = await say(proxy.folder, get(f"http://localhost:{host.port}/"))

    assert b"egress.address_loopback" in answer
    assert proxy.reports[0].end == "address"
    assert host.requests == []


async def drip(stream: ByteStream, data: bytes) -> None:
    """Sends a byte at a time, each before an idle time is over."""
    for byte in data:
        await stream.send(bytes([byte]))
        await anyio.sleep(0.05)


async def test_a_slow_head_ends_in_time(host: Host) -> None:
    """One byte before each idle time is over does not keep a connection (slow loris)."""
    async with open_proxy(plain(host, idle_seconds=0.4), wall_seconds=30) as proxy:
        async with connected(proxy.folder) as stream:
            with anyio.fail_after(40):
                with pytest.raises(anyio.BrokenResourceError):
                    await drip(stream, b"GET http://api.example/ HTTP/1.1\r\n" * 10)

    assert proxy.reports[0].end == "idle"


async def test_a_thousand_connections_are_bounded(host: Host) -> None:
    """Few are open at once, many are turned away, and the proxy still knows its bounds."""
    egress = plain(host, connections=100, concurrent=8, idle_seconds=5)
    answers: list[bytes] = []
    async with open_proxy(egress, wall_seconds=60) as proxy:
        limiter = anyio.CapacityLimiter(50)

        async def one() -> None:
            async with limiter:
                answers.append(await say(proxy.folder, get(f"http://api.example:{host.port}/")))

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(one)
        size = _resident(proxy.pid)

    served = sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert served == 100
    assert len(proxy.reports) == 100
    assert len(host.requests) == 100
    assert size < 128 * 1024 * 1024


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


async def test_the_bytes_of_all_connections_are_bounded(host: Host) -> None:
    egress = plain(host, total_bytes=1_000_000)
    async with open_proxy(egress, wall_seconds=30) as proxy:
        first = await say(proxy.folder, get(f"http://api.example:{host.port}/endless"))
        second = await say(proxy.folder, get(f"http://api.example:{host.port}/"))

    assert len(first) <= 1_000_000
    assert second == b""
    assert [report.end for report in proxy.reports] == ["bytes", "bytes"]


async def test_a_connection_has_a_longest_life(host: Host) -> None:
    egress = plain(host, total_bytes=2**40, connection_seconds=0.5)
    async with open_proxy(egress, wall_seconds=30) as proxy:
        await say(proxy.folder, get(f"http://api.example:{host.port}/endless"))

    assert proxy.reports[0].end == "deadline"


async def test_a_tightened_policy_closes_open_connections(secure_host: Host) -> None:
    """A tunnel that stands is closed; the record says by what."""
    async with open_proxy(tunnelled(secure_host), wall_seconds=30) as proxy:
        async with connected(proxy.folder) as stream:
            secured = await tunnel(
                stream,
                f"api.example:{secure_host.port}",
                name="api.example",
                context=trusting(secure_host),
            )
            closed = await proxy.close_matching(lambda request: request.host == "api.example")
            left = await rest_of(secured)
            await anyio.aclose_forcefully(secured)

    assert closed == 1
    assert left == b""
    assert [report.end for report in proxy.reports] == ["policy"]


class Refusing:
    """A gate that lets GET through."""

    async def decide(self, request: EgressRequest) -> EgressDecision:
        return EgressDecision(permitted=request.method == "GET", reason="test.gate")


class Failing:
    """A gate that cannot answer."""

    async def decide(self, request: EgressRequest) -> EgressDecision:
        raise RuntimeError(request.host)


async def test_a_gate_narrows_the_rules(host: Host) -> None:
    """It is asked only what a rule allows, and its no is a no."""
    at = f"http://api.example:{host.port}"
    async with open_proxy(plain(host), wall_seconds=30, gate=Refusing()) as proxy:
        good = await say(proxy.folder, get(at + "/"))
        bad = await say(proxy.folder, get(at + "/", method="POST", body="x"))

    assert good.startswith(b"HTTP/1.1 200 ")
    assert b"test.gate" in bad
    assert len(host.requests) == 1


async def test_a_gate_that_fails_refuses(host: Host) -> None:
    async with open_proxy(plain(host), wall_seconds=30, gate=Failing()) as proxy:
        answer = await say(proxy.folder, get(f"http://api.example:{host.port}/"))

    assert b"egress.gate_failed" in answer
    assert host.requests == []


SECRET = b"s3cr3t/Token+Value=42"


def injecting(host: Host) -> Egress:
    """A host with a credential, below one path."""
    rule = EgressRule(
        host="api.example",
        mode="https",
        ports=(host.port,),
        path_prefix="/",
        secret=HeaderSecret(handle="secret://forge"),
        unsafe_address=HERE,
    )
    return Egress(allow=(rule,), authorities=host.authorities)


SECRETS = MemorySecrets({"secret://forge": SECRET})


async def test_a_secret_is_added_outside_and_its_echo_is_masked(
    secure_host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """The host gets it over TLS; the job sees neither it nor any form of it, nor does the log."""
    caplog.set_level(logging.DEBUG)
    answers = []
    async with open_proxy(injecting(secure_host), wall_seconds=30, secrets=SECRETS) as proxy:
        for path in ("/", "/header", "/dribble"):
            request = get(
                f"http://api.example{path}", "Authorization: mine", "Range: bytes=0-9"
            )
            answers.append(await say(proxy.folder, request))

    sent = [seen["headers"] for seen in secure_host.requests]
    assert [headers["authorization"] for headers in sent] == [f"Bearer {SECRET.decode()}"] * 3  # type: ignore[index]
    assert not any("range" in headers for headers in sent)  # type: ignore[operator]
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    said = b"".join(answers) + caplog.text.encode() + repr(proxy.reports).encode()
    for form in (
        SECRET,
        SECRET.hex().encode(),
        base64.b64encode(SECRET),
    ):
        assert form not in said
    assert b"*" * len(SECRET) in answers[0]


async def test_an_answer_the_scrubber_cannot_read_is_not_passed_on(secure_host: Host) -> None:
    async with open_proxy(injecting(secure_host), wall_seconds=30, secrets=SECRETS) as proxy:
        answer = await say(proxy.folder, get("http://api.example/gzip"))

    assert b"egress.answer_encoded" in answer


async def test_a_secret_goes_to_no_host_with_another_certificate(secure_host: Host) -> None:
    """TLS to the host is checked before the first byte of the request."""
    egress = injecting(secure_host)
    with tls_host("other.example") as outsider:
        trusted = Egress(allow=egress.allow, authorities=outsider.authorities)
        async with open_proxy(trusted, wall_seconds=30, secrets=SECRETS) as proxy:
            answer = await say(proxy.folder, get("http://api.example/"))

    assert b"egress.tls_failed" in answer
    assert secure_host.requests == []


async def test_a_missing_secret_refuses_the_request(secure_host: Host) -> None:
    async with open_proxy(injecting(secure_host), wall_seconds=30) as proxy:
        answer = await say(proxy.folder, get("http://api.example/"))

    assert b"egress.secret_missing" in answer
    assert secure_host.requests == []


async def test_the_proxy_process_has_no_privileges(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody, no capabilities, a filter, nothing of our environment, no descriptor of ours."""
    monkeypatch.setenv("SOMEBODYS_SECRET", "canary")
    async with open_proxy(plain(host), wall_seconds=30) as proxy:
        path = Path(f"/proc/{proxy.pid}")
        status = dict(
            line.split(":\t", 1) for line in (path / "status").read_text().splitlines()
        )
        environment = (path / "environ").read_bytes() if os.geteuid() == 0 else b""
        arguments = (path / "cmdline").read_bytes()

    if os.geteuid() == 0:
        assert set(status["Uid"].split()) == {"65534"}
        assert set(status["Gid"].split()) == {"65534"}
        assert status["Groups"].strip() == ""
    for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[which], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert b"canary" not in environment + arguments


async def test_nothing_is_left_of_a_proxy(host: Host) -> None:
    """Process and folder are gone, whether the block ends or raises."""
    folders = []
    pids = []

    async def failing() -> None:
        async with open_proxy(plain(host), wall_seconds=30) as proxy:
            folders.append(proxy.folder)
            pids.append(proxy.pid)
            raise LookupError

    with pytest.raises(LookupError):
        await failing()
    with anyio.CancelScope() as scope:
        async with open_proxy(plain(host), wall_seconds=30) as proxy:
            folders.append(proxy.folder)
            pids.append(proxy.pid)
            scope.cancel()
            await anyio.sleep_forever()

    assert not any(folder.exists() or folder.parent.exists() for folder in folders)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


CHUNKS = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"GET http://api.example/ HTTP/1.1\r\n",
                b"CONNECT api.example:443 HTTP/1.1\r\n",
                b"Host: api.example\r\n",
                b"Content-Length: 10\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"\r\n",
                b"\n",
                b"5\r\nhello\r\n",
                b"0\r\n\r\n",
                b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
                b"\0",
            ]
        ),
    ),
    max_size=10,
)


async def test_no_bytes_reach_a_host_that_is_not_listed_or_end_the_proxy(host: Host) -> None:
    """Fuzzed over real sockets: the proxy answers or hangs up, and goes on answering others."""
    seeds: list[list[bytes]] = []

    @settings(
        max_examples=tries(150),
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(CHUNKS)
    def collect(chunks: list[bytes]) -> None:
        seeds.append(chunks)

    collect()
    egress = Egress(
        allow=(
            EgressRule(
                host="api.example", mode="http", ports=(80,), unsafe_address="127.0.0.9"
            ),
            EgressRule(host="api.example", ports=(443,), unsafe_address="127.0.0.9"),
            EgressRule(
                host="alive.example", mode="http", ports=(host.port,), unsafe_address=HERE
            ),
        ),
        connections=10_000,
        idle_seconds=1,
    )
    async with open_proxy(egress, wall_seconds=60) as proxy:
        async with anyio.create_task_group() as group:
            for chunks in seeds:
                group.start_soon(say, proxy.folder, b"".join(chunks))
        alive = await say(proxy.folder, get(f"http://alive.example:{host.port}/"))
        assert Path(f"/proc/{proxy.pid}").exists()

    assert alive.startswith(b"HTTP/1.1 200 ")
    assert len(host.requests) == 1
    assert not [report for report in proxy.reports if report.end == "fault"]
    assert {report.address for report in proxy.reports} <= {None, "127.0.0.9", HERE}
