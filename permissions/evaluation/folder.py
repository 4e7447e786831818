"""Reads a data folder: every line is checked, and every name it uses has to be there.

A file's role is the last word of its name: `agentdojo_calls.jsonl` holds calls. Files of other
names are left alone; a folder without any calls or traces is refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from permissions.errors import ConfigError
from permissions.evaluation import rows
from permissions.evaluation.suite import (
    Goal,
    Pair,
    RecordedPlan,
    RecordedRun,
    Step,
    Suite,
    Task,
)
from permissions.plan.pointers import follow, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from permissions.vocabulary import JsonValue

ALL = "all"
"""What figures over all suites are called."""
MAX_LINE_BYTES = 16 * 1024 * 1024


def load_suites(folder: Path) -> dict[str, Suite]:
    """Every suite of a data folder that has tools, by name.

    Raises:
        ConfigError: says which file and line, and what is wrong with it.
    """
    found = _read(folder)
    tools, labels = _by_suite(found["tools"]), _by_suite(found["labels"])
    headers, tasks, goals, pairs = _calls(found["calls"])
    plans = _by_suite(found["plans"])
    runs = _by_suite(found["traces"])
    suites = {}
    for name in sorted({*tasks, *runs}):
        if name == ALL:
            raise ConfigError(f"a suite cannot be called {ALL!r}; reports say so of all suites")
        suite_tools = _named(name, "tool", [(row.name, row) for row in tools.get(name, ())])
        suite_labels = _named(name, "label", [(row.tool, row) for row in labels.get(name, ())])
        _require_described(name, suite_tools, suite_labels)
        suites[name] = Suite(
            name=name,
            tools=suite_tools,
            labels=suite_labels,
            tasks=tasks.get(name, {}),
            goals=goals.get(name, {}),
            pairs=tuple(_pairs(name, pairs.get(name, ()), tasks, goals)),
            plans=_plans(plans.get(name, ())),
            runs=tuple(_run(row) for row in runs.get(name, ())),
            source=headers.get(name, {}),
        )
        _require_known_tools(suites[name])
    if not suites:
        raise ConfigError(
            f"{folder} holds no suite: a file `*_calls.jsonl` or `*_traces.jsonl` is needed,"
            " with `*_tools.jsonl` and `tool_labels.jsonl` beside it"
        )
    return suites


def shell_actions(folder: Path) -> list[rows.ShellRow]:
    """The injected shell actions of a data folder; none when it has no such file.

    Raises:
        ConfigError: a line is not of the form.
    """
    return [row for _, row in _read(folder)["coding_agent"]]


def airline_rows(
    folder: Path,
) -> tuple[
    list[rows.AirlineStateRow], dict[str, list[rows.AirlineTaskRow]], list[rows.AirlineRunRow]
]:
    """Records, expected writes by file, and recorded runs of an airline; empty without files.

    Raises:
        ConfigError: a line is not of the form.
    """
    found = _read(folder)
    tasks: dict[str, list[rows.AirlineTaskRow]] = defaultdict(list)
    for where, row in found["airline_gt"]:
        if row.kind == "task":
            tasks[where.partition(":")[0].removesuffix(".jsonl")].append(row)
    state = [row for _, row in found["airline_state"]]
    return state, tasks, [row for _, row in found["airline_traces"]]


def digest_of_folder(folder: Path) -> str:
    """Names the data by its content: SHA-256 over names and bytes of the files that are read."""
    whole = sha256()
    for path in sorted(folder.glob("*.jsonl")):
        whole.update(f"{path.name} {sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _read(folder: Path) -> dict[str, list[tuple[str, Any]]]:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder of evaluation data")
    found: dict[str, list[tuple[str, Any]]] = {role: [] for role in rows.FILES}
    for path in sorted(folder.glob("*.jsonl")):
        roles = [each for each in rows.FILES if path.stem.endswith(f"_{each}")]
        if roles:
            if not path.is_file():
                raise ConfigError(f"{path.name} is no regular file")
            role = max(roles, key=len)
            found[role] += _lines(path, role)
    return found


def _lines(path: Path, role: str) -> Iterator[tuple[str, Any]]:
    adapter = rows.FILES[role]
    with path.open("rb") as lines:
        bounded = iter(lambda: lines.readline(MAX_LINE_BYTES + 1), b"")
        for number, line in enumerate(bounded, start=1):
            where = f"{path.name}:{number}"
            if len(line) > MAX_LINE_BYTES:
                raise ConfigError(f"{where}: longer than {MAX_LINE_BYTES} bytes")
            try:
                document = json.loads(
                    line,
                    object_pairs_hook=_unique,
                    parse_constant=_no_constant,
                    parse_float=_finite,
                )
                if b"\\ud" in line.lower():
                    json.dumps(document, ensure_ascii=False).encode()  # half a character
                yield where, adapter.validate_python(document)
            except ValidationError as err:
                first = err.errors(include_url=False, include_input=False)[0]
                at = "/".join(map(str, first["loc"])) or "the line"
                raise ConfigError(f"{where}: {at}: {first['msg']}") from err
            except (ValueError, RecursionError) as err:
                raise ConfigError(f"{where}: is no strict JSON: {err!s:.100}") from err


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _finite(written: str) -> float:
    number = float(written)
    if not isfinite(number):
        raise ValueError(f"{written:.20} is beyond all numbers")
    return number


def _no_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is no JSON")


def _by_suite(lines: Sequence[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for _, row in lines:
        found[row.suite].append(row)
    return found


def _calls(
    lines: Sequence[tuple[str, Any]],
) -> tuple[
    dict[str, dict[str, Any]],
    dict[str, dict[str, Task]],
    dict[str, dict[str, Goal]],
    dict[str, list[rows.PairRow]],
]:
    headers: dict[str, dict[str, Any]] = {}
    tasks: dict[str, dict[str, Task]] = defaultdict(dict)
    goals: dict[str, dict[str, Goal]] = defaultdict(dict)
    pairs: dict[str, list[rows.PairRow]] = defaultdict(list)
    for where, row in lines:
        match row:
            case rows.HeaderRow():
                for name in row.suites:
                    headers[name] = row.model_dump()
            case rows.TaskRow():
                _once(where, row.id, tasks[row.suite])
                heard = row.first_untrusted_call
                if heard is not None and not 0 <= heard < len(row.calls):
                    raise ConfigError(
                        f"{where}: first_untrusted_call is {heard}, and the task has"
                        f" {len(row.calls)} calls"
                    )
                _require_found(where, row.calls)
                tasks[row.suite][row.id] = Task(
                    suite=row.suite,
                    id=row.id,
                    prompt=row.prompt,
                    steps=tuple(map(_step, row.calls)),
                    hears_after=row.first_untrusted_call,
                    final_text=row.final_text or "",
                )
            case rows.GoalRow():
                _once(where, row.id, goals[row.suite])
                goals[row.suite][row.id] = Goal(
                    suite=row.suite,
                    id=row.id,
                    text=row.goal,
                    steps=tuple(map(_step, row.calls)),
                    final_text=row.final_text or "",
                )
            case rows.PairRow():
                pairs[row.suite].append(row)
            case _:
                pass  # a vector's default text is in the recorded outputs already
    return headers, tasks, goals, pairs


def _once(where: str, name: str, known: dict[str, Any]) -> None:
    if name in known:
        raise ConfigError(f"{where}: {name!r:.80} was described before in this suite")


def _require_found(where: str, calls: Sequence[rows.CallRow]) -> None:
    """An attacker's text that is put nowhere would be read by nobody."""
    for call in calls:
        for path in (each for paths in call.untrusted_paths.values() for each in paths):
            found, text = follow(call.output, tokens_of(path.removesuffix("#key")))
            if not found or not (isinstance(text, str) or path.endswith("#key")):
                raise ConfigError(
                    f"{where}: untrusted_paths of call {call.i} has {path!r:.80}, which is no text of"
                    " its output"
                )


def _step(row: rows.CallRow) -> Step:
    paths = sorted({path for each in row.untrusted_paths.values() for path in each})
    return Step(row.tool, row.args, row.output, row.error is not None, tuple(paths))


def _pairs(
    suite: str,
    found: Sequence[rows.PairRow],
    tasks: dict[str, dict[str, Task]],
    goals: dict[str, dict[str, Goal]],
) -> Iterator[Pair]:
    seen = set()
    for row in found:
        if (row.user_task, row.injection_task) in seen:
            raise ConfigError(
                f"suite {suite}: the pair {row.user_task} and {row.injection_task} is there twice"
            )
        seen.add((row.user_task, row.injection_task))
        task = tasks.get(suite, {}).get(row.user_task)
        goal = goals.get(suite, {}).get(row.injection_task)
        if task is None or goal is None:
            raise ConfigError(
                f"suite {suite}: the pair {row.user_task} and {row.injection_task} names a task"
                " or goal that is not described"
            )
        if not 0 <= row.attack_after_call < max(1, len(task.steps)):
            raise ConfigError(
                f"suite {suite}: the pair {row.user_task} and {row.injection_task} attacks after"
                f" call {row.attack_after_call}, and the task has {len(task.steps)}"
            )
        is_made = row.attack_origin != "none" and bool(goal.steps)
        feasible = row.undefended_security and is_made
        yield Pair(task, goal, row.attack_after_call, feasible)


def _plans(found: Sequence[rows.PlanRow]) -> dict[str, tuple[RecordedPlan, ...]]:
    plans: dict[str, list[RecordedPlan]] = defaultdict(list)
    for row in found:
        plans[row.user_task].append(
            RecordedPlan(
                planner=row.planner,
                source=row.source,
                tools=tuple(row.tools or ()),
                values=dict(_known_values(row.checklist)),
                seen=max(1, len(row.seen_in)),
            )
        )
    return {task: tuple(each) for task, each in plans.items()}


def _known_values(checklist: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in checklist if isinstance(checklist, list) else ():
        named = entry.get("name") if isinstance(entry, dict) else None
        values = entry.get("required parameters") if isinstance(entry, dict) else None
        if isinstance(named, str) and isinstance(values, dict):
            yield named, {str(k): value for k, value in values.items() if value is not None}


def _run(row: rows.RunRow) -> RecordedRun:
    return RecordedRun(
        model=row.model,
        task=row.user_task,
        goal=row.injection_task,
        goal_text=row.goal or "",
        prompt=row.prompt,
        steps=tuple(
            Step(call.tool, call.args, _structured(call.output), call.error is not None)
            for call in row.calls
        ),
        is_solved=bool(row.utility),
        has_succeeded=row.attack_succeeded,
    )


def _structured(output: JsonValue) -> JsonValue:
    """The value that a log printed as Python or YAML text; the text itself where it is none."""
    if not isinstance(output, str):
        return output
    try:
        if output[:1] in "[{":
            return json.loads(json.dumps(ast.literal_eval(output), allow_nan=False))
        if _YAML_RECORDS.match(output):
            return json.loads(json.dumps(_Plain(output).get_single_data(), allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, yaml.YAMLError):
        pass
    return output


_YAML_RECORDS = re.compile(r"(?:- )?[a-z_]+: ?")
"""How a list of records, or one record, begins where a framework printed it as YAML."""


class _Plain(yaml.CSafeLoader):
    """YAML with times left as they are written."""


_Plain.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _named(suite: str, what: str, found: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """By name; two of one name would each be believed by somebody."""
    known = dict(found)
    if len(known) != len(found):
        names = [name for name, _ in found]
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"suite {suite}: the {what} of {twice!r:.80} is there twice")
    return known


def _require_described(
    suite: str, tools: dict[str, rows.ToolRow], labels: dict[str, rows.LabelRow]
) -> None:
    if missing := sorted(tools.keys() - labels.keys()):
        raise ConfigError(
            f"suite {suite}: the tool {missing[0]!r:.80} has no label; say in"
            " tool_labels.jsonl what it does"
        )
    if not tools:
        raise ConfigError(f"suite {suite} has no tools; a file `*_tools.jsonl` describes them")
    for name, label in labels.items():
        if name not in tools:
            raise ConfigError(f"suite {suite}: a label is of {name!r:.80}, which is no tool")
        known = tools[name].parameters.get("properties", {})
        for argument in (*label.sensitive_args, *label.marks):
            if argument not in known:
                raise ConfigError(
                    f"suite {suite}: the label of {name} names {argument!r:.80}, which is none"
                    " of its arguments"
                )


def _require_known_tools(suite: Suite) -> None:
    played = [each.steps for each in suite.tasks.values()]
    played += [each.steps for each in suite.goals.values()]
    used = {step.tool for steps in played for step in steps}
    if unknown := sorted(used - suite.tools.keys()):
        raise ConfigError(f"suite {suite.name}: calls use {unknown[0]!r:.80}, which is no tool")
