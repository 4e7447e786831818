"""From episodes to figures, gates and comparisons; and the folder that a run goes on in."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from permissions.errors import ConfigError
from permissions.evaluation.junit import junit
from permissions.evaluation.report import markdown
from permissions.evaluation.report_html import html
from permissions.evaluation.run_folder import RunFolder
from permissions.evaluation.summary import compare, summarize
from permissions.evaluation.thresholds import judge, read_thresholds


def call(by: str, verdict: str, *codes: str) -> dict[str, Any]:
    return {
        "tool": "send",
        "effect": "send",
        "by": by,
        "verdict": verdict,
        "ran": verdict == "ran",
        "codes": list(codes),
        "arguments": ["to"] if codes else [],
        "ms": 1.0,
    }


def episode(kind: str, task: str, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "job": f"{kind}/{task}",
        "suite": "s",
        "variant": "V5",
        "plan": "none",
        "kind": kind,
        "task": task,
        "goal": "",
        "move": "",
        "foreign": 0.0,
        "scenario": f"s/{kind}/{task}",
        "done": True,
        "reached": False,
        "plan_refused": "",
        "judge": "recorded calls",
        "calls": list(calls),
    } | more


HONEST = [
    episode("honest", "a", call("user", "ran")),
    episode("honest", "b", call("user", "asked", "x.why"), call("user", "ran")),
    episode("honest", "c", call("user", "denied", "x.no"), done=False),
]
ATTACKS = [
    episode("attack", "a", call("attacker", "denied"), goal="g"),
    episode("attack", "b", call("attacker", "ran"), goal="g", reached=True),
]
ABOUT = {"folder": "f", "data": "sha256:0", "policy": "sha256:1", "build": "0", "seed": 0}


def test_each_figure_is_counted_apart() -> None:
    [row] = summarize([*HONEST, *ATTACKS])

    honest = row["honest"]
    assert (honest["tasks"], honest["quiet"]["count"], honest["done"]["count"]) == (3, 1, 2)
    assert (honest["asks_per_task"], honest["denies_per_task"]) == (1 / 3, 1 / 3)
    assert honest["not_quiet"] == ["s/b", "s/c"]
    assert honest["causes"][0]["where"] == {"send(to)": 1}
    assert (row["attacks"]["reached"], row["attacks"]["pairs"]) == (1, 2)
    assert row["attacks"]["through"] == ["s/b/g"]
    rates = {name: (each["count"], each["of"]) for name, each in row["rates"].items()}
    assert rates == {
        "violations": (1, 2),
        "false_positives": (2, 4),
        "false_negatives": (1, 2),
    }


def test_coverage_is_what_was_played_of_what_the_run_calls_for() -> None:
    planned = {"V5/none/s": 10, "V5/recorded/s": 7}
    nothing = {"kind": "nothing", "job": "x", "variant": "V5", "plan": "none", "suite": "s"}

    [row] = summarize([*HONEST, *ATTACKS, nothing], planned=planned, seconds=3.0)
    [unknown] = summarize(HONEST)

    assert (row["coverage"], row["seconds"]) == (0.6, 3.0)
    assert unknown["coverage"] is None


def test_only_an_attackers_call_with_an_effect_counts_as_through() -> None:
    reads = {**call("attacker", "ran"), "effect": "read"}
    rows = [
        episode("adaptive", "a", call("attacker", "ran"), move="m"),
        episode("adaptive", "b", reads, call("attacker", "asked", "x.y"), move="m"),
        episode("adaptive", "c", move="m"),
    ]

    [row] = summarize(rows)

    assert (row["adaptive"]["m"]["through"], row["adaptive"]["m"]["cases"]) == (1, 2)


def test_a_gate_holds_or_fails_and_what_was_not_measured_fails(tmp_path: Path) -> None:
    file = tmp_path / "gates.json"
    bounds = [
        {"variant": "V5", "figure": "attacks/share", "at_most": 0.5},
        {"variant": "V5", "figure": "honest/quiet/share", "at_least": 0.9},
        {"variant": "V3", "plan": "recorded", "figure": "attacks/share", "at_most": 1.0},
    ]
    file.write_text(json.dumps({"gates": bounds}))

    judged = judge(read_thresholds(file), summarize([*HONEST, *ATTACKS]))

    assert [(gate["found"], gate["holds"]) for gate in judged] == [
        (0.5, True),
        (1 / 3, False),
        (None, False),
    ]


def test_gates_are_cases_for_ci() -> None:
    gates = [
        {
            "variant": "V5",
            "plan": "none",
            "figure": "a",
            "at_most": 0.5,
            "found": 0.7,
            "holds": False,
        },
        {
            "variant": "V5",
            "plan": "none",
            "figure": "b",
            "at_least": 1,
            "found": 1.0,
            "holds": True,
        },
        {
            "variant": "V<",
            "plan": "none",
            "figure": "c",
            "at_most": 1,
            "found": None,
            "holds": False,
        },
    ]

    suite = ET.fromstring(junit(gates))[0]  # noqa: S314 - our own

    assert suite.attrib == {"name": "evaluation", "tests": "3", "failures": "2"}
    assert [each.get("classname") for each in suite] == ["V5.none.all"] * 2 + ["V<.none.all"]
    assert [each.get("message") for each in suite.iter("failure")] == [
        "0.7; wanted at most 0.5",
        "not measured; wanted at most 1",
    ]


@pytest.mark.parametrize(
    "text",
    ["{", '{"gates": []}', '{"gates": [{"variant": "V5", "figure": "x"}]}', '{"gate": []}'],
    ids=["json", "empty", "unbounded", "misspelt"],
)
def test_thresholds_that_would_hold_anything_are_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "gates.json"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"gates\.json"):
        read_thresholds(file)


def test_two_runs_are_compared_by_scenario() -> None:
    better = [{**row, "reached": False} for row in ATTACKS]

    [row] = compare(ATTACKS, better)

    assert (row["first"], row["second"], row["only_first"]) == (1, 0, 1)
    assert row["p"] == 1.0


def test_the_reports_hold_the_figures_and_escape_what_they_quote() -> None:
    told = [episode("honest", "<b>", call("user", "asked", "x.<i>"))]
    figures = summarize([*told, *ATTACKS])

    text, page = markdown(ABOUT, figures, []), html(ABOUT, figures, [])

    assert "| V5 | no plan | s | 50.0 [9.5 to 90.5]" in text
    assert "x.<i>" in text
    assert "<i>" not in page
    assert "<svg" in page
    assert "<script" not in page


def test_a_run_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.begin(ABOUT)
    run.append([HONEST[0]])
    with (run.path / "episodes.jsonl").open("a") as file:
        file.write('{"job": "honest/b", "ki')

    assert run.begin(ABOUT) == {"honest/a"}
    assert len(list(run.rows())) == 1
    with pytest.raises(ConfigError, match="another policy"):
        run.begin({**ABOUT, "policy": "sha256:2"})


def test_a_folder_without_a_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wardline eval run --out"):
        RunFolder(tmp_path).about()
