"""What both packages export, and what importing them costs."""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import TYPE_CHECKING

import pytest

import sandbox
import wardline

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

WARDLINE = [
    "AmountArg",
    "ApprovalError",
    "ArgumentsError",
    "Broker",
    "BrokerConfig",
    "BrokerError",
    "CallDenied",
    "CallResult",
    "CommandArg",
    "CommandOutput",
    "Completed",
    "ConfigError",
    "Decision",
    "Denial",
    "HostArg",
    "NoSessionError",
    "PathArg",
    "PermissionBroker",
    "PolicyLoadError",
    "Reason",
    "RecipientArg",
    "Subject",
    "ToolDefinition",
    "ToolDefinitionError",
    "ToolFailedError",
    "TraceError",
    "tool",
]
SANDBOX = [
    "Availability",
    "CommandJob",
    "ExecResult",
    "FrameError",
    "Isolation",
    "Job",
    "Mount",
    "ProfileError",
    "PythonJob",
    "RaisedError",
    "RefusedFile",
    "Resources",
    "Sandbox",
    "SandboxError",
    "SandboxProfile",
    "SandboxProviderError",
    "SandboxSession",
    "SandboxUnavailableError",
    "SessionBounds",
    "SessionEndedError",
    "Verdict",
]

HEAVY = {
    "anyio",
    "cryptography",
    "docker",
    "jsonschema",
    "langchain_core",
    "langgraph",
    "opa_client",
    "pydantic",
    "re2",
    "regorus",
    "rich",
    "sandbox",
    "typer",
}
"""Nothing of this may be loaded by `import wardline`, nor by decorating a function."""

_PROBE = """
import json, sys, time
before = time.process_time()
import wardline
{use}
after = time.process_time()
print(json.dumps([after - before, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""
_DECORATE = """
@wardline.tool(effect="read", impact="low")
def look(path: str) -> str:
    return path
"""


def probe(use: str = "") -> tuple[float, set[str]]:
    """Seconds of processor time, and the top-level modules that were loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PROBE.format(use=use)],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )
    seconds, loaded = json.loads(done.stdout)
    return seconds, set(loaded)


def test_wardline_exports_exactly_these_names() -> None:
    """A public name comes and goes only on purpose."""
    assert wardline.__all__ == WARDLINE


def test_sandbox_exports_exactly_these_names() -> None:
    """A public name comes and goes only on purpose."""
    assert sandbox.__all__ == SANDBOX


@pytest.mark.parametrize("module", [wardline, sandbox], ids=["wardline", "sandbox"])
def test_every_exported_name_is_there_and_sorted(module: ModuleType) -> None:
    """`from package import *` works, and a reader finds a name by its place."""
    names = module.__all__

    assert names == sorted(names)
    assert [name for name in names if getattr(module, name, None) is None] == []


def test_unknown_names_are_attribute_errors() -> None:
    """Names are loaded on first use, and a typo still fails as it should."""
    with pytest.raises(AttributeError, match="no attribute 'Brocker'"):
        wardline.Brocker  # noqa: B018


@pytest.mark.parametrize("use", ["", _DECORATE], ids=["import", "import and decorate"])
def test_importing_loads_nothing_heavy(
    use: str, record_property: Callable[[str, object], None]
) -> None:
    """Putting a tool under the broker loads no framework, engine, SDK or terminal library."""
    runs = [probe(use) for _ in range(3)]

    record_property("import_cpu_ms", round(median(run[0] for run in runs) * 1000, 1))
    assert runs[0][1] & HEAVY == set()
