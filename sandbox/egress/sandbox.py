"""A sandbox with egress: any backend, with a proxy around each run that may reach a host.

The backend itself knows nothing of it. It is given one more mount, the folder with the proxy's
socket, and the variables that programs look for; the runner finds a forwarder in that folder
and starts it. Everything that leaves the sandbox is scrubbed of the profile's secrets.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.abc import AsyncResource

from sandbox.egress.proxy import open_proxy
from sandbox.egress.scrub import Scrubber
from sandbox.errors import (
    FrameError,
    ProfileError,
    SandboxProviderError,
    SandboxUnavailableError,
)
from sandbox.profile import EGRESS, Mount
from sandbox.protocol import keeping
from sandbox.result import RaisedError, RefusedFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sandbox.egress.secrets import SecretStore
    from sandbox.job import Job
    from sandbox.network.decision import EgressReport, Gate
    from sandbox.network.rules import Egress
    from sandbox.profile import SandboxProfile
    from sandbox.protocol import Armed, Availability, Sandbox
    from sandbox.result import ExecResult, Isolation
    from sandbox.session import SessionBounds
    from sandbox.workspace.overlay import WorkspaceOverlay

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
"""Conveniences, not walls: a job that ignores them reaches nothing."""


class EgressSandbox(AsyncResource):
    """A `Sandbox` over another one, which it owns; it also runs profiles with an `Egress`.

    Entering it starts nothing.

    Args:
        backend: runs the jobs; closed with this one.
        secrets: values of the handles that profiles name.
    """

    def __init__(self, backend: Sandbox, *, secrets: SecretStore | None = None) -> None:
        self.name = backend.name
        self.isolation: Isolation = backend.isolation
        self._backend = backend
        self._secrets = secrets

    async def probe(self) -> Availability:
        """See `Sandbox`."""
        return await self._backend.probe()

    async def aclose(self) -> None:
        """See `Sandbox`."""
        await self._backend.aclose()

    async def keep(
        self,
        profile: SandboxProfile,
        *,
        code_roots: Sequence[Path],
        preload: Sequence[str],
        bounds: SessionBounds,
    ) -> Armed:
        """See `KeepingSandbox`. Egress and secrets are opened for one run, never for a session.

        Raises:
            SandboxUnavailableError: the profile has either.
        """
        if profile.network != "none" or profile.secret_files:
            raise SandboxUnavailableError(
                "a session has no egress and no secrets",
                "give it a profile without them, or use a sandbox once",
            )
        return await keeping(self._backend).keep(
            profile, code_roots=code_roots, preload=preload, bounds=bounds
        )

    async def run(
        self,
        job: Job,
        profile: SandboxProfile,
        *,
        files: Mapping[str, bytes] | None = None,
        workspace: WorkspaceOverlay | None = None,
        gate: Gate | None = None,
    ) -> ExecResult:
        """See `Sandbox`. `gate` may refuse, per connection, what the profile allows.

        Raises:
            ProfileError: secrets as files beside a workspace, which would take them out unseen.
            SandboxUnavailableError: a secret of the profile has no value; nothing ran.
        """
        if workspace is not None and profile.secret_files:
            raise ProfileError("secret files and a workspace cannot be given to one run")
        values = self._values(profile)
        given = dict(files or {})
        for path, handle in profile.secret_files.items():
            if path in given:
                raise ProfileError(f"file {path!r:.120} is a secret of the profile")
            given[path] = values[handle]
        scrubber = Scrubber(values.values())
        if profile.network == "none":
            inner = replace(profile, secret_files={})
            result = await self._backend.run(job, inner, files=given, workspace=workspace)
            return _finished(result, profile, scrubber, [])
        if any(mount.target == EGRESS for mount in profile.mounts):
            raise ProfileError(f"mount target {EGRESS!r} is the sandbox's own")
        async with self._way(profile, profile.network, gate) as (inner, reports):
            result = await self._backend.run(job, inner, files=given, workspace=workspace)
        return _finished(result, profile, scrubber, reports)

    @asynccontextmanager
    async def _way(
        self, profile: SandboxProfile, egress: Egress, gate: Gate | None
    ) -> AsyncIterator[tuple[SandboxProfile, list[EgressReport]]]:
        async with open_proxy(
            egress,
            wall_seconds=profile.wall_seconds + START_SECONDS,
            secrets=self._secrets,
            gate=gate,
        ) as proxy:
            _furnish(proxy.folder, egress)
            inner = replace(
                profile,
                environment={**VARIABLES, **profile.environment},
                mounts=(*profile.mounts, Mount(proxy.folder, EGRESS)),
                secret_files={},
            )
            yield inner, proxy.reports

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
            place = folder / name
            place.write_text(content, "utf-8")
            place.chmod(0o644)
    except OSError as err:
        raise SandboxProviderError(f"egress cannot be set up: {err.strerror}") from err


def _finished(
    result: ExecResult,
    profile: SandboxProfile,
    scrubber: Scrubber,
    reports: list[EgressReport],
) -> ExecResult:
    """The result with its connections, the walls as they were asked for, and no secret.

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
