"""The registry of people who may answer."""

from __future__ import annotations

import pytest
from people import KEYS

from permissions.approval.approvers import Approver, Approvers
from permissions.errors import ApproverRefusedError, ConfigError
from permissions.setup.config import ApproverConfig


def person(name: str, key: str = "bob") -> Approver:
    return Approver(name, frozenset({"finance"}), KEYS[key].public)


def test_the_configuration_becomes_a_registry() -> None:
    key = KEYS["bob"].public
    registry = Approvers.from_config(
        {"bob": ApproverConfig(groups=("finance",), public_key=str(key))}
    )

    assert registry.get("bob") == Approver("bob", frozenset({"finance"}), key)
    assert registry.holding(key).id == "bob"


def test_a_key_that_is_none_names_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"approvers\.bob\.public_key"):
        Approvers.from_config({"bob": ApproverConfig(public_key="c2hvcnQ=")})


def test_two_people_with_one_key_are_refused() -> None:
    with pytest.raises(ConfigError, match="same public key"):
        Approvers([person("bob"), person("robert")])


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        Approvers([person("bob"), person("bob")])


@pytest.mark.parametrize("name", ["", "Bob", "böb", "bob smith", "-bob", "b" * 65, "bob\n"])
def test_names_that_could_be_confused_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="approver id"):
        Approvers([person(name)])


def test_unlisted_people_are_refused() -> None:
    registry = Approvers([person("bob")])

    with pytest.raises(ApproverRefusedError, match="no registered approver"):
        registry.get("mallory")
    with pytest.raises(ApproverRefusedError, match="belongs to no registered"):
        registry.holding(KEYS["mallory"].public)
