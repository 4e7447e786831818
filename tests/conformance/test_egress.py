"""Egress behaves the same on each backend: the list is reached, everything else is not."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from backends import REPEATED, leftovers
from hosts import Host, plain_host, tls_host

from sandbox import (
    ExecResult,
    ProfileError,
    PythonJob,
    SandboxProfile,
    SandboxUnavailableError,
)
from sandbox.egress import (
    Egress,
    EgressDecision,
    EgressRequest,
    EgressRule,
    HeaderSecret,
)
from sandbox.egress.sandbox import EgressSandbox
from sandbox.egress.secrets import MemorySecrets
from sandbox.egress.socket_folder import PREFIX
from sandbox.pool.pool import PrewarmedPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox.egress import Gate

INSIDE = Path(__file__).parents[1] / "support" / "egress_inside"
HERE = "127.0.0.1"
SECRET = b"s3cr3t/Token+Value=42"
SECRETS = MemorySecrets({"secret://forge": SECRET})


@pytest.fixture(params=REPEATED)
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[EgressSandbox]:
    """Each backend with egress."""
    async with EgressSandbox(request.param(), secrets=SECRETS) as sandbox:
        yield sandbox


@pytest.fixture
def plain() -> Iterator[Host]:
    with plain_host() as host:
        yield host


@pytest.fixture
def secure() -> Iterator[Host]:
    with tls_host("api.example") as host:
        yield host


async def inside(
    sandbox: EgressSandbox,
    function: str,
    profile: SandboxProfile,
    *,
    gate: Gate | None = None,
    **arguments: Any,
) -> ExecResult:
    """Runs a function of `egress_probes`."""
    job = PythonJob(f"egress_probes:{function}", arguments, (INSIDE,))
    return await sandbox.run(job, profile, gate=gate)


def profile(*rules: EgressRule, authorities: str = "", **more: Any) -> SandboxProfile:
    """A profile with these rules."""
    return SandboxProfile(network=Egress(allow=rules, authorities=authorities), **more)


def to_plain(host: Host) -> EgressRule:
    return EgressRule(
        host="plain.example", mode="http", ports=(host.port,), unsafe_address=HERE
    )


def to_secure(host: Host) -> EgressRule:
    return EgressRule(host="api.example", ports=(host.port,), unsafe_address=HERE)


def with_secret(host: Host) -> EgressRule:
    return EgressRule(
        host="api.example",
        mode="https",
        ports=(host.port,),
        path_prefix="/repos",
        secret=HeaderSecret(handle="secret://forge"),
        unsafe_address=HERE,
    )


def folders() -> list[Path]:
    """Folders of proxies that this process left."""
    mine = f".{os.getpid()}."
    return [
        path for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if mine in path.name
    ]


async def test_listed_hosts_are_reached_and_others_are_refused(
    opened: EgressSandbox, plain: Host, secure: Host
) -> None:
    """Plain and over TLS, by the usual variables, and each connection is in the result."""
    result = await inside(
        opened,
        "fetch",
        profile(to_plain(plain), to_secure(secure), authorities=secure.authorities),
        urls=[
            f"http://plain.example:{plain.port}/a",
            f"https://api.example:{secure.port}/b",
            "http://evil.example/",
            "https://evil.example/",
            f"http://{HERE}:{plain.port}/",
        ],
    )

    assert result.verdict == "ok"
    first, second, third, fourth, fifth = result.value
    assert '"path": "/a"' in first
    assert '"path": "/b"' in second
    assert "egress.host_unlisted" in third
    assert "403" in fourth
    assert "egress.malformed" in fifth
    assert [report.permitted for report in result.egress] == [True, True, False, False, False]
    assert result.egress[1].request == EgressRequest("connect", "api.example", secure.port)
    assert result.egress[1].bytes_in > 500
    assert len(plain.requests) == len(secure.requests) == 1


async def test_there_is_no_way_around_the_proxy(opened: EgressSandbox, plain: Host) -> None:
    """No route, no name service, no other socket, no write beside the one there is."""
    result = await inside(
        opened, "around", profile(to_plain(plain)), host="plain.example", port=plain.port
    )

    assert result.verdict == "ok"
    assert result.value == {"reached": [], "sockets": ["/egress/proxy"], "writable": []}
    assert plain.requests == []
    assert result.egress == ()


async def test_the_socket_itself_decides_the_same(opened: EgressSandbox, plain: Host) -> None:
    """A job that leaves the forwarder out gets no further."""
    at = f"plain.example:{plain.port}"
    result = await inside(
        opened,
        "raw",
        profile(to_plain(plain)),
        requests=[
            f"GET http://{at}/ok HTTP/1.1\r\nHost: {at}\r\n\r\n",
            f"GET http://{at}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
            f"DELETE http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n",
            f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n",
            "CONNECT 169.254.169.254:80 HTTP/1.0\r\n\r\n",
        ],
    )

    statuses = [answer[9:12] for answer in result.value]
    assert statuses == ["200", "400", "403", "403", "400"]
    assert [seen["path"] for seen in plain.requests] == ["/ok"]


async def test_a_job_that_kills_the_forwarder_only_cuts_itself_off(
    opened: EgressSandbox, plain: Host
) -> None:
    result = await inside(
        opened,
        "kill_everything_else",
        profile(to_plain(plain)),
        url=f"http://plain.example:{plain.port}/",
    )

    assert result.verdict == "ok"
    assert plain.requests == []


async def test_a_secret_goes_to_its_host_and_path_and_nowhere_else(
    opened: EgressSandbox, secure: Host
) -> None:
    """The host sees it; the job sees its echo masked, and finds it nowhere inside."""
    limits = profile(with_secret(secure), authorities=secure.authorities)
    fetched = await inside(
        opened,
        "fetch",
        limits,
        urls=["http://api.example/repos/mine", "http://api.example/user"],
        headers={"Authorization": "mine"},
    )
    text = SECRET.decode()
    looked = await inside(opened, "look_for", limits, parts=[text[:5], text[5:]])

    assert [seen["headers"]["authorization"] for seen in secure.requests] == [f"Bearer {text}"]  # type: ignore[index]
    assert "*" * len(SECRET) in fetched.value[0]
    assert "egress.path_unlisted" in fetched.value[1]
    assert looked.value == []
    for form in (text, SECRET.hex(), base64.b64encode(SECRET).decode()):
        assert form not in f"{fetched!r}"


async def test_a_secret_file_is_read_inside_and_masked_in_all_that_comes_out(
    opened: EgressSandbox,
) -> None:
    """Output, value, names, files and errors; plain, hex and base64."""
    limits = SandboxProfile(secret_files={"token": "secret://forge"})
    told = await inside(opened, "tell", limits, name="token")
    failed = await inside(opened, "fail", limits, name="token")

    stars = "*" * len(SECRET)
    assert told.verdict == "ok"
    assert told.value == {"value": stars, stars: "name"}
    assert told.files_out["copy"] == f"<{stars}>".encode()
    assert told.stderr == stars.encode()
    assert failed.error is not None
    assert failed.error.message == stars
    for form in (SECRET, SECRET.hex().encode(), base64.b64encode(b"x" + SECRET)[2:-4]):
        assert form not in f"{told!r}{failed!r}".encode()
    assert told.enforced["secret_files"] == {"token": "secret://forge"}


class OnlyRoot:
    """A gate that lets `/` through."""

    async def decide(self, request: EgressRequest) -> EgressDecision:
        return EgressDecision(permitted=request.path == "/", reason="test.gate")


async def test_a_gate_narrows_a_run(opened: EgressSandbox, plain: Host) -> None:
    at = f"http://plain.example:{plain.port}"
    result = await inside(
        opened,
        "fetch",
        profile(to_plain(plain)),
        gate=OnlyRoot(),
        urls=[f"{at}/", f"{at}/other"],
    )

    assert "test.gate" in result.value[1]
    assert [seen["path"] for seen in plain.requests] == ["/"]


async def test_nothing_is_left_however_it_ends(opened: EgressSandbox, plain: Host) -> None:
    """A value, a refusal and a cancellation leave no folder, process or sandbox."""
    limits = profile(to_plain(plain), wall_seconds=10)
    await inside(opened, "fetch", limits, urls=[f"http://plain.example:{plain.port}/"])
    with anyio.move_on_after(1.0):
        await inside(
            opened, "fetch", limits, urls=[f"http://plain.example:{plain.port}/"] * 5000
        )

    assert folders() == []
    assert leftovers() == []


async def test_the_record_names_the_rules_and_the_profile_asked_for(
    opened: EgressSandbox, plain: Host
) -> None:
    """Not the folder of one run: equal profiles have equal digests in the record."""
    limits = profile(to_plain(plain))
    result = await inside(opened, "fetch", limits, urls=[])

    assert result.enforced["profile"] == limits.digest
    assert result.enforced["network"] == limits.document()["network"]
    assert result.enforced["mounts"] == []
    assert limits.digest != SandboxProfile().digest


async def test_a_secret_without_a_value_runs_nothing(
    opened: EgressSandbox, secure: Host
) -> None:
    with pytest.raises(SandboxUnavailableError, match="secret://other"):
        await inside(
            opened,
            "tell",
            SandboxProfile(secret_files={"token": "secret://other"}),
            name="token",
        )


@pytest.mark.parametrize("backend", REPEATED)
async def test_a_backend_alone_refuses_what_it_cannot_give(backend: type, plain: Host) -> None:
    """Egress or a secret is never silently dropped."""
    job = PythonJob("egress_probes:fetch", {"urls": []}, (INSIDE,))
    async with backend() as sandbox:
        with pytest.raises(ProfileError, match="EgressSandbox"):
            await sandbox.run(job, profile(to_plain(plain)))
        with pytest.raises(ProfileError, match="EgressSandbox"):
            await sandbox.run(job, SandboxProfile(secret_files={"token": "secret://forge"}))


@pytest.mark.parametrize("backend", REPEATED)
async def test_a_pool_never_mixes_egress(backend: type, plain: Host) -> None:
    """Prewarmed sandboxes have no network; a run with egress is cold and has its own."""
    job = PythonJob(
        "egress_probes:fetch", {"urls": [f"http://plain.example:{plain.port}/"]}, (INSIDE,)
    )
    async with PrewarmedPool(backend()) as pool:
        sandbox = EgressSandbox(pool)
        first = await sandbox.run(job, SandboxProfile())
        with anyio.fail_after(40):
            while pool.metrics.waiting == 0:  # noqa: ASYNC110 - a pool tells no event
                await anyio.sleep(0.05)
        reaching = await sandbox.run(job, profile(to_plain(plain)))
        closed = await sandbox.run(job, SandboxProfile())

    assert "URLError" in first.value[0]
    assert "plain.example" in reaching.value[0]
    assert reaching.enforced["prewarmed"] is False
    assert closed.enforced["prewarmed"] is True
    assert "URLError" in closed.value[0]
