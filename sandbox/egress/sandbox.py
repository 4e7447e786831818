"""A sandbox with egress: any backend, with a proxy around each run that may reach a host.

The backend itself knows nothing of it. It is given one more mount, the folder with the proxy's
socket, and the variables that programs look for; the runner finds a forwarder in that folder
and starts it. Everything that leaves the sandbox is scrubbed of the profile's secrets.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.egress.proxy import open_proxy
from sandbox.egress.scrub import Scrubber
from sandbox.errors import (
    FrameError,
    ProfileError,
    SandboxProviderError,
    SandboxUnavailableError,
)
from sandbox.profile import EGRESS, Mount
from sandbox.protocol import Sandbox
from sandbox.result import RaisedError, RefusedFile
from sandbox.supervisor.wire import encode_job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.egress.proxy import EgressProxy
    from sandbox.egress.secrets import SecretStore
    from sandbox.network.decision import EgressReport, Gate
    from sandbox.network.rules import Egress
    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Availability, RunRequest, StartedSandbox
    from sandbox.result import ExecResult
    from sandbox.supervisor.wire import EncodedJob

START_SECONDS = 60.0
"""Added to a run's own time for the lease of the socket's folder."""

PROXY = "http://127.0.0.1:3128"
"""Where the forwarder listens inside; the port that proxies have had since Squid."""

AUTHORITIES = "authorities.pem"
_SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)

VARIABLES = {
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), PROXY),
    **dict.fromkeys(
        ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), f"{EGRESS}/{AUTHORITIES}"
    ),
}
"""Conveniences, no boundary: a job that ignores them reaches nothing."""


class EgressSandbox(Sandbox):
    """A `Sandbox` over another one, which it owns; it also runs profiles with an `Egress`.

    Entering it starts nothing.

    Args:
        backend: runs the jobs; closed with this one.
        secrets: values of the handles that profiles name.
    """

    def __init__(self, backend: Sandbox, *, secrets: SecretStore | None = None) -> None:
        self.name = backend.name
        self.isolation = backend.isolation
        self._backend = backend
        self._secrets = secrets

    async def probe(self) -> Availability:
        """See `Sandbox`."""
        return await self._backend.probe()

    async def aclose(self) -> None:
        """See `Sandbox`."""
        await self._backend.aclose()

    async def start(self, request: RunRequest) -> StartedSandbox:
        """See `Sandbox`. `gate` may refuse, per connection, what the profile allows.

        Egress and secrets are opened for one run, so a session has neither.

        Raises:
            ProfileError: secrets as files beside a workspace, which would take them out unseen.
            SandboxUnavailableError: a secret of the profile has no value, or a session is
                asked to have one, or egress; nothing ran.
        """
        profile = request.profile
        if profile.network == "none" and not profile.secret_files:
            started = await self._backend.start(replace(request, gate=None))
            return started if request.session is not None else _Watched(started, profile)
        if request.session is not None:
            raise SandboxUnavailableError(
                "a session has no egress and no secrets",
                "give it a profile without them, or use a single-use sandbox",
            )
        if request.workspace is not None and profile.secret_files:
            raise ProfileError("secret files and a workspace cannot be given to one run")
        values = self._values(profile)
        secret_files = {path: values[name] for path, name in profile.secret_files.items()}
        inner = replace(profile, secret_files={})
        async with AsyncExitStack() as stack:
            reports: list[EgressReport] = []
            if profile.network != "none":
                proxy = await self._proxy(profile, profile.network, request.gate, stack)
                reports = proxy.reports
                inner = replace(
                    inner,
                    environment={**VARIABLES, **profile.environment},
                    mounts=(*profile.mounts, Mount(proxy.folder, EGRESS)),
                )
            started = await self._backend.start(replace(request, profile=inner, gate=None))
            return _Watched(
                started,
                profile,
                inner=inner,
                secret_files=secret_files,
                scrubber=Scrubber(values.values()),
                reports=reports,
                held=stack.pop_all(),
            )

    async def _proxy(
        self, profile: SandboxProfile, egress: Egress, gate: Gate | None, stack: AsyncExitStack
    ) -> EgressProxy:
        """Starts the proxy of one run, until `stack` is closed."""
        if any(mount.target == EGRESS for mount in profile.mounts):
            raise ProfileError(f"mount target {EGRESS!r} is the sandbox's own")
        proxy = await stack.enter_async_context(
            open_proxy(
                egress,
                wall_seconds=profile.wall_seconds + START_SECONDS,
                secrets=self._secrets,
                gate=gate,
            )
        )
        _furnish(proxy.folder, egress)
        return proxy

    def _values(self, profile: SandboxProfile) -> dict[str, bytes]:
        handles = set(profile.secret_files.values())
        if profile.network != "none":
            handles |= profile.network.handles
        if handles and self._secrets is None:
            raise SandboxUnavailableError(
                f"the profile names {min(handles)}, and there is no secret store",
                "give the EgressSandbox one: EnvironmentSecrets(), FileSecrets(folder)",
            )
        return {
            handle: self._secrets.get(handle).reveal()
            for handle in sorted(handles)
            if self._secrets is not None
        }


class _Watched:
    """See `StartedSandbox`. Its secrets go in with the job, and never come out.

    Used once: when `run` returns, sandbox and proxy are gone and every connection is reported.
    """

    def __init__(
        self,
        started: StartedSandbox,
        profile: SandboxProfile,
        *,
        inner: SandboxProfile | None = None,
        secret_files: Mapping[str, bytes] = MappingProxyType({}),
        scrubber: Scrubber | None = None,
        reports: list[EgressReport] | None = None,
        held: AsyncExitStack | None = None,
    ) -> None:
        self._started = started
        self._profile = profile
        self._inner = inner or profile
        self._secret_files = secret_files
        self._scrubber = scrubber or Scrubber(())
        self._reports = [] if reports is None else reports
        self._held = held or AsyncExitStack()

    def is_alive(self) -> bool:
        return self._started.is_alive()

    async def run(self, job: EncodedJob) -> ExecResult:
        if self._secret_files:
            job = self._with_secrets(job)
        try:
            result = await self._started.run(job)
        finally:
            await self.destroy()
        return _finished(result, self._profile, self._scrubber, self._reports)

    def _with_secrets(self, job: EncodedJob) -> EncodedJob:
        for path in self._secret_files:
            if path in job.files:
                raise ProfileError(f"file {path!r:.120} is a secret of the profile")
        files = {**job.files, **self._secret_files}
        whole = encode_job(job.job, self._inner, files=files)
        return replace(job, job=whole.job, files=whole.files, pieces=whole.pieces)

    async def destroy(self) -> None:
        try:
            await self._started.destroy()
        finally:
            await self._held.aclose()


def _furnish(folder: Path, egress: Egress) -> None:
    """Puts forwarder and certificate authorities beside the socket: inside is no /etc/ssl.

    Raises:
        SandboxProviderError: there is no room for them.
    """
    found = (ssl.get_default_verify_paths().cafile, *_SYSTEM_AUTHORITIES)
    system = next((path for path in map(Path, filter(None, found)) if path.is_file()), None)
    forwarder = resources.files("sandbox.guest").joinpath("forwarder.py").read_text("utf-8")
    try:
        text = system.read_text("utf-8", errors="replace") if system is not None else ""
        for name, content in (
            (AUTHORITIES, f"{text}\n{egress.authorities}"),
            ("forwarder.py", forwarder),
        ):
            file = folder / name
            file.write_text(content, "utf-8")
            file.chmod(0o644)
    except OSError as err:
        raise SandboxProviderError(
            f"the folder of the proxy cannot be written: {err.strerror}"
        ) from err


def _finished(
    result: ExecResult,
    profile: SandboxProfile,
    scrubber: Scrubber,
    reports: list[EgressReport],
) -> ExecResult:
    """The result with its connections, what was enforced as it was asked for, and no secret.

    Raises:
        FrameError: the value is nested too deeply to be looked through.
    """
    document = profile.document()
    enforced = {
        **result.enforced,
        "profile": profile.digest,
        "network": document["network"],
        "mounts": [mount.target for mount in profile.mounts],
        "secret_files": document["secret_files"],
    }
    result = replace(result, enforced=enforced, egress=tuple(reports))
    return scrubbed(result, scrubber) if scrubber.longest else result


def scrubbed(result: ExecResult, scrubber: Scrubber) -> ExecResult:
    """A result with the secrets masked in everything that came out of the sandbox.

    Raises:
        FrameError: the value is nested too deeply to be looked through.
    """
    error = result.error
    try:
        value = scrubber.scrub_json(result.value)
    except RecursionError as err:
        raise FrameError("the sandbox sent a value that is nested too deeply") from err
    return replace(
        result,
        value=value,
        error=error
        and RaisedError(
            scrubber.scrub_text(error.type),
            scrubber.scrub_text(error.message),
            scrubber.scrub_text(error.traceback),
        ),
        stdout=scrubber.scrub(result.stdout),
        stderr=scrubber.scrub(result.stderr),
        files_out={
            scrubber.scrub_text(path): scrubber.scrub(data)
            for path, data in result.files_out.items()
        },
        refused=tuple(
            RefusedFile(scrubber.scrub_text(entry.path), entry.reason)
            for entry in result.refused
        ),
    )
