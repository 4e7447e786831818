"""The same work by Microsoft's Agent Governance Toolkit 5.0.0. Runs in its own environment."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from measure import Timed, main, timed
from work import HOSTS, REQUESTS, WORKSPACE, Request

CALLS = 6_000
CALLS_BY_PROCESS = 60
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
    main({"rules": rules, "rego": rego, "governed": governed})
