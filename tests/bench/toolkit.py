"""The same work by Microsoft's Agent Governance Toolkit 5.0.0. Runs in its own environment."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Timed, main, timed
from work import HOSTS, REQUESTS, WORKSPACE, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS = 6_000
CALLS_BY_SERVER = 1_500
CALLS_BY_PROCESS = 60
SECONDS = 20
POLICY = """
apiVersion: governance.toolkit/v1
name: bench
agents: ["*"]
default_action: deny
rules:
  - name: approval
    condition: "action.type in ['delete_file','deploy'] and user.role in ['operator'] and path.ok and net.ok"
    action: require_approval
    approvers: ["security"]
    priority: 20
  - name: operator
    condition: "action.type in ['read_file','http_get'] and user.role in ['operator'] and path.ok and net.ok"
    action: allow
    priority: 10
  - name: analyst
    condition: "action.type in ['read_file','http_get'] and user.role in ['analyst'] and path.ok and net.ok"
    action: allow
    priority: 10
"""
REGO = """
package bench

import rego.v1

tools := {
    "analyst": {"http_get", "read_file"},
    "operator": {"delete_file", "deploy", "http_get", "read_file"},
}
snapshot := input.snapshot
args := snapshot.tool_call.args

default answer := {"decision": "deny"}
answer := {"decision": "escalate"} if {
    fits
    snapshot.tool_call.name in {"delete_file", "deploy"}
} else := {"decision": "allow"} if fits

fits if {
    snapshot.tool_call.name in tools[snapshot.envelope.agent.id]
    path_fits
    host_fits
}
path_fits if args.path == null
path_fits if startswith(args.path, "/workspace/")
host_fits if args.host == null
host_fits if args.host in {"api.internal", "packages.example"}
"""
WORDS = {"allow": "allow", "deny": "deny", "require_approval": "ask", "escalate": "ask"}


def context_of(request: Request) -> dict[str, object]:
    """The request as its rules read it; they know no prefixes, so the caller tests those."""
    inside = request.path is None or request.path.startswith(WORKSPACE)
    return {
        "action": {"type": request.tool},
        "user": {"role": request.role},
        "path": {"value": request.path, "ok": inside},
        "net": {"value": request.host, "ok": request.host is None or request.host in HOSTS},
    }


def rules() -> Timed:
    """Its own rule engine, in process."""
    from agentmesh.governance.policy import PolicyEngine

    engine = PolicyEngine(conflict_strategy="priority_first_match")
    engine.load_yaml(POLICY)

    def call(index: int) -> bool:
        request = REQUESTS[index % len(REQUESTS)]
        return WORDS[engine.evaluate("*", context_of(request)).action] == request.answer

    return timed(call, CALLS)


def governed() -> Timed:
    """`govern()` around a tool that does nothing, audit on: in memory, unsigned."""
    from agentmesh.governance.approval import ApprovalDecision, CallbackApproval
    from agentmesh.governance.govern import GovernanceConfig, GovernedCallable

    refused = object()
    wrapped = GovernedCallable(
        lambda **_: "done",
        GovernanceConfig(
            policy=POLICY,
            audit=True,
            on_deny=lambda _: refused,
            approval_handler=CallbackApproval(
                lambda _: ApprovalDecision(approved=True, approver="alice")
            ),
            conflict_strategy="priority_first_match",
        ),
    )
    request = REQUESTS[0]

    def call(_: int) -> bool:
        return wrapped(**context_of(request)) == "done"

    return timed(call, CALLS)


def whole(evaluator: Callable[[Path], Any], calls: int) -> Timed:
    """What a `durable` call of ours does, put together from its parts.

    A decision in Rego; a person's yes where that wants one; a signed record (its HMAC), on disk
    before the tool runs and again after. It syncs nothing by itself: the sink is told to.
    """
    from agentmesh.governance.approval import (
        ApprovalDecision,
        ApprovalRequest,
        CallbackApproval,
    )
    from agentmesh.governance.audit import AuditLog
    from agentmesh.governance.audit_backends import FileAuditSink

    class Synced(FileAuditSink):
        """Its sink, which returns when the line is on disk."""

        def _append_line(self, signed: Any) -> None:
            super()._append_line(signed)
            with self._path.open("rb") as file:
                os.fdatasync(file.fileno())

    people = CallbackApproval(lambda _: ApprovalDecision(approved=True, approver="alice"))
    request = REQUESTS[0]
    arguments = {"path": request.path, "host": request.host}
    asked = {
        "snapshot": {
            "envelope": {"agent": {"id": request.role}},
            "tool_call": {"name": request.tool, "args": arguments},
        }
    }
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "bench.rego"
        path.write_text(REGO)
        log = AuditLog(sink=Synced(Path(folder) / "audit.jsonl", os.urandom(32)))
        record = partial(log.log, agent_did=request.role, action=request.tool)
        with evaluator(path) as rego:

            def call(_: int) -> bool:
                found = rego.evaluate("data.bench.answer", asked)
                said = json.dumps(found.raw_result)
                if '"escalate"' in said and not people.request_approval(
                    ApprovalRequest(request.tool, "approval", "bench", request.role, asked)
                ):
                    return False
                if '"decision": "allow"' not in said:
                    return False
                record("policy_evaluation", policy_decision="allow", data=arguments)
                done = "done"
                record("tool_result", data={"result": done})
                return done == "done"

            return timed(call, calls)


@contextmanager
def by_process(path: Path) -> Iterator[Any]:
    """Its evaluator by `opa eval`, one process for each decision."""
    from agentmesh.governance.opa import OPAEvaluator

    yield OPAEvaluator(mode="local", rego_path=str(path))


@contextmanager
def by_server(path: Path) -> Iterator[Any]:
    """Its evaluator by an OPA server beside it."""
    from agentmesh.governance.opa import OPAEvaluator

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{found.getsockname()[1]}"
    command = ("opa", "run", "--server", "--log-level=error", f"--addr={url}", str(path))
    server = subprocess.Popen(command)
    try:
        until = time.monotonic() + SECONDS
        while not _answers(f"http://{url}/health"):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the OPA server did not come up")
            time.sleep(0.02)
        yield OPAEvaluator(mode="remote", opa_url=f"http://{url}")
    finally:
        server.kill()
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own server
            return True
    except OSError:
        return False


def rego() -> Timed:
    """Its Rego path: one `opa eval` process for each decision."""
    from agent_control_specification import _native

    os.environ["ACS_OPA_PATH"] = str(shutil.which("opa"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench.rego").write_text(REGO)
        manifest = {
            "agent_control_specification_version": "0.3.1-beta",
            "policies": {"p": {"type": "rego", "bundle": folder, "query": "data.bench.answer"}},
            "intervention_points": {
                "pre_tool_call": {
                    "policy_target": "$.tool_call.args",
                    "policy_target_kind": "tool_args",
                    "tool_name_from": "$.tool_call.name",
                    "policy": {"id": "p"},
                }
            },
            "tools": {each.tool: {"type": "Tool", "id": each.tool} for each in REQUESTS},
        }
        runtime = _native.NativeRuntime(json.dumps(manifest), None, None, 0)

        def call(index: int) -> bool:
            request = REQUESTS[index % len(REQUESTS)]
            answer = runtime.evaluate(
                {
                    "intervention_point": "pre_tool_call",
                    "snapshot": {
                        "envelope": {"agent": {"id": request.role}},
                        "tool_call": {
                            "name": request.tool,
                            "args": {"path": request.path, "host": request.host},
                        },
                    },
                    "mode": "enforce",
                }
            )
            return WORDS[answer["verdict"]["decision"]] == request.answer

        return timed(call, CALLS_BY_PROCESS)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    main(
        {
            "rules": rules,
            "rego": rego,
            "governed": governed,
            "whole-server": lambda: whole(by_server, CALLS_BY_SERVER),
            "whole-process": lambda: whole(by_process, CALLS_BY_PROCESS),
        }
    )
