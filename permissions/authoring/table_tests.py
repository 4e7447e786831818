"""Tests written as a table: a call, what surrounds it, and what has to be decided.

A file `*_test.yaml` beside the policies:

    tools: my_agent.tools
    tests:
      - name: an unlisted account needs a person
        call: {tool: pay, args: {to: DE02120300000000202051, amount: "20.00"}}
        prompt: pay my rent, 20.00
        expect: {decision: ask, reason: messaging.unlisted_recipient}

With `tools`, a call gets the effect, impact and targets its tool gives it, as in the broker.
Without, it says them itself: `call: {tool: x, effect: send, impact: low, marks: {to: email}}`,
where a mark is parsed as in the broker; `targets` are what no mark gives.
`facts` replaces members of the input, `tables` members of the tables, however deep; `connection`
asks about a connection the call makes out of its sandbox.
"""

from __future__ import annotations

import copy
import json
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
from permissions.broker.mapping import connection_question
from permissions.errors import BrokerError, PolicyLoadError
from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.policy_tests import LineCoverage, TestResult, TestRun, add_coverage
from permissions.pdp.table_schemas import table_faults
from permissions.plan.model import plan_from
from permissions.tools.targets import TargetError, mark_named, parse_targets
from permissions.vocabulary import Effect, Impact  # noqa: TC001 - pydantic reads them

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from permissions.model import JsonObject
    from permissions.tools.definition import ToolDefinition

ENDING = "_test.yaml"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Call(_Row):
    """What is called; the last four where no tools are named."""

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)
    effect: Effect | None = None
    impact: Impact | None = None
    marks: dict[str, str] = Field(default_factory=dict)
    targets: list[dict[str, Any]] | None = None


class Connection(_Row):
    """What a call in a sandbox connects to, as the policy contract has it."""

    host: str
    port: int
    kind: Literal["connect", "http"] = "connect"
    method: str | None = None
    path: str | None = None


class Expected(_Row):
    """What has to be decided; `reason` is a code, or several that all have to be there.

    `obligation` is the id of one that a permit has to carry.
    """

    decision: Literal["allow", "ask", "deny"]
    reason: str | list[str] = Field(default_factory=list)
    obligation: str | None = None


class TableTest(_Row):
    """One line of a table."""

    name: str
    call: Call = Call(tool="run", effect="execute", impact="low")
    connection: Connection | None = None
    expect: Expected
    prompt: str = ""
    user: str | None = None
    roles: list[str] = Field(default_factory=list)
    labels: list[str] | None = None
    plan: dict[str, Any] | None = None
    time: datetime | None = None
    environment: str = "production"
    facts: dict[str, Any] = Field(default_factory=dict)
    tables: dict[str, Any] = Field(default_factory=dict)


class _Table(_Row):
    tools: str | None = None
    tests: list[TableTest]


def table_files(folder: Path) -> list[Path]:
    """The tables of a folder of policies, in a stable order; the library's are its own.

    Those of an overlay that is copied to begin with (`starters`) hold for the copy.
    """
    others = (folder / "library", folder / "starters")
    found = sorted(folder.rglob(f"*{ENDING}"))
    return [path for path in found if not any(map(path.is_relative_to, others))]


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
    judges = _Judges(bundle)
    results: list[TestResult] = []
    coverage: dict[str, LineCoverage] = {}
    for path in table_files(folder):
        name = path.relative_to(folder).as_posix()
        table, lines = read_table(path, name)
        tools = {each.name: each for each in load_tools(table.tools)} if table.tools else {}
        for test, line in zip(table.tests, lines, strict=True):
            if named not in test.name:
                continue
            began = perf_counter()
            outcome, detail, covered = _run(judges, test, tools, folder)
            seconds = perf_counter() - began
            results.append(TestResult(test.name, name, line, outcome, detail, seconds=seconds))
            add_coverage(coverage, covered)
    return TestRun(tuple(results), coverage)


class _Judges:
    """One for each tables that tests ask for, as most ask for the bundle's own."""

    def __init__(self, bundle: PolicyBundle) -> None:
        self._bundle = bundle
        self._known: dict[str, Judge] = {}

    def of(self, tables: Mapping[str, Any]) -> Judge:
        """Decides under the bundle with members of its tables as a test says.

        Raises:
            PolicyLoadError: a table no longer fits its schema.
        """
        key = json.dumps(tables, sort_keys=True)
        if key not in self._known:
            data = merged(self._bundle.data, {"wardline": {"tables": tables}})
            found = data.get("wardline", {}).get("tables", {})
            faults = [
                f"table {name}: {where}: {what}; {fix}"
                for name in tables
                for where, what, fix in table_faults(name, found[name])
            ]
            if faults:
                raise PolicyLoadError(faults)
            bundle = PolicyBundle.of(self._bundle.modules, data)
            # A test is of its package, in force or not.
            self._known[key] = Judge(bundle, with_shadow=True)
        return self._known[key]


def _run(
    judges: _Judges, test: TableTest, tools: Mapping[str, ToolDefinition], folder: Path
) -> tuple[Literal["pass", "fail", "error"], str, Mapping[str, LineCoverage]]:
    try:
        question = question_of(test, tools, folder)
        decided, covered = judges.of(test.tables).decide_watched(question)
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
    owed = {each.id for each in decided.obligations}
    if test.expect.obligation is not None and test.expect.obligation not in owed:
        faults.append(f"{test.expect.obligation} is no obligation of it")
    if not faults:
        return "pass", "", covered
    return "fail", f"{'; '.join(faults)} ({', '.join(found) or 'no rule fired'})", covered


def question_of(
    test: TableTest, tools: Mapping[str, ToolDefinition], folder: Path
) -> JsonObject:
    """The input that the policies are asked with.

    Raises:
        BrokerError: the call cannot be made into one.
        KeyError: the tools have none of its name.
    """
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
            targets=[*_marked(test.call, folder.resolve()), *(test.call.targets or [])],
            around=around,
        )
    if test.connection is not None:
        found = connection_question(
            found,
            connection=test.connection.model_dump(),
            profile="profile",
            labels=found["context"]["labels"],
            now=found["context"]["time"],
        )
    return merged(found, test.facts)


def _marked(call: Call, workspace: Path) -> Iterator[JsonObject]:
    """The targets of the arguments whose marks a call names."""
    for argument, name in call.marks.items():
        try:
            mark, value = mark_named(name), call.args[argument]
            yield from parse_targets(mark, argument, value, workspace)
        except KeyError as err:
            raise PolicyLoadError([f"the call has no argument {err}"]) from err
        except TargetError as err:
            raise PolicyLoadError([f"argument {argument} {err}"]) from err


def merged(document: JsonObject, facts: Mapping[str, Any]) -> JsonObject:
    """A copy in which members stand as `facts` says; what it does not name stays."""
    found = copy.deepcopy(document)
    for name, value in facts.items():
        if isinstance(value, dict) and isinstance(found.get(name), dict):
            found[name] = merged(found[name], value)
        else:
            found[name] = value
    return found


def read_table(path: Path, name: str) -> tuple[_Table, list[int]]:
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
