"""Cases 56 to 68 as far as they need egress: a job that has it tries to get further than it.

The host that is allowed is a listener of this machine's loopback; what it was sent tells what
came through. Each case first looks that what is allowed does come through.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sandbox.egress import Egress, EgressRule, HeaderSecret
from sandbox.egress.dial import DialError, dial
from sandbox.egress.proxy import open_proxy
from sandbox.egress.sandbox import EgressSandbox
from sandbox.egress.secrets import MemorySecrets
from sandbox.network.addresses import parse_address
from sandbox.probes.egress_target import (
    HANDLE,
    HERE,
    HOST,
    SECONDS,
    at_the_proxy,
    connect,
    get,
    hello,
    landing,
    rule,
    talk,
)
from sandbox.probes.fixtures import NotTriedError, ended_well, inside
from sandbox.probes.table import blocked_unless, opened, probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import ByteStream

    from sandbox.network.addresses import Address
    from sandbox.probes.fixtures import Ground
    from sandbox.probes.table import Outcome


@probe(
    56,
    "Host names made to fool an allowlist",
    "NUL, dots, suffixes, user@host, mapped, decimal and octal addresses are refused",
    without="the comparison of the whole name",
)
async def fooling_names(ground: Ground) -> Outcome:
    """Each by plain request and by tunnel."""
    names = [f"{HOST}\0.evil.example", f"evil.example\0{HOST}", f"{HOST}.evil.example"]
    names += [f"not{HOST}", f"{HOST}@evil.example", f"evil.example@{HOST}", f"x.{HOST}"]
    names += [f"{HOST}%00", f"{HOST}#", "127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1"]
    names += ["[::ffff:127.0.0.1]", "[::1]", "127.1", "ap\u0131.example", "localhost"]
    async with landing() as landed:
        egress = Egress(allow=(rule(landed.port, mode="http"),))
        plain = [get(f"http://{name}:{landed.port}/") for name in names[:-2]]
        tunnels = [connect(f"{name}:{landed.port}") for name in names if name.isascii()]
        good = get(f"http://{HOST}:{landed.port}/good")
        await talk(ground, egress, *plain, *tunnels, good)
        requests = landed.requests
    if not requests or "/good" not in requests[-1]:
        return opened("the allowed host could not be reached, so nothing can be said")
    return blocked_unless(requests[:-1], f"{len(names)} names, plain and by tunnel")


NOBODY = "3000::1"
"""An address that may be dialled and that nobody has: global unicast which IANA has not assigned."""


class Changing:
    """A resolver that counts, and gives the host's loopback whenever it is asked again."""

    def __init__(self, *texts: str) -> None:
        self._addresses = [address for text in texts if (address := parse_address(text))]
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[Address]:  # noqa: ARG002 - whichever
        """See `Resolver`."""
        self.asked += 1
        return self._addresses if self.asked == 1 else [ip_address(HERE)]


@probe(
    57,
    "DNS rebinding",
    "the checked address is the dialled one; one lookup",
    without="the check of an address, or the dialling of the very one that was checked",
)
async def rebinding(ground: Ground) -> Outcome:
    """An allowed name that leads to loopback; and names that lead there only the next time."""
    async with landing() as landed:
        allowed = EgressRule(host="localhost", mode="http", ports=(landed.port,))
        result = await talk(
            ground, Egress(allow=(allowed,)), get(f"http://localhost:{landed.port}/")
        )
        if not result.egress or not result.egress[0].permitted:
            raise NotTriedError("the name itself was refused, so nothing was looked up")
        if landed.visits or result.egress[0].address is not None:
            return opened("a name that leads to the host's loopback was dialled")
        texts = ("169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "fd00::1")
        for addresses in (*((text,) for text in texts), (HERE,), (NOBODY,), (NOBODY, HERE)):
            resolver = Changing(*addresses)
            # By its name in the machine's own tables, it would be the listener here.
            try:
                stream, _ = await dial(resolver, "localhost", landed.port, pinned=None)
            except DialError as err:
                if resolver.asked == 1 and err.refused is (NOBODY not in addresses):
                    continue
            else:
                await stream.aclose()
            return opened(f"{addresses} were dialled, or looked up again")
    return blocked_unless(
        landed.visits and "the listener was reached",
        f"loopback and {len(texts)} other addresses, one lookup each",
    )


@probe(
    59,
    "Plain bytes in a tunnel, another TLS name, another Host header",
    "refused before a byte reaches the host",
    without="the comparison of the name in TLS, or of the Host header",
)
async def other_names(ground: Ground) -> Outcome:
    """The right name comes through; nothing else of the tunnels does."""
    async with landing() as landed:
        way = connect(f"{HOST}:{landed.port}")
        allowed = rule(landed.port), rule(landed.port, mode="http")
        egress = Egress(allow=allowed, idle_seconds=1.0)
        await talk(
            ground,
            egress,
            (way, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            (way, b"SSH-2.0-probe\r\n"),
            (way, hello("evil.example")),
            (way, hello(f"{HOST}.evil.example")),
            get(f"http://{HOST}:{landed.port}/", host="evil.example"),
            get(f"http://evil.example:{landed.port}/", host=f"{HOST}:{landed.port}"),
            (way, hello(HOST)),
        )
        brought = [bytes(seen) for seen in landed.visits if seen]
    if not brought or HOST.encode() not in brought[-1]:
        return opened("the allowed name could not be reached, so nothing can be said")
    return blocked_unless(
        len(brought) > 1 and f"{len(brought) - 1} of 6 came through", "only its own name"
    )


@probe(
    62,
    "Attack the proxy: bad frames, long headers, many connections",
    "bounded; it goes on",
    without="the proxy's own limits and filter",
)
async def attacked_proxy(ground: Ground) -> Outcome:
    """Then a good request, and the proxy's own privileges as the host sees them."""
    noise = [secrets.token_bytes(200) + b"\r\n\r\n" for _ in range(20)]
    noise += [b"\x05\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    noise += [b"GET http://api.example/ HTTP/1.1\r\nA: " + b"a" * 200_000]
    async with landing() as landed:
        good = get(f"http://{HOST}:{landed.port}/good")
        egress = Egress(
            allow=(rule(landed.port, mode="http"),), connections=40, idle_seconds=0.5
        )
        result = await talk(ground, egress, *noise, good, *[good] * 30)
        requests = landed.requests
    served = sum("/good" in head for head in requests)
    if not served:
        return opened("after the noise the proxy did not answer")
    problems = [f"{served} served"] if served > 16 or len(requests) != served else []
    problems += [report.end for report in result.egress if report.end == "fault"]
    return blocked_unless(
        [*problems, *await _proxy_privileges()], f"{served} of 40 connections were good ones"
    )


async def _proxy_privileges() -> list[str]:
    async with open_proxy(Egress(allow=(rule(443),)), wall_seconds=10) as proxy:
        text = Path(f"/proc/{proxy.pid}/status").read_text("utf-8")  # noqa: ASYNC240 - procfs
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    wanted = {"CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    found = [name for name, value in wanted.items() if status[name].strip() != value]
    return found + (["uid 0"] if "0" in status["Uid"].split() else [])


@probe(
    64,
    "A rule tightened while a connection is open",
    "the connection is closed",
    without="the close of a connection from outside",
)
async def tightened(ground: Ground) -> Outcome:  # noqa: ARG001 - the proxy is every backend's
    """A tunnel that stands is closed from outside; what it would have said is not passed on."""
    async with landing() as landed:
        egress = Egress(allow=(rule(landed.port),))
        async with (
            open_proxy(egress, wall_seconds=10) as proxy,
            at_the_proxy(proxy.folder) as stream,
        ):
            await stream.send(connect(f"{HOST}:{landed.port}"))
            await stream.receive()
            await stream.send(hello(HOST))
            while not any(landed.visits):  # noqa: ASYNC110 - bytes of another process
                await anyio.sleep(0.01)
            closed = await proxy.close_matching(lambda request: request.host == HOST)
            is_over = await _ends(stream)
    if closed != 1 or not is_over:
        return opened(f"{closed} connections were told, over: {is_over}")
    return blocked_unless(
        [report.end for report in proxy.reports if report.end != "policy"],
        "closed from outside, and recorded so",
    )


async def _ends(stream: ByteStream) -> bool:
    with anyio.move_on_after(SECONDS):
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await stream.receive()
        return True
    return False


@probe(
    65,
    "A method or path that is not allowed",
    "refused, request by request",
    without="the comparison of the path",
)
async def methods_and_paths(ground: Ground) -> Outcome:
    """GET below /a is allowed."""
    async with landing() as landed:
        allowed = rule(landed.port, mode="http", methods=("GET",), path_prefix="/a")
        at = f"http://{HOST}:{landed.port}"
        tries = [
            get(f"{at}/a/x", method=method) for method in ("POST", "DELETE", "PUT", "HEAD")
        ]
        paths = (
            "/",
            "/b",
            "/ab",
            "/a/../b",
            "/a/%2e%2e/b",
            "//a",
            "/a/..;/b",
            "/a\\..\\b",
            "/A",
        )
        tries += [get(f"{at}{path}") for path in paths]
        tries += [get(f"{at}/a/1") + get(f"{at}/b")]
        await talk(ground, Egress(allow=(allowed,)), *tries, get(f"{at}/a/good"))
        requests = landed.requests
    if not requests or "/a/good" not in requests[-1]:
        return opened("the allowed path could not be reached, so nothing can be said")
    wrong = [head for head in requests if not head.startswith("GET /a/") or ".." in head]
    return blocked_unless(wrong, f"{len(tries)} requests")


@probe(
    67,
    "An injected secret sent elsewhere, or in the clear",
    "only over TLS to its host",
    without="TLS before a secret is sent",
)
async def secret_elsewhere(ground: Ground) -> Outcome:
    """The secret's host has no TLS here, the other host is plain: neither may learn it."""
    async with landing() as landed, landing() as other:
        secret = rule(landed.port, mode="https", secret=HeaderSecret(handle=HANDLE))
        plain = EgressRule(
            host="other.example", mode="http", ports=(other.port,), unsafe_address=HERE
        )
        egress = Egress(allow=(secret, plain), idle_seconds=1.0)
        result = await talk(
            ground,
            egress,
            get(f"http://{HOST}/"),
            get(f"http://other.example:{other.port}/"),
            get(f"http://other.example:{other.port}/", host=HOST),
        )
        brought = b"".join(map(bytes, [*landed.visits, *other.visits]))
        reached = bool(other.visits)
    if not reached:
        return opened("the other host could not be reached, so nothing can be said")
    known = ground.canary in str(result.value) or ground.canary.encode() in brought
    return blocked_unless(known and "it was sent", "neither in the clear nor to another host")


@probe(
    68,
    "A secret printed by the job, also in other spellings",
    "masked in all that comes out",
    without="the mask over one of its forms",
)
async def secret_printed(ground: Ground) -> Outcome:
    """In each promised form: output, a file, a file's name, the value, an exception."""
    secret = f'{ground.canary}/+"\u00fc?'.encode()
    store = MemorySecrets({HANDLE: secret})
    sandbox = EgressSandbox(ground.sandbox, secrets=store)
    profile = ground.profile(secret_files={"token": HANDLE})
    said = ended_well(await sandbox.run(inside("abuse:print_secret", file="token"), profile))
    raised = await sandbox.run(inside("abuse:fail_with", file="token"), profile)
    forms = _forms(secret)
    told = {
        "stdout": said.stdout,
        "stderr": said.stderr,
        "a file": said.files_out.get("copy", b""),
        "a name": "\n".join(said.files_out).encode(),
        "the value": "\n".join(said.value.values()).encode(),
        "the exception": ("" if raised.error is None else raised.error.message).encode(),
    }
    found = [
        f"{form} in {name}"
        for name, text in told.items()
        for form, spelling in forms.items()
        if spelling in text
    ]
    missing = [name for name, text in told.items() if b"***" not in text]
    if missing and not found:
        raise NotTriedError(f"the secret was not said in {missing}")
    return blocked_unless(found, f"{len(forms)} forms, {len(told)} kinds of output")


def _forms(secret: bytes) -> dict[str, bytes]:
    """The forms that the job says, by its own code."""
    from sandbox.guest.probes.wardline_abuse import spelled

    return spelled(secret)
