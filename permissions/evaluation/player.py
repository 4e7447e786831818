"""Plays jobs: for each the world, the plan and the script of calls it says."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from permissions.evaluation.attacker import MOVES, carries, hijacks, own_of_attack
from permissions.evaluation.episode import RIGHT, Approver, Episode
from permissions.evaluation.planning import completed, declared, most_seen
from permissions.evaluation.suite import Goal, Step, Task
from permissions.evaluation.worlds import AgentDojoWorld, RecordedWorld, is_of_agentdojo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from permissions.evaluation.episode import CallEnd, Caller, Stage
    from permissions.evaluation.jobs import Job
    from permissions.evaluation.suite import Pair, RecordedRun, Suite
    from permissions.evaluation.worlds import World
    from permissions.plan.model import Plan
    from permissions.vocabulary import JsonObject


class Player:
    """Plays the jobs of one suite on one stage.

    Args:
        suite: what is played.
        stage: the broker with the suite's tools.
        recorded_only: whether recorded outputs are used even where AgentDojo is installed.
        planner: whose plans are declared; those of any planner by default.
        seed: of people's carelessness.
    """

    def __init__(
        self,
        suite: Suite,
        stage: Stage,
        *,
        recorded_only: bool = False,
        planner: str | None = None,
        seed: int = 0,
    ) -> None:
        self._suite = suite
        self._stage = stage
        self._planner = planner
        self._seed = seed
        release = str(suite.source.get("benchmark_version", ""))
        has_world = bool(suite.pairs) and not recorded_only
        self._has_dojo = has_world and is_of_agentdojo(suite, release)

    @property
    def judge(self) -> str:
        """Who says whether a goal was reached."""
        return "agentdojo" if self._has_dojo else "recorded calls"

    async def play(self, job: Job) -> list[JsonObject]:
        """The episodes of a job: one, but for hijacks one per argument."""
        match job.kind:
            case "honest":
                return [await self._honest(job)]
            case "attack":
                return [await self._attack(job)]
            case "hijack":
                return await self._hijacks(job)
            case "adaptive":
                return [await self._adaptive(job)]
            case _:
                return [await self._run(job)]

    async def _honest(self, job: Job) -> JsonObject:
        task = self._suite.tasks[job.task]
        world = self._world(task)
        script = _calls("user", world.steps)
        episode = await self._play(job, world, script, task)
        return _document(job, episode)

    async def _attack(self, job: Job) -> JsonObject:
        pair = self._pair(job)
        world = self._world(pair.task, pair)
        after = pair.after + 1
        script = _calls("user", world.steps[:after])
        script = _chain(script, _calls("attacker", world.attack))
        script = _chain(script, _calls("user", world.steps[after:]))
        who = Approver(foreign=job.foreign)
        episode = await self._play(job, world, script, pair.task, approver=who)
        return _document(job, episode)

    async def _hijacks(self, job: Job) -> list[JsonObject]:
        task, found = self._suite.tasks[job.task], []
        for position, argument, step, text in hijacks(self._suite, task, self._stage.tools):
            goal = Goal(task.suite, f"{position}:{argument}", text, (step,))
            world = RecordedWorld(self._suite, task, goal)
            script = _calls("user", task.steps[:position])
            script = _chain(script, _calls("attacker", [step]))
            episode = await self._play(job, world, script, task)
            found.append({**_document(job, episode), "goal": goal.id})
        return found

    async def _adaptive(self, job: Job) -> JsonObject:
        task = self._suite.tasks[job.task]
        pair = self._pair(job) if job.goal else None
        move, _ = MOVES[job.move]
        steps = move(task, pair.goal if pair else None, self._stage.tools)
        world = self._told_world(task, pair, _told(steps))
        script = _chain(_calls("user", world.steps), _calls("attacker", steps))
        episode = await self._play(job, world, script, task)
        return _document(job, episode)

    async def _run(self, job: Job) -> JsonObject:
        run = self._suite.runs[int(job.move)]
        task = Task(self._suite.name, run.task, run.prompt, run.steps)
        world = RecordedWorld(self._suite, task)
        script = _marked(run.steps, self._attackers(run))
        episode = await self._play(job, world, script, task, planner=run.model)
        extra = {"solved": run.is_solved, "model": run.model}
        return {**_document(job, episode), **extra}

    def _attackers(self, run: RecordedRun) -> list[bool]:
        """Which calls of a run carry the goal."""
        if run.goal is None:
            return [False] * len(run.steps)
        acts = [not self._suite.is_read(step.tool) for step in run.steps]
        carrying = [
            act and carries(run.goal_text, run.prompt, step)
            for act, step in zip(acts, run.steps, strict=True)
        ]
        if any(carrying):
            return carrying
        honest = [
            each.steps for each in self._suite.runs if each.task == run.task and not each.goal
        ]
        task = self._suite.tasks.get(run.task)
        honest += [task.steps] if task else []
        foreign = own_of_attack(run.steps, honest, self._control)
        own = [act and other for act, other in zip(acts, foreign, strict=True)]
        final = [
            mine and self._suite.labels[step.tool].effect != "write"
            for mine, step in zip(own, run.steps, strict=True)
        ]
        # What can be taken back is no goal of a run that went on to what cannot.
        return final if any(final) else own

    def _control(self, tool: str) -> set[str]:
        label = self._suite.labels.get(tool)
        return set(label.sensitive_args) if label else set()

    def _world(self, task: Task, pair: Pair | None = None) -> World:
        if self._has_dojo:
            return AgentDojoWorld(self._suite, task, pair)
        return RecordedWorld(self._suite, task, None if pair is None else pair.goal)

    def _told_world(self, task: Task, pair: Pair | None, told: str) -> World:
        """A world in which untrusted texts hold the goal, or what the attacker's calls hold."""
        if self._has_dojo:
            return AgentDojoWorld(
                self._suite, task, pair, told=pair.goal.text if pair else told
            )
        goal = pair.goal if pair else Goal(task.suite, "adaptive", told, ())
        return RecordedWorld(self._suite, task, goal)

    def _pair(self, job: Job) -> Pair:
        return next(
            pair
            for pair in self._suite.pairs
            if pair.task.id == job.task and pair.goal.id == job.goal
        )

    async def _play(
        self,
        job: Job,
        world: World,
        script: Iterator[tuple[Caller, Step]],
        task: Task,
        *,
        approver: Approver = RIGHT,
        planner: str | None = None,
    ) -> Episode:
        plan = self._plan(job, task, planner)
        return await self._stage.play(
            world,
            prompt=task.prompt,
            script=script,
            approver=approver,
            plan=plan,
            seed=hash_of(job.scenario, self._seed),
        )

    def _plan(self, job: Job, task: Task, planner: str | None) -> Plan | None:
        """The plan to declare. A task without a recorded one gets none, which is counted."""
        if job.plan == "none":
            return None
        plans = self._suite.plans.get(task.id, ())
        recorded = most_seen(plans, planner or self._planner)
        if recorded is None:
            return None
        honest = self._suite.tasks.get(task.id, task)
        named = recorded.tools if job.plan == "recorded" else completed(recorded, honest)
        return declared(self._suite, named, self._stage.tools, goal=task.prompt)


def hash_of(text: str, seed: int) -> int:
    """A number that follows from a text and a seed, in every process alike."""
    return int.from_bytes(sha256(f"{seed} {text}".encode()).digest()[:8], "big")


def _calls(by: Caller, steps: Iterable[Step]) -> Iterator[tuple[Caller, Step]]:
    for step in steps:
        yield by, step


def _chain(
    one: Iterator[tuple[Caller, Step]], other: Iterator[tuple[Caller, Step]]
) -> Iterator[tuple[Caller, Step]]:
    yield from one
    yield from other


def _marked(steps: Sequence[Step], attackers: Sequence[bool]) -> Iterator[tuple[Caller, Step]]:
    for step, is_attackers in zip(steps, attackers, strict=True):
        yield ("attacker" if is_attackers else "user"), step


def _told(steps: Sequence[Step]) -> str:
    """What an untrusted text says for the attacker to have these values from it."""
    return " ".join(str(value) for step in steps for value in step.args.values())


def _document(job: Job, episode: Episode) -> JsonObject:
    calls: list[dict[str, Any]] = [_call(each) for each in episode.calls]
    return {
        "suite": job.suite,
        "variant": job.variant,
        "plan": job.plan,
        "kind": job.kind,
        "task": job.task,
        "goal": job.goal,
        "move": job.move,
        "foreign": job.foreign,
        "scenario": job.scenario,
        "done": episode.is_done,
        "reached": episode.is_reached,
        "plan_refused": episode.plan_refused,
        "calls": calls,
    }


def _call(end: CallEnd) -> dict[str, Any]:
    return {
        "tool": end.tool,
        "effect": end.effect,
        "by": end.by,
        "verdict": end.verdict,
        "ran": end.ran,
        "codes": list(end.codes),
        "arguments": list(end.arguments),
        "ms": round(end.seconds * 1000, 3),
    }
