"""Over TCP: who is let in, what each may say, and what hostile peers cost the others: nothing."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from authority import Authority
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from serving import TOOLS

from permissions.broker.ports import now_us
from permissions.errors import ConfigError, ServiceError
from permissions.model import Completed
from permissions.service import network
from permissions.service.dial import Credentials, TcpDial, dial_of
from permissions.service.frames import VERSION
from permissions.service.remote import RemoteBroker
from permissions.service.server import listening
from permissions.setup.clients import clients_of
from permissions.setup.config import BrokerConfig, ClientConfig, ServiceConfig
from permissions.setup.daemon import socket_of, tcp_interface, tokens_of
from permissions.setup.factory import open_broker
from permissions.tools.call import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from permissions.service.server import Server
    from permissions.service.tokens import TokenStore

CLIENTS = {
    "desk": ClientConfig(certificate="desk.example", users=("alice",)),
    "robot": ClientConfig(certificate="spiffe://example/robot", users=("bob",)),
}


@asynccontextmanager
async def daemon(
    config: BrokerConfig, authority: Authority, **more: Any
) -> AsyncIterator[tuple[int, Server, TokenStore]]:
    """A daemon that listens on TCP with TLS, for the two clients and what `more` says."""
    own = authority.issue("localhost")
    settings = {
        "tcp": "127.0.0.1:0",
        "tls_certificate": own.certificate,
        "tls_key": own.key,
        "client_ca": authority.certificate,
        "clients": CLIENTS,
        **more,
    }
    config = config.model_copy(update={"service": ServiceConfig(**settings)})
    async with (
        open_broker(config, TOOLS, mode="daemon") as broker,
        tokens_of(config) as tokens,
        listening(broker, socket_of(config), clients_of(config)) as server,
        tcp_interface(config, server, tokens) as address,
    ):
        assert address is not None
        yield int(address.rpartition(":")[2]), server, tokens


async def token_for(tokens: TokenStore, client: str, *, lasts: int = 10**12) -> str:
    now = now_us()
    return (await tokens.create(client, now=now, expires=now + lasts))[1]


def dial(port: int, authority: Authority, **given: Any) -> TcpDial:
    return TcpDial("localhost", port, Credentials(ca=authority.certificate, **given))


async def refusal(way: TcpDial, user: str = "alice") -> str:
    """What is said to somebody who is not let in."""
    with pytest.raises(ServiceError) as refused:
        async with RemoteBroker(way, TOOLS).session(user=user):
            raise AssertionError("it was opened")
    return str(refused.value)


async def test_a_client_is_whom_its_token_or_certificate_names(
    config: BrokerConfig, authority: Authority, tmp_path: Path
) -> None:
    robot = authority.issue("robot.example", uri="spiffe://example/robot")
    nobody = authority.issue("nobody.example")
    late = authority.issue("late.example", days=(-9, -2))
    (tmp_path / "other").mkdir()
    forged = Authority(tmp_path / "other", "forged").issue("desk.example")
    der = x509.load_pem_x509_certificate(nobody.certificate.read_bytes()).public_bytes(
        Encoding.DER
    )
    async with daemon(config, authority) as (port, _, tokens):
        good, gone = await token_for(tokens, "desk"), await token_for(tokens, "desk")
        ended, left = await token_for(tokens, "desk", lasts=0), await token_for(tokens, "gone")
        await tokens.revoke((await tokens.listed())[1].id, now=now_us())
        revoked = gone if await tokens.client_of(good, now=now_us()) else good
        good = good if revoked is gone else gone

        broker = RemoteBroker(dial(port, authority, token=good), TOOLS)
        async with broker.session(user="alice") as session:
            ran = await broker.call(session, ToolCall("measure", {"text": "abc"}))
        assert isinstance(ran, Completed)
        by_certificate = dial(port, authority, certificate=robot.certificate, key=robot.key)
        async with RemoteBroker(by_certificate, TOOLS).session(user="bob") as session:
            assert session.subject.id == "bob"

        assert "may not open a session" in await refusal(by_certificate, "alice")
        assert "may not open a session" in await refusal(
            dial(port, authority, token=good), "bob"
        )
        for bad in (revoked, ended, left, good[:-1], "x" * 3000, "wardline-token-" + "é" * 43):
            assert "token is unknown" in await refusal(dial(port, authority, token=bad))
        said = await refusal(
            dial(port, authority, certificate=nobody.certificate, key=nobody.key)
        )
        assert "no client of this broker" in said
        assert hashlib.sha256(der).hexdigest() in said
        for bad_one in (late, forged):
            await refusal(
                dial(port, authority, certificate=bad_one.certificate, key=bad_one.key)
            )
        kept = (config.state / "state.db").read_bytes()
        kept += (config.state / "state.db-wal").read_bytes()
        assert good.encode() not in kept


@pytest.mark.slow
async def test_a_client_believes_its_own_daemon_only(
    config: BrokerConfig, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    async with daemon(config, authority) as (port, _, tokens):
        token = await token_for(tokens, "desk")
        assert "certificate verify failed" in await refusal(dial(port, other, token=token))
        plain = TcpDial("127.0.0.1", port, Credentials(token=token))
        await refusal(plain)  # it speaks TLS, and nothing else


def frame(document: Any) -> bytes:
    said = json.dumps(document).encode()
    return len(said).to_bytes(4, "big") + said


OPEN = {"id": 1, "do": "open", "version": VERSION, "tools": {}, "user": "alice"}

UNKNOWN_PEERS = {
    "nothing": b"",
    "half a frame": b"\x00\x00\x00\x10{",
    "a gigabyte announced": (1 << 30).to_bytes(4, "big") + b"x" * 100_000,
    "longer than a token": (network.TOKEN_BYTES + 1).to_bytes(4, "big") + b"x" * 5000,
    "no JSON": b"\x00\x00\x00\x04oops",
    "a session at once": frame(OPEN),
    "a token that is none": frame({"id": 0, "do": "token", "token": {"a": 1}}),
    "a flood": frame({"id": 0, "do": "token", "token": "x"}) * 2000,
}
KNOWN_PEERS = {
    "half a frame": b"\x00\x00\x00\x10{",
    "a gigabyte announced": (1 << 30).to_bytes(4, "big") + b"x" * 100_000,
    "another version": frame({**OPEN, "version": 99}),
    "another's name": frame({**OPEN, "user": "bob"}),
    "a second token": frame({"id": 1, "do": "token", "token": "x"}),
    "a flood of one number": frame(OPEN) + frame({"id": 2, "do": "explain"}) * 500,
}


async def sent(port: int, data: bytes, context: ssl.SSLContext | None) -> bytes:
    """What is said to that, until it or this end hangs up."""
    answers = b""
    tls: dict[str, Any] = {} if context is None else {"tls": True, "ssl_context": context}
    try:
        async with await anyio.connect_tcp(
            "localhost", port, tls_standard_compatible=False, **tls
        ) as stream:
            with anyio.move_on_after(20):
                await stream.send(data)
                while True:
                    answers += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError, OSError):
        pass
    return answers


async def test_hostile_peers_cost_the_others_nothing(
    config: BrokerConfig, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The product's patience is longer; what is tried is that it ends.
    monkeypatch.setattr(network, "INTRODUCE_SECONDS", 1.0)
    monkeypatch.setattr("permissions.service.opening.OPENING_SECONDS", 1.0)
    context = ssl.create_default_context(cafile=str(authority.certificate))
    async with daemon(config, authority) as (port, server, tokens):
        token = await token_for(tokens, "desk")
        honest = RemoteBroker(dial(port, authority, token=token), TOOLS)
        async with honest.session(user="alice") as session:
            known = frame({"id": 0, "do": "token", "token": token})
            hostile = {
                **{f"unknown: {name}": (data, context) for name, data in UNKNOWN_PEERS.items()},
                **{f"known: {n}": (known + data, context) for n, data in KNOWN_PEERS.items()},
                "no TLS": (b"GET / HTTP/1.1\r\n\r\n", None),
                "half a handshake": (b"\x16\x03\x01\x02\x00\x01", None),
                "a slow handshake": (b"", None),
            }
            async with anyio.create_task_group() as tasks:
                for data, how in hostile.values():
                    tasks.start_soon(sent, port, data, how)
                for number in range(20):
                    call = ToolCall("measure", {"text": str(number)})
                    assert isinstance(await honest.call(session, call), Completed)
            while server.sessions > 1:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.01)


@pytest.mark.slow
async def test_silent_peers_keep_nobody_out(
    config: BrokerConfig, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The product's bound would need hundreds of connections; what is tried is who makes room.
    monkeypatch.setattr(network, "UNKNOWN", 4)
    async with daemon(config, authority) as (port, _, tokens):
        token = await token_for(tokens, "desk")
        silent = [await anyio.connect_tcp("localhost", port) for _ in range(12)]
        async with RemoteBroker(dial(port, authority, token=token), TOOLS).session(
            user="alice"
        ):
            pass
        for stream in silent:
            await stream.aclose()


@pytest.mark.parametrize(
    ("address", "given", "said"),
    [
        ("tcp://broker.example", {"token": "t"}, "no address of a broker"),
        ("tcp://user@broker.example:1", {"token": "t"}, "no address of a broker"),
        ("tcp://broker.example:1/path", {"token": "t"}, "no address of a broker"),
        ("tcp://broker.example:99999", {"token": "t"}, "no address of a broker"),
        ("udp://broker.example:1", {"token": "t"}, "no address of a broker"),
        ("tcp://broker.example:1", {}, "a token or a certificate"),
        ("tcp://broker.example:1", {"certificate": "c"}, "belong together"),
        ("tcp://broker.example:1", {"token": "t", "certificate": "c"}, "a token or a"),
    ],
)
def test_an_address_that_is_none_is_told(address: str, given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        dial_of(address, Credentials(**given))


@pytest.mark.slow
async def test_settings_that_are_not_safe_are_told(
    config: BrokerConfig, authority: Authority
) -> None:
    no_tls = {"tls_certificate": None, "tls_key": None, "client_ca": None}
    for more, said in (
        ({"tcp": "0.0.0.0:0", **no_tls}, "reached over the network"),
        ({"tls_certificate": None, "tls_key": None}, "client_ca needs"),
    ):
        with pytest.raises(ConfigError, match=said):
            async with daemon(config, authority, **more):
                raise AssertionError("it started")
    twice = {"a": ClientConfig(certificate="x"), "b": ClientConfig(certificate="x")}
    with pytest.raises(ConfigError, match="a and b are both"):
        async with daemon(config, authority, clients=twice):
            raise AssertionError("it started")


@pytest.mark.slow
def test_the_command_line_makes_and_takes_tokens(tmp_path: Path) -> None:
    (tmp_path / "wardline.toml").write_text(
        f'state = "{tmp_path}/state"\n[service.clients.desk]\nusers = ["alice"]\n'
    )
    settings = {**os.environ, "WARDLINE_CONFIG": str(tmp_path / "wardline.toml")}

    def wardline(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "permissions", "service", "token", *words]
        return subprocess.run(argv, env=settings, capture_output=True, text=True, check=False)

    made = wardline("create", "desk")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("wardline-token-")
    unknown = wardline("create", "nobody")
    assert unknown.returncode != 0
    assert "no client of the settings (desk)" in unknown.stderr
    listed = json.loads(wardline("list", "--json").stdout)
    assert listed["client"] == "desk"
    assert made.stdout.strip() not in wardline("list").stdout
    assert wardline("revoke", listed["id"]).stdout == "revoked 1 token\n"
    assert wardline("revoke", listed["id"]).returncode != 0
    assert "revoked" in wardline("list").stdout
