"""Plays a whole run: suites, variants and scenarios, with progress, and on from where it stopped."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from importlib import resources
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from permissions.errors import ConfigError
from permissions.evaluation.episode import open_stage
from permissions.evaluation.folder import digest_of_folder, load_suites
from permissions.evaluation.jobs import KINDS, jobs_of
from permissions.evaluation.player import Player
from permissions.evaluation.variants import bundle_of, chosen_variants
from permissions.pdp.bundle import load_bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from permissions.evaluation.jobs import Job, JobKind
    from permissions.evaluation.run_folder import RunFolder
    from permissions.evaluation.suite import Suite
    from permissions.vocabulary import JsonObject


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What is run.

    Attributes:
        data: the data folder; the shipped red-team set by default.
        policies, overlay: as in the settings.
        planner: whose recorded plans are declared.
        limit: at most so many tasks of each suite, for a quick look; 0 for all.
        recorded_only: whether recorded outputs are used even where AgentDojo is installed.
    """

    data: Path
    suites: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("V0", "V5", "V6")
    kinds: tuple[JobKind, ...] = KINDS
    policies: Path | None = None
    overlay: Path | None = None
    planner: str | None = None
    limit: int = 0
    recorded_only: bool = False
    seed: int = 0

    def document(self, revision: str) -> JsonObject:
        """As the run's folder keeps it."""
        return {
            "data": digest_of_folder(self.data),
            "folder": self.data.name,
            "suites": list(self.suites),
            "variants": list(self.variants),
            "kinds": list(self.kinds),
            "policy": revision,
            "planner": self.planner,
            "limit": self.limit,
            "recorded_only": self.recorded_only,
            "seed": self.seed,
            "build": version("wardline"),
        }


async def play_run(
    options: RunOptions, out: RunFolder, progress: Callable[[int, int, str], None]
) -> int:
    """Plays what is left of a run; gives how many jobs it played.

    Raises:
        ConfigError: the data, a name or the run's folder cannot be used.
        PolicyLoadError: the policies must not be used.
    """
    suites = _chosen(load_suites(options.data), options)
    variants = chosen_variants(options.variants)
    whole = load_bundle(options.policies, overlay=options.overlay)
    bundles = {each.name: bundle_of(each, whole) if each.decides else None for each in variants}
    played = out.begin(options.document(whole.revision))
    jobs = [*jobs_of(suites.values(), variants, options.kinds)]
    left = [job for job in jobs if job.key not in played]
    out.note(planned=Counter(f"{job.variant}/{job.plan}/{job.suite}" for job in jobs))
    began = monotonic()
    done = len(jobs) - len(left)
    known: dict[str, list[JsonObject]] = {}
    with tempfile.TemporaryDirectory() as workspace:
        for (suite, variant), group in groupby(left, lambda job: (job.suite, job.variant)):
            async with open_stage(
                suites[suite], bundles[variant], workspace=Path(workspace)
            ) as stage:
                player = Player(
                    suites[suite],
                    stage,
                    recorded_only=options.recorded_only,
                    planner=options.planner,
                    seed=options.seed,
                )
                async for job in _play(player, [*group], out, known):
                    done += 1
                    progress(done, len(jobs), job.key)
    out.note(seconds=monotonic() - began)
    return len(left)


async def _play(
    player: Player,
    jobs: Sequence[Job],
    out: RunFolder,
    known: dict[str, list[JsonObject]],
) -> AsyncIterator[Job]:
    for job in jobs:
        rows = _follows(job, known) or await player.play(job)
        if job.kind == "attack" and job.foreign == 0:
            known[_attack(job)] = rows
        written = [{"job": job.key, "judge": player.judge, **row} for row in rows]
        # A job without a scenario (a task nobody can hijack) is written, too: it is played.
        nothing = {"suite": job.suite, "variant": job.variant, "plan": job.plan}
        out.append(written or [{"job": job.key, "kind": "nothing", **nothing}])
        yield job


def _attack(job: Job) -> str:
    """Names an attack in a variant and in that with a person who answers, alike."""
    return (
        f"{job.suite}/{_ASKED.get(job.variant, job.variant)}/{job.plan}/{job.task}/{job.goal}"
    )


_ASKED = {"V6": "V5"}
"""Variants that differ only in that a person answers."""


def _follows(job: Job, known: dict[str, list[JsonObject]]) -> list[JsonObject]:
    """What follows from an attack played before: where no person was asked, any person is alike."""
    rows = known.get(_attack(job), []) if job.kind == "attack" else []
    asked = any(
        call["by"] == "attacker" and call["verdict"] == "asked"
        for row in rows
        for call in row["calls"]
    )
    if not rows or (asked and job.foreign > 0):
        return []
    about = {"variant": job.variant, "foreign": job.foreign, "scenario": job.scenario}
    return [{**row, **about} for row in rows]


def _chosen(suites: dict[str, Suite], options: RunOptions) -> dict[str, Suite]:
    names = options.suites or tuple(suites)
    if unknown := [name for name in names if name not in suites]:
        raise ConfigError(f"{unknown[0]!r:.40} is no suite; there are {', '.join(suites)}")
    chosen = {name: suites[name] for name in names}
    if not options.limit:
        return chosen
    few = {}
    for name, suite in chosen.items():
        tasks = dict([*suite.tasks.items()][: options.limit])
        few[name] = replace(
            suite,
            tasks=tasks,
            pairs=tuple(pair for pair in suite.pairs if pair.task.id in tasks),
            runs=suite.runs[: options.limit],
        )
    return few


def shipped_data() -> Path:
    """The red-team set that ships with the project."""
    return Path(str(resources.files("permissions.evaluation").joinpath("redteam")))
