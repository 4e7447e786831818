"""What always holds of a tool's changes: committed by a permit of their own, or never there."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from editing import editor, script
from effort import tries
from faults import findings, inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from overlays import fill, has_leftovers, tree

from permissions.errors import PdpTimeoutError, ToolFailedError
from permissions.model import Completed
from permissions.testing import asking, denied, permitted

if TYPE_CHECKING:
    from overlays import Tree

    from permissions.model import CallResult, JsonObject
    from permissions.trace.entry import TraceEntry

pytestmark = [pytest.mark.bwrap, pytest.mark.timeout(300)]

BEFORE = {"a": "one\n", "b": "two\n", "d/x": "x\n", "d/y": "y\n"}
EDITS = [
    "echo more >> a",
    "rm -f b",
    "echo new > n",
    "mkdir -p m/n && echo deep > m/n/f",
    "rm -rf d",
    "chmod 750 a",
    "ln -sfn a l",
    "rm -rf d && echo file > d",
    "cp a c",
    "true",
]
BLOCKED = ["mkfifo p", "ln -s /etc/passwd out", "mkdir -p .git && echo x > .git/config"]
FAILS = ["exit 3"]
ANSWERS = st.sampled_from(
    [
        permitted(),
        permitted(),
        denied(),
        asking(),
        asking("nobody"),
        {},
        None,
        {"decision": True},
        permitted({"id": "t.x", "type": "unheard_of", "properties": {}}),
        "late",
    ]
)


def answer(said: Any) -> Any:
    def decide(_: JsonObject) -> Any:
        if said == "late":
            raise PdpTimeoutError("late")
        return said

    return decide


@pytest.mark.slow
@settings(max_examples=tries(25))
@given(
    st.lists(st.sampled_from([*EDITS, *BLOCKED, *FAILS, *EDITS]), min_size=1, max_size=4),
    ANSWERS,
)
def test_committed_by_its_own_permit_or_never_there(edits: list[str], said: Any) -> None:
    """Without a commit the workspace is the same to the byte; with one, it is the run's."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        folder.chmod(0o755)
        workspace = fill(folder / "w", BEFORE)
        result, entries = anyio.run(run, workspace, folder / "code", edits, said)
        found = tree(workspace)
        before = tree(fill(folder / "before", BEFORE))
        after = as_in_place(fill(folder / "after", BEFORE), edits)
        left = has_leftovers(workspace)

    assert findings(entries) == []
    assert not left
    fates = [entry.body["fate"] for entry in entries if entry.body.get("kind") == "fate"]
    if fates == ["committed"]:
        assert found == after
        assert permits_of(entries) == digests_of(entries)
        assert isinstance(result, Completed)
    else:
        assert found == before
        assert not isinstance(result, Completed) or (fates == [] and after == before)


async def run(
    workspace: Path, code: Path, edits: list[str], said: Any
) -> tuple[CallResult | None, list[TraceEntry]]:
    result: CallResult | None = None
    async with editor(workspace, code, effects=answer(said)) as (broker, session):
        with suppress(ToolFailedError):
            result = await broker.call(session, script("set -e; " + "; ".join(edits)))
    return result, list(broker.trace.entries)


def as_in_place(folder: Path, edits: list[str]) -> Tree:
    """The folder after the same was done to it directly."""
    subprocess.run(["sh", "-c", "set -e; " + "; ".join(edits)], cwd=folder, check=False)
    return tree(folder) if not (folder / "p").exists() else {}


def permits_of(entries: list[TraceEntry]) -> list[str]:
    """Digests of the change sets that policy permitted, from the recorded inputs."""
    asked = [
        document["resource"]["properties"]
        for entry, document in inputs(entries)
        if entry.body["permitted"]
    ]
    return [each["digest"] for each in asked if "digest" in each]


def digests_of(entries: list[TraceEntry]) -> list[str]:
    """Digests of the change sets that were committed."""
    return [
        entry.links["change_set"].decode()
        for entry in entries
        if entry.body.get("fate") == "committed"
    ]
