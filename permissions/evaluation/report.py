"""A run's figures as Markdown. The same figures as JSON are `summary.summarize`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from permissions.evaluation.variants import VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from permissions.vocabulary import JsonObject

PLANS = {"none": "no plan", "recorded": "recorded plan", "complete": "complete plan"}

NONE = "-"
"""In a cell of something that was not played."""

LIMITS = (
    (
        "Replay: a refused agent might try another way, and no model is talked into anything."
        " The worst-case agent makes every attacker's call, so the rates bound a real model's"
        " from above."
    ),
    "Labels are read like code: a wrong one is a hole that no figure here shows.",
    (
        "Decisions are made by the shipped engine in this process; a broker asks it in a process"
        " of its own."
    ),
    "Goals that are words only (a false answer) are not judged by rules about calls.",
)


def markdown(
    about: JsonObject, figures: Sequence[JsonObject], gates: Sequence[JsonObject]
) -> str:
    """The report, one or two screens and the causes."""
    lines = ["# Evaluation", "", *_about(about, figures), "", *_table(figures)]
    lines += [
        "",
        *_calls(figures),
        "",
        *_people(figures),
        "",
        *_adaptive(figures),
        "",
        *_runs(figures),
    ]
    lines += ["", *_causes(figures), "", *_through(figures)]
    if gates:
        lines += ["", *_gates(gates)]
    lines += ["", "## What this does not show", "", *(f"- {each}" for each in LIMITS)]
    return "\n".join(_one_blank(lines)) + "\n"


def _about(about: JsonObject, figures: Sequence[JsonObject]) -> Iterator[str]:
    judges = sorted({each for row in figures for each in row["judges"]})
    yield f"- data: `{about['folder']}` ({about['data'][:19]}…), suites {_suites(figures)}"
    yield f"- policies: {about['policy'][:19]}…, Wardline {about['build']}, seed {about['seed']}"
    yield f"- end state judged by: {', '.join(judges) or 'nobody'}"
    if about.get("seconds"):
        yield f"- played in {about['seconds']:.0f} s"
    if about.get("limit"):
        yield f"- **a part only**: the first {about['limit']} tasks of each suite"


def _suites(figures: Sequence[JsonObject]) -> str:
    return ", ".join(
        dict.fromkeys(str(row["suite"]) for row in figures if row["suite"] != "all")
    )


def _table(figures: Sequence[JsonObject]) -> Iterator[str]:
    yield (
        "| variant | plan | suite | attacks % | over goals | nobody asked % | done with a person %"
        " | asks per task | denies per task | hijacked | done under attack % |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in figures:
        attacks, honest, hijack = row["attacks"], row["honest"], row["hijack"]
        yield _line(
            row["variant"],
            PLANS[row["plan"]],
            row["suite"],
            _with_bounds(attacks),
            _range(attacks["over_goals"]) if attacks else NONE,
            _with_bounds(honest["quiet"]) if honest else NONE,
            _percent(honest["done"]["share"]) if honest else NONE,
            f"{honest['asks_per_task']:.2f}" if honest else NONE,
            f"{honest['denies_per_task']:.2f}" if honest else NONE,
            f"{hijack['through']} of {hijack['cases']}" if hijack else NONE,
            _percent(attacks["done_under_attack"]) if attacks else NONE,
        )
    yield ""
    for name in dict.fromkeys(row["variant"] for row in figures):
        yield f"- {name}: {VARIANTS[name].text}"
    yield "- brackets: 95%, Wilson; over goals: bootstrap, pairs of one goal drawn together"


def _calls(figures: Sequence[JsonObject]) -> Iterator[str]:
    yield "## Calls"
    yield ""
    yield "What stopped honest calls and what let an attacker's run, and what the broker takes."
    yield ""
    yield (
        "| variant | plan | suite | violations % | false positives % | false negatives %"
        " | false refusals | coverage % | p50 ms | p95 ms | p99 ms |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in figures:
        rates, honest, times = row["rates"], row["honest"], row["latency_ms"]
        refused = honest and honest["false_refusals"]
        yield _line(
            row["variant"],
            PLANS[row["plan"]],
            row["suite"],
            *(
                _with_bounds(rates[name])
                for name in ("violations", "false_positives", "false_negatives")
            ),
            f"{refused['count']} of {refused['of_calls']}" if refused else NONE,
            NONE if row["coverage"] is None else _percent(row["coverage"]),
            *(f"{times[name]:.2f}" for name in ("p50", "p95", "p99")),
        )


def _people(figures: Sequence[JsonObject]) -> Iterator[str]:
    rows = [row for row in figures if row["careless"]]
    if not rows:
        return
    levels = list(rows[0]["careless"])
    yield "## A careless person"
    yield ""
    yield "Attacks in %, where a person approves an attacker's call with this probability."
    yield ""
    yield _line("variant", "plan", "suite", "0", *levels)
    yield "|---|---|---|---|" + "---|" * len(levels)
    for row in rows:
        shares = [row["careless"][each] for each in levels if each in row["careless"]]
        yield _line(
            row["variant"],
            PLANS[row["plan"]],
            row["suite"],
            *(_percent(each["share"]) if each else NONE for each in (row["attacks"], *shares)),
        )


def _adaptive(figures: Sequence[JsonObject]) -> Iterator[str]:
    rows = [row for row in figures if any(row["adaptive"].values())]
    if not rows:
        return
    yield "## An attacker who knows the rules"
    yield ""
    yield "Scenarios in which one of the attacker's calls ran and nobody was asked."
    yield ""
    moves = sorted({move for row in rows for move in row["adaptive"]})
    yield _line("variant", "plan", "suite", *moves)
    yield "|---|---|---|" + "---|" * len(moves)
    for row in rows:
        yield _line(
            row["variant"],
            PLANS[row["plan"]],
            row["suite"],
            *(_of(row["adaptive"].get(move)) for move in moves),
        )


def _runs(figures: Sequence[JsonObject]) -> Iterator[str]:
    rows = [row for row in figures if row["runs"]]
    if not rows:
        return
    yield "## Recorded runs of real models"
    yield ""
    yield _line(
        "variant", "plan", "suite", "attacks through", "nobody asked", "asks and denies per run"
    )
    yield "|---|---|---|---|---|---|"
    for row in rows:
        runs = row["runs"]
        yield _line(
            row["variant"],
            PLANS[row["plan"]],
            row["suite"],
            f"{runs['through']['count']} of {runs['attacked']}",
            f"{runs['quiet']['count']} of {runs['honest']}",
            f"{runs['asks_and_denies_per_run']:.2f}",
        )


def _causes(figures: Sequence[JsonObject]) -> Iterator[str]:
    yield "## Why honest calls were asked about or denied"
    for row in figures:
        causes = (row["honest"] or {}).get("causes", []) + (row["runs"] or {}).get("causes", [])
        if not causes or row["suite"] == "all":
            continue
        yield ""
        yield f"### {row['variant']}, {PLANS[row['plan']]}, {row['suite']}"
        yield ""
        yield "| calls | verdict | reasons | where |"
        yield "|---|---|---|---|"
        for cause in causes[:12]:
            where = ", ".join(f"{name} {count}" for name, count in cause["where"].items())
            yield _line(cause["calls"], cause["verdict"], ", ".join(cause["codes"]), where)


def _through(figures: Sequence[JsonObject]) -> Iterator[str]:
    yield "## Attacks that got through"
    for row in figures:
        through = (row["attacks"] or {}).get("through", [])
        if not through or row["suite"] == "all" or row["variant"] == "V0":
            continue
        yield ""
        yield f"{row['variant']}, {PLANS[row['plan']]}, {row['suite']}: {', '.join(through[:40])}"


def _gates(gates: Sequence[JsonObject]) -> Iterator[str]:
    yield "## Gate"
    yield ""
    yield "| figure | variant | plan | bound | found | |"
    yield "|---|---|---|---|---|---|"
    for gate in gates:
        bound = [f"≥ {gate['at_least']:g}"] if "at_least" in gate else []
        bound += [f"≤ {gate['at_most']:g}"] if "at_most" in gate else []
        found = "not measured" if gate["found"] is None else f"{gate['found']:.4g}"
        holds = "holds" if gate["holds"] else "**fails**"
        yield _line(
            gate["figure"], gate["variant"], gate["plan"], " and ".join(bound), found, holds
        )


def _line(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _with_bounds(share: JsonObject | None) -> str:
    return NONE if share is None else f"{_percent(share['share'])} [{_range(share['wilson'])}]"


def _range(bounds: Sequence[float]) -> str:
    return f"{_percent(bounds[0])} to {_percent(bounds[1])}"


def _of(cases: JsonObject | None) -> str:
    return NONE if cases is None else f"{cases['through']} of {cases['cases']}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _one_blank(lines: Sequence[str]) -> Iterator[str]:
    before = ""
    for line in lines:
        if line or before:
            yield line
        before = line
