"""Runs a recorded call again: in a fresh sandbox of today, on recorded files, without a network.

No policy is asked and nothing is recorded: it is a responder's experiment. What it does to files
happens in a folder of its own, or in an overlay that is discarded.

Not the same as then: the clock, the machine, installed packages outside of an image, and other
files of the sandbox. What a tool got from the network is not recorded, so that it gets none.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from permissions.broker.entries import error_text
from permissions.broker.result import forms
from permissions.errors import ConfigError, ExecutionError
from permissions.execution.base import Execution
from permissions.execution.code import CodeStage, RecordedCode
from permissions.execution.file_copy import inputs_of
from permissions.execution.recorded_inputs import of_copies, restore
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.execution.secret_files import SecretFiles
from permissions.replay.rerun import Observed
from permissions.setup.layout import StateLayout, control_plane
from permissions.setup.policies import load_policies
from permissions.setup.sandboxes import available, profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from permissions.execution.base import Outcome
    from permissions.model import JsonObject
    from permissions.setup.config import BrokerConfig
    from permissions.tools.definition import Arguments, ToolDefinition
    from sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """What is needed to run a call again.

    Attributes:
        definition: of the tool, from code of today.
        arguments: as they were given, fit to its schema.
        targets: what they led to then.
        boundary: behind which it ran.
        profile: of the sandbox; None for the tightest.
        code: digest of the code that ran; None for a command.
        inputs: the files it started from; None when they are not recorded.
    """

    definition: ToolDefinition
    arguments: Arguments
    targets: tuple[JsonObject, ...]
    boundary: str
    profile: str | None
    code: str | None
    inputs: JsonObject | None


@dataclass(slots=True)
class Again:
    """The runs of today.

    Attributes:
        backend: what ran them.
        runs: what each came to.
        notes: in which they are not like the recorded one.
    """

    backend: str = ""
    runs: list[Observed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def run_again(
    config: BrokerConfig,
    call: RecordedCall,
    *,
    times: int,
    workspace: Path | None = None,
    current_code: bool = False,
    on_run: Callable[[int], None] = lambda _: None,
) -> Again:
    """Runs a call some times, each in a sandbox of its own.

    Args:
        config: settings of today: sandboxes, profiles, the folder with the code that ran.
        call: what to run.
        times: how often.
        workspace: a folder to start from instead of the recorded files; it is not written to.
        current_code: run the tool's code of today.
        on_run: hears of each run that is done.

    Raises:
        ConfigError: it cannot be run here; the text says what is missing.
        ExecutionError: what it needs is not there, or too large.
    """
    if workspace is None and call.inputs is None:
        raise ConfigError(
            "the files it started from are not recorded; name a folder that has them as"
            " --workspace, and set `trace.inputs = true` for calls to come"
        )
    again = Again()
    given = None if workspace is None else _real(workspace)
    async with AsyncExitStack() as stack:
        quiet = config.sandbox.model_copy(update={"prewarmed": 0})
        sandboxes = await available(config.model_copy(update={"sandbox": quiet}), stack)
        sandbox = sandboxes.get(call.boundary)  # type: ignore[call-overload]
        if sandbox is None:
            raise ConfigError(
                f"it ran behind the boundary `{call.boundary}`, and this machine gives"
                f" {', '.join(sandboxes) or 'none'}; see `wardline doctor`"
            )
        again.backend = sandbox.name
        executor = _executor(config, call, sandbox, again, current_code=current_code)
        for number in range(times):
            with tempfile.TemporaryDirectory(prefix="wardline-rerun-") as folder:
                top = _real(folder)
                seen, altered = await _once(config, call, executor, top=top, given=given)
            again.runs.append(seen)
            again.notes += [
                f"{each} is not as it was: a secret was replaced" for each in altered
            ]
            on_run(number + 1)
    again.notes = list(dict.fromkeys(again.notes))
    return again


def _executor(
    config: BrokerConfig,
    call: RecordedCall,
    sandbox: Sandbox,
    again: Again,
    *,
    current_code: bool,
) -> SandboxedExecutor:
    known = profiles(config)
    if call.profile is not None and call.profile not in known:
        raise ConfigError(
            f"it ran in the sandbox profile {call.profile!r}, which the settings do not describe"
        )
    layout = StateLayout(config.state)
    stage = CodeStage(layout.code)
    if call.code is not None and current_code:
        again.notes.append("the tool's code is that of today")
    elif call.code is not None:
        stage = RecordedCode(layout.code, call.code)
    for each in known.values():
        if each.network != "none" or each.secret_files:
            again.notes.append(
                "no network and no secrets: what it got from there is not recorded"
            )
    return SandboxedExecutor(
        sandbox,
        stage=stage,
        profiles={
            name: replace(each, network="none", secret_files={}) for name, each in known.items()
        },
        code_roots=config.sandbox.code_roots,
        private=control_plane(config),
        hidden=config.sandbox.hidden,
        journals=layout.commits,
        secrets=SecretFiles.of(load_policies(config).bundle.data, config.sandbox.hidden),
        records_inputs=True,
    )


async def _once(
    config: BrokerConfig,
    call: RecordedCall,
    executor: SandboxedExecutor,
    *,
    top: Path,
    given: Path | None,
) -> tuple[Observed, list[str]]:
    """Once, from files that are written out for it or in an overlay of a folder that is given.

    Returns:
        What it came to, and which files it did not start from as they were.
    """
    altered: list[str] = []
    if given is not None and call.definition.workspace == "overlay":
        top = given
    else:
        inputs = call.inputs
        if given is not None:
            inputs = of_copies(inputs_of(_execution(config, call, given), ()).contents())
        if inputs is None:
            raise ExecutionError("the files it starts from are more than 2 MiB")
        try:
            altered = restore(inputs, top)
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise ConfigError(f"the recorded files cannot be used: {err}") from err
    outcome = await executor.execute(_execution(config, call, top))
    seen = observed(call.definition, outcome)
    if outcome.pending is not None:
        await outcome.pending.discard()
    return seen, altered


def _real(folder: Path | str) -> Path:
    return Path(os.path.realpath(folder))


def _execution(config: BrokerConfig, call: RecordedCall, workspace: Path) -> Execution:
    targets = [
        {**each, "resolved": str(workspace / each["relative"])}
        if each["kind"] == "path" and each.get("relative") is not None
        else each
        for each in call.targets
    ]
    return Execution(
        definition=call.definition,
        arguments=call.arguments,
        targets=targets,
        workspace=workspace,
        profile=call.profile,
        deadline_seconds=config.call_deadline_seconds,
        run="rerun",
    )


def observed(definition: ToolDefinition, outcome: Outcome) -> Observed:
    """What an outcome is in the words of a comparison."""
    files: dict[str, str] = {}
    for effect in outcome.effects:
        if effect.body.get("kind") == "inputs":
            files = json.loads(effect.contents.get("outputs", b"{}"))
    pending = None if outcome.pending is None else outcome.pending.changes
    if pending is not None:
        files = files_of(pending.document)
    value: Any = None
    if outcome.status in ("ok", "discarded"):
        value = forms(definition.output_adapter, outcome.value)[0]
    return Observed(
        status=outcome.status,
        verdict=outcome.verdict,
        value=value,
        error="" if outcome.error is None else error_text(outcome.error),
        streams={name: text_of(data) for name, data in outcome.streams.items() if data},
        files=files,
    )


def files_of(changes: Mapping[str, Any]) -> dict[str, str]:
    """A change set's document as paths and what became of each."""
    return {
        f"{each['path']}": "deleted"
        if each["kind"] == "deleted"
        else " ".join(
            str(each[name]) for name in ("type", "mode", "digest", "target") if each.get(name)
        )
        for each in changes.get("entries", ())
    }


def text_of(data: bytes) -> str:
    """What a stream holds, with bytes that are no text shown as escapes."""
    return data.decode("utf-8", "backslashreplace")
