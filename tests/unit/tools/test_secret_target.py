"""Where a credential belongs: policies learn that it is one, and never which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from permissions.errors import ToolDefinitionError
from permissions.tools.targets import SecretArg, TargetError, mark_named, parse_targets


@pytest.mark.parametrize("value", ["Kestrel-42-blue", 4711, "-----BEGIN KEY-----\nabc\n"])
@pytest.mark.parametrize("mark", [SecretArg(), SecretArg(new=True)], ids=["presented", "set"])
def test_a_credential_is_a_target_without_its_value(mark: SecretArg, value: Any) -> None:
    assert parse_targets(mark, "key", value, Path("/")) == [
        {"kind": "secret", "argument": "key", "new": mark.new}
    ]


@pytest.mark.parametrize("value", ["", True, 1.5, {"a": 1}, "x" * 70_000], ids=ascii)
def test_what_can_be_none_is_refused_without_saying_it(value: Any) -> None:
    with pytest.raises(TargetError, match="credential"):
        parse_targets(SecretArg(), "key", value, Path("/"))


def test_it_is_set_or_presented() -> None:
    with pytest.raises(ToolDefinitionError, match="True or False"):
        SecretArg(new="yes")  # type: ignore[arg-type]
    assert mark_named("secret") == SecretArg()
    assert mark_named("secret new") == SecretArg(new=True)
