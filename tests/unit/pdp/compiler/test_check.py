"""What OPA's compiler refuses is refused at load; `test_loader_agrees` holds OPA to the table."""

from __future__ import annotations

import pytest
from rego_faults import FAULTS, Fault

from permissions.pdp.bundle import PolicyBundle
from permissions.pdp.lint.bundle import check_bundle

OF_THE_TEST = {"rego.no_entrypoint", "rego.unread_package", "rego.unknown_input"}


def codes(text: str) -> set[str]:
    bundle = PolicyBundle.of({"faults.rego": f"package faults\n\n{text}\n"})
    return {finding.code for finding in check_bundle(bundle)} - OF_THE_TEST


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_what_opa_refuses_is_refused(fault: Fault) -> None:
    assert fault.code in codes(fault.bad)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_its_sound_twin_loads(fault: Fault) -> None:
    assert codes(fault.good) == set()
