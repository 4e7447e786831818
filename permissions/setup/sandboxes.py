"""Which sandboxes this machine can give, by boundary, and the configured profiles.

Asked for only when a tool needs one: an engine that is silent delays nobody else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, assert_never

import anyio

from permissions.errors import ConfigError
from permissions.logs import get_logger
from permissions.vocabulary import ISOLATION_ORDER
from sandbox import (
    Availability,
    Mount,
    ProfileError,
    SandboxError,
    SandboxProfile,
    SandboxUnavailableError,
    SessionLimits,
)
from sandbox.backends.vm_kernel import KernelSandbox, kernel_runtime
from sandbox.egress import Egress, EgressRule, HeaderSecret
from sandbox.egress.sandbox import EgressSandbox
from sandbox.egress.secrets import EnvironmentSecrets, FileSecrets
from sandbox.pool.pool import PrewarmedPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AsyncExitStack
    from pathlib import Path

    from permissions.setup.config import BrokerConfig, EgressConfig, ProfileConfig
    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import Isolation
    from sandbox import Sandbox

_log = get_logger("sandboxes")

MOST_PREWARMED = 8
"""Prewarmed sandboxes of one backend, of all tools together; each holds its own Python in memory."""


DETECT_SECONDS = 10.0
"""For all backends together to say whether they can be used; who has not answered cannot."""


def need_isolation(tools: Iterable[ToolDefinition], data: Mapping[str, Any]) -> bool:
    """Whether any tool declares a sandbox, or has to have one by the policies' tables.

    Only then is an engine or a runtime asked for anything. A policy that puts a tool into a
    sandbox by a rule of its own, and no table, meets a broker without any: the call is refused.

    Args:
        tools: of the broker.
        data: of the policy bundle.
    """
    tables = data.get("wardline", {}).get("tables", {})
    minimum = tables.get("isolation", {}).get("minimum", {})
    for tool in tools:
        # As the rule has it: a table that says nothing asks for the strongest.
        least = minimum.get(tool.effect, {}).get(tool.impact, "kernel")
        is_command = any(target.kind == "command" for target in tool.targets.values())
        by_command = tables.get("shell", {}).get("isolation", "none") if is_command else "none"
        if {tool.isolation, least, by_command} != {"none"}:
            return True
    return False


async def available(config: BrokerConfig, stack: AsyncExitStack) -> dict[Isolation, Sandbox]:
    """Opens each configured backend that can run here. The first one of a boundary wins.

    All are asked at once, under one deadline. Unless the configuration says otherwise, each
    prewarms sandboxes for the tools in use.
    """
    found: dict[Isolation, Sandbox] = {}
    folder = config.sandbox.secrets
    secrets = EnvironmentSecrets() if folder is None else FileSecrets(folder)
    backends: dict[str, Sandbox] = {name: _backend(name) for name in config.sandbox.backends}
    answers = await _probed(backends)
    for name, backend in backends.items():
        answer = answers[name]
        missing = answer.missing
        if answer.available and name == "oci":  # else an engine, which has the image, is used
            missing = next(filter(None, map(_unprepared, profiles(config).values())), "")
        if missing or not answer.available:
            _log.info("sandbox_missing", backend=name, missing=missing)
            await backend.aclose()
            continue
        if (runtime := kernel_runtime(answer.facts)) is not None:
            strong = EgressSandbox(KernelSandbox(backend, runtime), secrets=secrets)
            found.setdefault("kernel", strong)
        prewarmed = config.sandbox.prewarmed
        if prewarmed == 0 or backend.isolation in found:
            stack.push_async_callback(backend.aclose)
            found.setdefault(backend.isolation, EgressSandbox(backend, secrets=secrets))
            continue
        pool = PrewarmedPool(backend, minimum=prewarmed, maximum=max(prewarmed, MOST_PREWARMED))
        opened = await stack.enter_async_context(pool)
        found[backend.isolation] = EgressSandbox(opened, secrets=secrets)
    return found


async def sandbox_for(
    config: BrokerConfig, wanted: Isolation, stack: AsyncExitStack
) -> Sandbox:
    """The weakest boundary at hand that is strong enough, for a program that lives long.

    Raises:
        ConfigError: this machine has none.
    """
    single = config.sandbox.model_copy(update={"prewarmed": 0})
    found = await available(config.model_copy(update={"sandbox": single}), stack)
    for level in ISOLATION_ORDER[ISOLATION_ORDER.index(wanted) :]:
        if level in found:
            return found[level]
    raise ConfigError(
        f'sandbox = "{wanted}" is asked for, and this machine gives'
        f" {', '.join(found) or 'none'}; see `wardline doctor`"
    )


async def _probed(backends: Mapping[str, Sandbox]) -> dict[str, Availability]:
    silent = Availability(
        available=False,
        facts={},
        missing=f"it did not answer within {DETECT_SECONDS:g} s",
        remedy="see whether its engine runs",
    )
    answers = dict.fromkeys(backends, silent)

    async def ask(name: str, backend: Sandbox) -> None:
        answers[name] = await backend.probe()

    with anyio.move_on_after(DETECT_SECONDS):
        async with anyio.create_task_group() as group:
            for name, backend in backends.items():
                group.start_soon(ask, name, backend)
    return answers


async def unusable_profiles(named: Mapping[str, SandboxProfile]) -> dict[str, str]:
    """Profiles whose image is missing or has another Python, by name, and what to do.

    Nothing is asked when no profile names an image. An image without our label is asked for
    its Python when a sandbox of it starts, which is before any call in it.
    """
    with_image = {name: each for name, each in named.items() if _unprepared(each)}
    if not with_image:
        return {}
    from sandbox.backends.docker import DockerSandbox

    found = {}
    async with DockerSandbox() as docker:
        for name, profile in with_image.items():
            try:
                with anyio.fail_after(DETECT_SECONDS):
                    await docker.check_image(profile)
            except TimeoutError:  # likewise: of the moment
                _log.warning("sandbox_profile_unknown", profile=name, fault="no answer in time")
            except (SandboxUnavailableError, ProfileError) as err:
                found[name] = str(err)[:500]
                _log.warning("sandbox_profile_unusable", profile=name, fault=str(err)[:500])
            except SandboxError as err:  # of the moment: each call is asked again
                _log.warning("sandbox_profile_unknown", profile=name, fault=str(err)[:500])
    return found


def _unprepared(profile: SandboxProfile) -> str:
    """What is missing of the root file system of a profile's image; "" when it needs none."""
    if profile.image is None:
        return ""
    from sandbox.backends.oci.roots import find

    try:
        find(profile.image)
    except SandboxUnavailableError as err:
        return err.missing
    return ""


def profiles(config: BrokerConfig) -> dict[str, SandboxProfile]:
    """The named profiles of the configuration.

    Raises:
        ConfigError: one promises what no sandbox can keep.
    """
    found = {}
    for name, entry in config.sandbox.profiles.items():
        try:
            found[name] = _profile(entry)
        except (ProfileError, OSError) as err:
            raise ConfigError(f"sandbox profile {name!r}: {err}") from err
    return found


def secret_value(config: BrokerConfig, handle: str) -> str:
    """The value of a secret handle, for the edge that uses it.

    Raises:
        ConfigError: it has none, or one that no header takes.
    """
    folder = config.sandbox.secrets
    secrets = EnvironmentSecrets() if folder is None else FileSecrets(folder)
    try:
        value = secrets.get(handle).reveal().decode("ascii")
    except (SandboxError, UnicodeDecodeError) as err:
        said = err if isinstance(err, SandboxError) else "its value is no header's"
        raise ConfigError(f"{handle[:80]}: {said}") from None
    if not value.isprintable():
        raise ConfigError(f"{handle[:80]}: its value is no header's")
    return value


SERVER = "/server"
"""Where a hosted program finds the folder it was installed in."""


def hosted_profile(
    config: BrokerConfig,
    name: str | None,
    *,
    folder: Path | None,
    environment: Mapping[str, str],
) -> SandboxProfile:
    """The profile of a program that lives long.

    Args:
        config: the settings.
        name: of a profile there; without one it has no network, half a GiB and a day.
        folder: shown read-only.
        environment: its variables.

    Raises:
        ConfigError: there is no such profile, or the folder or a variable may not be given.
    """
    named = profiles(config)
    if name is not None and name not in named:
        raise ConfigError(f"there is no sandbox profile {name!r} under [sandbox.profiles]")
    tightest = SandboxProfile(
        memory_bytes=512 * 1024 * 1024, cpu_seconds=3600, wall_seconds=86_400, processes=128
    )
    try:
        return replace(
            tightest if name is None else named[name],
            mounts=() if folder is None else (Mount(folder.resolve(), SERVER),),
            environment=dict(environment),
        )
    except ProfileError as err:
        raise ConfigError(f"a sandboxed server: {err}") from err


def session_limits(config: BrokerConfig) -> SessionLimits:
    """How long the sandbox of a stateful tool lives."""
    session = config.sandbox.session
    return SessionLimits(
        calls=session.calls,
        idle_seconds=session.idle_seconds,
        total_seconds=session.total_seconds,
        cpu_seconds=session.cpu_seconds,
    )


def _profile(entry: ProfileConfig) -> SandboxProfile:
    path = entry.authorities
    return SandboxProfile(
        image=entry.image,
        network=Egress(
            allow=tuple(_rule(rule) for rule in entry.egress.values()),
            authorities="" if path is None else path.read_text("ascii", errors="replace"),
        )
        if entry.egress
        else "none",
        memory_bytes=entry.memory_mb * 1024 * 1024,
        processes=entry.processes,
        cpus=entry.cpus,
        cpu_seconds=entry.cpu_seconds,
        wall_seconds=entry.wall_seconds,
        secret_files=entry.secret_files,
    )


def _rule(entry: EgressConfig) -> EgressRule:
    secret = None
    if entry.secret is not None:
        secret = HeaderSecret(
            handle=entry.secret, name=entry.secret_header, prefix=entry.secret_prefix
        )
    return EgressRule(
        host=entry.host,
        mode=entry.mode,
        ports=() if entry.port is None else (entry.port,),
        methods=entry.methods,
        path_prefix=entry.path_prefix,
        secret=secret,
        unsafe_address=entry.unsafe_address,
    )


def _backend(name: Literal["oci", "docker", "bubblewrap"]) -> Sandbox:
    match name:
        case "oci":
            from sandbox.backends.oci import OciSandbox

            return OciSandbox()
        case "docker":
            from sandbox.backends.docker import DockerSandbox

            return DockerSandbox()
        case "bubblewrap":
            from sandbox.backends.bubblewrap import BubblewrapSandbox

            return BubblewrapSandbox()
        case _:
            assert_never(name)
