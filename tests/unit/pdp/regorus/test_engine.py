"""One engine answers many questions, each as a new one would."""

from __future__ import annotations

import gc
import json
import random
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from rego_policies import random_arguments, random_policy
from rego_samples import sample_request

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.pdp.regorus.parse import parse

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20261130


def answer(engine: Engine, question: str) -> str:
    try:
        return engine.ask(ENTRYPOINT, question)
    except EngineError as err:
        return err.fault


def test_a_question_that_failed_changes_no_later_answer() -> None:
    rng = random.Random(SEED)  # noqa: S311 - the same policies each time
    failed = policies = 0
    while policies < 12:
        modules = {"main/main.rego": random_policy(rng, "wardline.main")}
        if check_bundle(PolicyBundle.of(modules)):
            continue
        policies += 1
        used = Engine(modules, "{}")
        for _ in range(60):
            question = json.dumps(sample_request("t", **random_arguments(rng)))
            fresh = answer(Engine(modules, "{}"), question)
            assert answer(used, question) == fresh, modules["main/main.rego"]
            failed += not fresh.startswith(("{", '"'))
    assert failed > 20


@pytest.mark.parametrize(
    "work",
    [
        lambda: parse("a.rego", "package a\n\np if {"),
        lambda: Engine({"a.rego": "package a\n\np if {"}, "{}", translated=True),
    ],
    ids=["parse", "load"],
)
def test_an_error_may_be_dropped_in_another_thread(work: Callable[[], object]) -> None:
    """The engine may not; what it says then fails whichever test runs."""
    errors: list[BaseException] = []

    def fails() -> None:
        try:
            work()
        except EngineError as err:
            errors.append(err)

    thread = Thread(target=fails)
    thread.start()
    thread.join()
    assert errors
    errors.clear()
    gc.collect()


def test_an_engine_may_be_given_up_in_another_thread() -> None:
    """The collector runs in whichever thread it likes; that one drops nothing of the library."""
    made: list[Engine] = []
    more, done = Event(), Event()

    def makes() -> None:
        made.append(Engine({}, "{}"))
        done.set()
        more.wait()
        made.append(Engine({"a.rego": "package a\n\nx := 1"}, "{}"))  # drops the other one
        assert made[-1].ask("data.a.x", "{}") == "1"

    thread = Thread(target=makes)
    thread.start()
    done.wait()
    made.clear()
    gc.collect()
    more.set()
    thread.join()
    assert len(made) == 1
    made.clear()
    gc.collect()
