"""The sandboxed executor's own part: what goes in, what comes out, what is refused before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from boxed import injected, picky, work
from commanding import count_lines
from editing import note

from permissions.broker.mapping import targets_of
from permissions.errors import ExecutionError, ExecutionUnavailableError, ToolFailedError
from permissions.execution.base import Execution
from permissions.execution.code import CodeStage
from permissions.execution.file_copy import (
    MAX_INPUT_BYTES,
    inputs_of,
    relocated,
)
from permissions.execution.outcome import Copied, failed, outcome_of
from permissions.execution.overlay import hidden_names
from permissions.execution.sandboxed import SandboxedExecutor
from permissions.execution.secret_files import SecretFiles
from permissions.pdp.bundle import load_bundle
from sandbox import (
    CommandJob,
    ExecResult,
    ProfileError,
    RaisedError,
    Resources,
    RunRequest,
    Sandbox,
    SandboxProfile,
)
from sandbox.backends.bubblewrap import BubblewrapSandbox
from sandbox.network.decision import EgressReport, EgressRequest
from wardline import CommandOutput

if TYPE_CHECKING:
    from permissions.tools.definition import ToolDefinition
    from sandbox.workspace import WorkspaceOverlay

USED = Resources(wall_seconds=0.5, cpu_seconds=0.1, max_rss_bytes=1)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = (tmp_path / "work").resolve()
    (root / "docs" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "docs" / "b.txt").write_text("b")
    (root / "docs" / "deep" / "c.txt").write_text("c")
    (tmp_path / "secret").write_text("secret")
    (root / "docs" / "link").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    return root


def execution(
    workspace: Path,
    arguments: dict[str, Any],
    *,
    profile: str | None = None,
    definition: ToolDefinition | None = None,
) -> Execution:
    found = definition or work.guard.definition
    checked = found.validate(arguments)
    return Execution(
        definition=found,
        arguments=checked,
        targets=targets_of(found, checked, workspace),
        workspace=workspace,
        profile=profile,
        deadline_seconds=5,
        run="run-1",
    )


@pytest.fixture
def executor(tmp_path: Path) -> SandboxedExecutor:
    (tmp_path / "code").mkdir()
    wide = SandboxProfile(memory_bytes=512 * 1024 * 1024)
    return SandboxedExecutor(
        BubblewrapSandbox(), stage=CodeStage(tmp_path / "code"), profiles={"wide": wide}
    )


def test_what_will_be_enforced_is_known_before(
    executor: SandboxedExecutor, workspace: Path
) -> None:
    given = execution(
        workspace, {"source": "a.txt", "more": ["docs"], "target": "new/x"}, profile="wide"
    )

    found = executor.enforces(given)

    assert (found["boundary"], found["backend"], found["profile"]) == (
        "process",
        "bubblewrap",
        "wide",
    )
    assert len(found["code"]) == 32


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "outside": ({"source": "../secret"}, "have to be in the workspace"),
    "through a link": ({"source": "out/secret"}, "have to be in the workspace"),
    "one of a list, outside": ({"source": "a.txt", "more": ["../secret"]}, "in the workspace"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_paths_that_mean_nothing_inside_are_refused(
    case: tuple[dict[str, Any], str], executor: SandboxedExecutor, workspace: Path
) -> None:
    arguments = dict(case[0])

    with pytest.raises(ExecutionError, match=case[1]):
        executor.enforces(execution(workspace, arguments))


def test_an_unknown_profile_or_an_injected_argument_is_refused(
    executor: SandboxedExecutor, workspace: Path
) -> None:
    with pytest.raises(ExecutionUnavailableError, match="no sandbox profile 'huge'"):
        executor.enforces(execution(workspace, {"source": "a.txt"}, profile="huge"))
    definition = injected.guard.definition
    with pytest.raises(ExecutionError, match="cannot go into a sandbox"):
        executor.enforces(execution(workspace, {"text": "a"}, definition=definition))


def test_what_cannot_be_overlaid_is_refused_before(
    executor: SandboxedExecutor, workspace: Path, tmp_path: Path
) -> None:
    """A profile whose secrets would come out as changes, and a path that is never shown."""
    with_secrets = SandboxedExecutor(
        BubblewrapSandbox(),
        stage=CodeStage(tmp_path / "code"),
        profiles={"web": SandboxProfile(secret_files={"token": "secret://forge"})},
    )
    definition = note.guard.definition
    arguments = {"path": "n", "text": "x"}
    given = execution(workspace, arguments, definition=definition)
    with pytest.raises(ExecutionError, match="cannot be given secrets as files"):
        with_secrets.enforces(replace(given, profile="web"))
    with pytest.raises(ExecutionError, match="the workspace cannot be overlaid"):
        executor.enforces(replace(given, workspace=Path("/etc")))
    assert executor.enforces(given)["workspace"] == "overlay"


def test_what_is_the_brokers_own_is_hidden_by_the_name_at_the_top(workspace: Path) -> None:
    """Only names at the top can be hidden, so more is hidden rather than less."""
    inside = (workspace / ".wardline", workspace / "var/lib/state", workspace / "var/key.pem")

    assert hidden_names(workspace, (*inside, workspace.parent / "else")) == (".wardline", "var")
    for around in (workspace, workspace.parent):
        with pytest.raises(ExecutionError, match="folder of the broker's own"):
            hidden_names(workspace, (around,))


def test_a_link_to_the_brokers_own_is_followed(workspace: Path) -> None:
    (workspace / "kept").mkdir()
    (workspace.parent / "state").symlink_to(workspace / "kept")

    assert hidden_names(workspace, (workspace.parent / "state",)) == ("kept",)


def test_a_link_that_leads_to_the_brokers_own_is_hidden_too(workspace: Path) -> None:
    """Else a run could put a folder of its own in its place, for the next start."""
    outside = workspace.parent / "elsewhere"
    (outside / "deep").mkdir(parents=True)
    (workspace / "kept").symlink_to(outside)

    assert hidden_names(workspace, (workspace / "kept",)) == ("kept",)
    assert hidden_names(workspace, (workspace / "kept/deep",)) == ("kept",)


def test_what_the_call_names_goes_in_and_nothing_a_link_leads_to(workspace: Path) -> None:
    given = execution(workspace, {"source": "a.txt", "more": ["docs"], "target": "t"})

    found = inputs_of(given, private=()).contents()

    assert found == {"a.txt": b"a", "docs/b.txt": b"b", "docs/deep/c.txt": b"c"}


def test_what_is_the_brokers_own_does_not_go_in_with_its_folder(
    workspace: Path, tmp_path: Path
) -> None:
    """Its keys lie in the workspace by default, and a tool may well be given all of that."""
    (tmp_path / "code").mkdir()
    (workspace / "kept/keys").mkdir(parents=True)
    (workspace / "kept/keys/log").write_text("secret")
    own = SandboxedExecutor(
        BubblewrapSandbox(),
        stage=CodeStage(tmp_path / "code"),
        profiles={},
        private=(workspace / "kept",),
    )
    whole = execution(workspace, {"source": "a.txt", "more": ["."]})

    assert own.enforces(whole)
    assert "kept/keys/log" in inputs_of(whole, private=()).files
    assert "kept/keys/log" not in inputs_of(whole, private=(workspace / "kept",)).files
    for arguments in ({"source": "kept/keys/log"}, {"source": "a.txt", "target": "kept/x"}):
        with pytest.raises(ExecutionError, match="broker's own"):
            own.enforces(execution(workspace, arguments))


def test_paths_reach_the_tool_as_they_stand_inside(workspace: Path) -> None:
    absolute = str(workspace / "docs" / "b.txt")
    given = execution(workspace, {"source": absolute, "more": ["a.txt", absolute]})

    inside = relocated(given)

    assert inside["source"] == "docs/b.txt"
    assert inside["more"] == ["a.txt", "docs/b.txt"]


def test_a_file_of_a_command_is_not_read_as_an_option(
    executor: SandboxedExecutor, workspace: Path
) -> None:
    (workspace / "-v").write_text("x")
    arguments = {"word": "x", "path": "-v"}

    job = executor._job(
        execution(workspace, arguments, definition=count_lines.guard.definition)
    )

    assert job == CommandJob(("grep", "-c", "--", "x", "./-v"))


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("ok", "ok"), ("exit", "ok"), ("signal", "stopped"), ("oom", "stopped")],
)
def test_how_a_command_ended(workspace: Path, verdict: Any, status: str) -> None:
    """An exit code is an answer; a signal or a limit is none."""
    given = execution(
        workspace, {"word": "x", "path": "a.txt"}, definition=count_lines.guard.definition
    )
    result = ExecResult(
        verdict=verdict, exit_code=3, stdout=b"o\xff", resources=USED, enforced={}
    )

    outcome = outcome_of(given, result)

    assert outcome.status == status
    if status == "ok":
        assert outcome.value == CommandOutput(exit_code=3, stdout="o\ufffd", stderr="")


def test_a_file_that_is_written_again_keeps_its_mode(workspace: Path) -> None:
    (workspace / "a.txt").chmod(0o600)

    ended(workspace, {"target": "a.txt"}, verdict="ok", value=5, files_out={"a.txt": b"new"})

    assert (workspace / "a.txt").read_bytes() == b"new"
    assert (workspace / "a.txt").stat().st_mode & 0o777 == 0o600


def test_more_than_fits_is_refused(workspace: Path) -> None:
    with (workspace / "a.txt").open("wb") as file:
        file.truncate(MAX_INPUT_BYTES + 1)

    with pytest.raises(ExecutionError, match="more than 32 MiB"):
        inputs_of(execution(workspace, {"source": "a.txt"}), private=())


def ended(workspace: Path, arguments: dict[str, Any] | None = None, **result: Any) -> Any:
    given = execution(workspace, {"source": "a.txt", **(arguments or {})})
    copied = copied_of(given)
    made = ExecResult(**{"resources": USED, "enforced": {}, **result})
    return outcome_of(given, made, copied=copied)


def copied_of(given: Execution, hidden: SecretFiles | None = None) -> Copied:
    inputs = inputs_of(given, private=())
    return Copied(inputs, inputs.contents(), hidden)


def test_a_secret_by_its_whole_path_is_one_below_whatever_folder_was_named(
    workspace: Path,
) -> None:
    """`.dbt/profiles.yml` is, and so it is when a person let a tool write below `.dbt`."""
    (workspace / ".dbt").mkdir()
    given = execution(workspace, {"source": "a.txt", "target": ".dbt"})
    secrets = SecretFiles.of(load_bundle().data)
    files = {".dbt/profiles.yml": b"x", ".dbt/notes.txt": b"x"}

    outcome = outcome_of(
        given,
        ExecResult(verdict="ok", value=5, files_out=files, resources=USED, enforced={}),
        copied=copied_of(given, secrets),
    )

    assert outcome.notes == (".dbt/profiles.yml: it may hold secrets, by its name",)
    assert [each.name for each in (workspace / ".dbt").iterdir()] == ["notes.txt"]


def test_only_the_calls_own_target_comes_out(workspace: Path) -> None:
    files = {"new/x": b"new", "a.txt": b"changed", "../secret": b"changed"}

    outcome = ended(workspace, {"target": "new/x"}, verdict="ok", value=5, files_out=files)

    assert (outcome.status, outcome.value) == ("ok", 5)
    assert (workspace / "new" / "x").read_bytes() == b"new"
    assert (workspace / "a.txt").read_bytes() == b"a"
    assert (workspace.parent / "secret").read_text() == "secret"
    assert [each.name for each in (workspace / "new").iterdir()] == ["x"]


def test_a_file_that_cannot_be_put_back_leaves_no_draft(workspace: Path) -> None:
    before = sorted(workspace.iterdir())

    outcome = ended(
        workspace, {"target": "docs"}, verdict="ok", value=5, files_out={"docs": b"x"}
    )

    assert (outcome.status, outcome.value) == ("provider_failed", None)
    assert outcome.detail == "a file could not be put back: Is a directory"
    assert sorted(workspace.iterdir()) == before


def test_a_target_that_became_a_link_is_not_written_through(workspace: Path) -> None:
    given = execution(workspace, {"source": "a.txt", "target": "new"})
    copied = copied_of(given)
    (workspace / "new").symlink_to(workspace.parent / "secret")

    outcome = outcome_of(
        given,
        ExecResult(verdict="ok", value=5, files_out={"new": b"x"}, resources=USED, enforced={}),
        copied=copied,
    )

    assert outcome.status == "provider_failed"
    assert (workspace.parent / "secret").read_text() == "secret"


def test_a_value_of_another_type_is_no_result(workspace: Path) -> None:
    outcome = ended(workspace, verdict="ok", value="x-secret")

    assert outcome.status == "provider_failed"
    assert "x-secret" not in outcome.detail


CONNECTION = EgressReport(
    request=EgressRequest("connect", "api.example.com", 443),
    permitted=True,
    reason="egress.allowed",
    address="192.0.2.1",
    bytes_out=10,
    bytes_in=20,
    seconds=0.5,
    end="complete",
    number=1,
)
MADE: Any = {"resources": USED, "enforced": {}, "stdout": b"said", "egress": (CONNECTION,)}


def test_a_type_whose_own_code_fails_loses_nothing_of_the_run(workspace: Path) -> None:
    given = execution(workspace, {}, definition=picky.guard.definition)

    outcome = outcome_of(given, ExecResult(verdict="ok", value=5, **MADE))

    assert (outcome.status, outcome.value) == ("provider_failed", None)
    assert "a secret" not in outcome.detail
    assert [each.body["connection"] for each in outcome.effects] == [1]
    assert outcome.streams["stdout"] == b"said"


class Unreadable(Sandbox):
    """A sandbox whose run leaves a layer that cannot be read."""

    name = "unreadable"
    isolation = "process"

    def __init__(self, upper: Path) -> None:
        self._upper = upper

    async def probe(self) -> Any: ...

    async def start(self, request: RunRequest) -> Any:
        assert request.workspace is not None
        self._upper.touch()
        request.workspace.collect(os.open(self._upper, os.O_RDONLY), "user.overlay.")
        return self

    async def run(self, *_: Any, workspace: WorkspaceOverlay, **__: Any) -> ExecResult:
        await self.start(RunRequest(profile=SandboxProfile(), workspace=workspace))
        return ExecResult(verdict="ok", value="n", **MADE)

    async def aclose(self) -> None: ...


async def test_changes_that_cannot_be_read_lose_nothing_else_of_the_run(
    workspace: Path, tmp_path: Path
) -> None:
    sandbox: Any = Unreadable(tmp_path / "no folder")
    (tmp_path / "code").mkdir()
    unreadable = SandboxedExecutor(sandbox, stage=CodeStage(tmp_path / "code"), profiles={})
    arguments = {"path": "n", "text": "x"}

    outcome = await unreadable.execute(
        execution(workspace, arguments, definition=note.guard.definition)
    )

    assert (outcome.status, outcome.value, outcome.pending) == ("provider_failed", None, None)
    assert outcome.detail == "what it changed cannot be read: Not a directory"
    assert [each.body["connection"] for each in outcome.effects] == [1]


def test_an_exception_inside_is_the_tools_end_and_its_text_stays_out_of_the_open(
    workspace: Path,
) -> None:
    outcome = ended(workspace, verdict="raised", error=RaisedError("ValueError", "x-secret"))
    odd = ended(workspace, verdict="raised", error=RaisedError("x secret\n", "text"))

    assert (outcome.status, outcome.detail) == ("error", "ValueError")
    assert isinstance(outcome.error, ToolFailedError)
    assert odd.detail == "raised"


@pytest.mark.parametrize(
    "verdict", ["timeout", "cpu", "oom", "pids", "disk", "output", "signal"]
)
def test_a_limit_stops_the_call_in_the_supervisors_words(workspace: Path, verdict: Any) -> None:
    outcome = ended(
        workspace, verdict=verdict, limits_hit=("memory",), stdout=b"o", stderr=b"e"
    )

    assert (outcome.status, outcome.verdict, outcome.detail) == ("stopped", verdict, "memory")
    assert outcome.streams == {"stdout": b"o", "stderr": b"e"}


def test_what_was_enforced_is_recorded_without_fractions(workspace: Path) -> None:
    outcome = ended(
        workspace, verdict="ok", value=1, enforced={"cpus": 0.5, "limits": [1.0, {"a": 2.25}]}
    )

    assert outcome.enforced == {"cpus": "0.5", "limits": ["1", {"a": "2.25"}]}


def test_a_provider_that_quotes_a_file_name_is_not_quoted() -> None:
    outcome = failed(ProfileError("file name 'x-secret' is not plain"), verdict="profile")

    assert (outcome.status, outcome.detail) == ("provider_failed", "ProfileError")
    assert b"x-secret" in outcome.streams["fault"]
