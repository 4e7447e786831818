"""Tests written as a table: a call, what surrounds it, and what has to be decided.

A file `*_test.yaml` beside the policies:

    tools: my_agent.tools
    tests:
      - name: an unlisted account needs a person
        call: {tool: pay, args: {to: DE02120300000000202051, amount: "20.00"}}
        prompt: pay my rent, 20.00
        expect: {decision: ask, reason: messaging.unlisted_recipient}

With `tools`, a call gets the effect, impact and targets its tool gives it, as in the broker.
Without, it says them itself: `call: {tool: x, effect: send, impact: low, targets: [...]}`.
`facts` replaces members of the input, however deep.
"""

from __future__ import annotations

import copy
from datetime import datetime  # noqa: TC003 - pydantic reads the hints
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from permissions.authoring.trial import (
    NOON,
    Circumstances,
    Judge,
    plain_question,
    question_about,
)
from permissions.errors import BrokerError, PolicyLoadError
from permissions.pdp.policy_tests import LineCoverage, TestResult, TestRun, add_coverage
from permissions.plan.model import plan_from
from permissions.vocabulary import Effect, Impact  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.pdp.bundle import PolicyBundle
    from permissions.tools.definition import ToolDefinition

ENDING = "_test.yaml"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Row):
    """What is called; the last three where no tools are named."""

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)
    effect: Effect | None = None
    impact: Impact | None = None
    targets: list[dict[str, Any]] | None = None


class Expected(_Row):
    """What has to be decided; `reason` is a code, or several that all have to be there."""

    decision: Literal["allow", "ask", "deny"]
    reason: str | list[str] = Field(default_factory=list)


class TableTest(_Row):
    """One line of a table."""

    name: str
    call: Call
    expect: Expected
    prompt: str = ""
    user: str | None = None
    roles: list[str] = Field(default_factory=list)
    labels: list[str] | None = None
    plan: dict[str, Any] | None = None
    time: datetime | None = None
    environment: str = "production"
    facts: dict[str, Any] = Field(default_factory=dict)


class _Table(_Row):
    tools: str | None = None
    tests: list[TableTest]


def table_files(folder: Path) -> list[Path]:
    """The tables of a folder of policies, in a stable order."""
    return sorted(folder.rglob(f"*{ENDING}"))


def run_tables(
    bundle: PolicyBundle,
    folder: Path,
    *,
    load_tools: Callable[[str], Sequence[ToolDefinition]],
    named: str = "",
) -> TestRun:
    """Runs the tables of a folder under a bundle.

    Args:
        bundle: decides.
        folder: where the tables are; relative workspaces start there.
        load_tools: gives the tools of the module a table names.
        named: a part of the names of those that are run.

    Raises:
        PolicyLoadError: a table is not of this form.
        ConfigError: the tools of a table cannot be loaded.
    """
    judge = Judge(bundle, with_shadow=True)  # a test is of its package, in force or not
    results: list[TestResult] = []
    coverage: dict[str, LineCoverage] = {}
    for path in table_files(folder):
        name = path.relative_to(folder).as_posix()
        table, lines = _read(path, name)
        tools = {each.name: each for each in load_tools(table.tools)} if table.tools else {}
        for test, line in zip(table.tests, lines, strict=True):
            if named not in test.name:
                continue
            began = perf_counter()
            outcome, detail, covered = _run(judge, test, tools, folder)
            seconds = perf_counter() - began
            results.append(TestResult(test.name, name, line, outcome, detail, seconds=seconds))
            add_coverage(coverage, covered)
    return TestRun(tuple(results), coverage)


def _run(
    judge: Judge, test: TableTest, tools: Mapping[str, ToolDefinition], folder: Path
) -> tuple[Literal["pass", "fail", "error"], str, Mapping[str, LineCoverage]]:
    try:
        question = _question(test, tools, folder)
        decided, covered = judge.decide_watched(question)
    except (BrokerError, KeyError) as err:
        said = f"there is no tool {err}" if isinstance(err, KeyError) else str(err)
        return "error", said, {}
    wanted = (
        test.expect.reason if isinstance(test.expect.reason, list) else [test.expect.reason]
    )
    found = [each.code for each in decided.reasons] + list(decided.rules)
    verdict = decided.verdict
    faults = []
    if verdict != test.expect.decision:
        faults.append(f"expected {test.expect.decision}, decided {verdict}")
    faults += [f"{code} is no reason" for code in wanted if code not in found]
    if not faults:
        return "pass", "", covered
    return "fail", f"{'; '.join(faults)} ({', '.join(found) or 'no rule fired'})", covered


def _question(test: TableTest, tools: Mapping[str, ToolDefinition], folder: Path) -> JsonObject:
    around = Circumstances(
        user=test.user,
        roles=test.roles,
        prompt=test.prompt,
        plan=None if test.plan is None else plan_from(test.plan),
        workspace=folder,
        time=NOON if test.time is None else round(test.time.timestamp() * 1_000_000),
        environment=test.environment,
        context={} if test.labels is None else {"labels": sorted(test.labels)},
    )
    if tools:
        found = question_about(tools[test.call.tool], test.call.args, around, tools=tools)
    else:
        found = plain_question(
            tool=test.call.tool,
            effect=test.call.effect or "read",
            impact=test.call.impact or "low",
            args=test.call.args,
            targets=test.call.targets or [],
            around=around,
        )
    return merged(found, test.facts)


def merged(document: JsonObject, facts: Mapping[str, Any]) -> JsonObject:
    """A copy in which members stand as `facts` says; what it does not name stays."""
    found = copy.deepcopy(document)
    for name, value in facts.items():
        if isinstance(value, dict) and isinstance(found.get(name), dict):
            found[name] = merged(found[name], value)
        else:
            found[name] = value
    return found


def _read(path: Path, name: str) -> tuple[_Table, list[int]]:
    """A table, and the line each of its tests begins at."""
    import yaml

    text = path.read_text("utf-8")
    try:
        table = _Table.model_validate(yaml.safe_load(text))
        lines = list(_lines(yaml.compose(text, yaml.SafeLoader)))
    except yaml.YAMLError as err:
        raise PolicyLoadError([f"{name}:1:1: table.yaml: {err}; write YAML"]) from err
    except ValidationError as err:
        raise PolicyLoadError(
            [
                f"{name}:1:1: table.form: {'.'.join(map(str, fault['loc'])) or 'the file'}:"
                f" {fault['msg']}; docs/guides/test-policies.md shows the form"
                for fault in err.errors(include_url=False, include_input=False)
            ]
        ) from err
    return table, lines


def _lines(node: Any) -> Iterator[int]:
    for key, value in node.value:
        if key.value == "tests":
            yield from (each.start_mark.line + 1 for each in value.value)
