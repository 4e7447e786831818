"""What our loader takes, OPA's compiler takes: a policy OPA refuses to compile permits nothing.

The other way round does not hold: we refuse more, each with a code and a fix.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from rego_conformance import OF_THE_CONTRACT, conformance_cases, conformance_folder
from rego_faults import FAULTS, Fault
from rego_oracle import OpaRefusal, Oracle, oracle
from rego_text_mutations import mutated_text

from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.lint.bundle import check_bundle
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [pytest.mark.opa, pytest.mark.unmeasured]

SEED = 20261130
MUTATED = 60_000


@pytest.fixture(scope="module")
def server() -> Iterator[Oracle]:
    with oracle() as running:
        yield running


def is_taken(modules: Mapping[str, str]) -> bool:
    """Whether our loader takes modules, what it says of the contract aside."""
    bundle = PolicyBundle.of(modules, {})
    findings = check_bundle(bundle, entrypoint="data.none.none")
    if {finding.code for finding in findings} - OF_THE_CONTRACT:
        return False
    try:
        Engine(bundle.modules, "{}")
    except EngineError:
        return False
    return True


def refusal(server: Oracle, modules: Mapping[str, str]) -> str:
    """What OPA says against modules; empty when it takes them."""
    loaded: list[str] = []
    try:
        for name, text in modules.items():
            server.load(name, text)
            loaded.append(name)
    except OpaRefusal as said:
        return str(said)
    finally:
        for name in loaded:
            server.unload(name)
    return ""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_opa_refuses_the_same(server: Oracle, fault: Fault) -> None:
    assert refusal(server, {"faults.rego": f"package faults\n\n{fault.bad}\n"})
    assert not refusal(server, {"faults.rego": f"package faults\n\n{fault.good}\n"})


def sound_modules() -> list[dict[str, str]]:
    """The shipped policies, each alone, and OPA's conformance cases, as far as they load."""
    folder = conformance_folder()
    if folder is None:
        pytest.skip("no conformance cases: `go mod download` OPA's sources")
    groups = [{path: text} for path, text in load_bundle().modules.items()]
    for _, case in conformance_cases(folder):
        texts = case.get("modules") or []
        if texts and "want_error" not in case and sum(map(len, texts)) < 3000:
            groups.append({f"m{number}.rego": text for number, text in enumerate(texts)})
    return groups


@pytest.mark.differential
@pytest.mark.timeout(1800)
def test_a_mutated_policy_that_loads_compiles(server: Oracle) -> None:
    rng = random.Random(SEED)  # noqa: S311 - the same mutations each time
    groups = sound_modules()
    taken = 0
    for _ in range(MUTATED):
        modules = dict(rng.choice(groups))
        path = rng.choice(list(modules))
        modules[path] = mutated_text(rng, modules[path])
        if is_taken(modules):
            taken += 1
            assert refusal(server, modules) == "", modules[path]
    assert taken > MUTATED / 40
