"""Settings decide which policies may come into force, and nothing older does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from archives import FILES, packed, signed

from permissions.errors import ConfigError, PolicyLoadError, SigningError, StateError
from permissions.setup.config import BrokerConfig
from permissions.setup.policies import AcceptedPolicies, NamedPolicies, load_policies
from permissions.signing.keys import memory_signer

if TYPE_CHECKING:
    from pathlib import Path

SIGNER = memory_signer(b"3" * 32)


def settings(folder: Path, **pdp: Any) -> BrokerConfig:
    return BrokerConfig(state=folder / "state", workspace=folder, pdp=pdp)


def code(err: PolicyLoadError) -> str:
    return err.findings[0].split(": ")[1]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "key.pub").write_text(str(SIGNER.public))
    path = tmp_path / "policies.tar.gz"
    path.write_bytes(packed(signed(FILES, SIGNER)))
    return path


def test_a_signed_bundle(tmp_path: Path, archive: Path) -> None:
    found = load_policies(
        settings(tmp_path, policies=archive, bundle_keys=[tmp_path / "key.pub"])
    )

    assert set(found.bundle.modules) == {"main/main.rego"}
    assert found.signed_by is not None


def test_only_a_bundle_where_keys_are_pinned(tmp_path: Path, archive: Path) -> None:
    keys = [archive.with_name("key.pub")]
    (tmp_path / "folder").mkdir()
    for policies in (None, tmp_path / "folder"):
        with pytest.raises(PolicyLoadError) as refused:
            load_policies(settings(tmp_path, policies=policies, bundle_keys=keys))
        assert code(refused.value) == "bundle.unsigned"
    with pytest.raises(SigningError, match=r"gone\.pub cannot be read"):
        load_policies(settings(tmp_path, policies=archive, bundle_keys=[tmp_path / "gone.pub"]))


def test_settings_that_contradict_each_other(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs pdp\.bundle_keys"):
        load_policies(settings(tmp_path, policies=archive, refuse_older=True))
    with pytest.raises(ConfigError, match="build both into one"):
        load_policies(settings(tmp_path, policies=archive, overlay=tmp_path))


def released(sequence: int | None, text: bytes = b"") -> NamedPolicies:
    from permissions.pdp.bundle import bundle_of_texts

    bundle = bundle_of_texts({"main/main.rego": FILES["main/main.rego"] + text}, {})
    return NamedPolicies(bundle, sequence, "k")


def test_the_last_one_accepted_is_remembered(tmp_path: Path) -> None:
    accepted = AcceptedPolicies(tmp_path / "policies.json")
    accepted.require_newer(released(7))
    accepted.remember(released(7))

    accepted.require_newer(released(7))
    accepted.require_newer(released(8, b"#"))
    older = [released(6), released(6, b"#"), released(7, b"#"), released(None)]
    codes = []
    for each in older:
        with pytest.raises(PolicyLoadError) as refused:
            AcceptedPolicies(tmp_path / "policies.json").require_newer(each)
        codes.append(code(refused.value))
    assert codes == ["bundle.older", "bundle.older", "bundle.older", "bundle.sequence"]


def test_what_nobody_signed_is_not_remembered(tmp_path: Path) -> None:
    accepted = AcceptedPolicies(tmp_path / "policies.json")

    accepted.remember(replace(released(900), signed_by=None))
    accepted.remember(released(None))

    accepted.require_newer(released(1))


@pytest.mark.parametrize("text", ["", "[]", '{"sequence":"9","revision":"x"}', "{}"])
def test_a_memory_that_cannot_be_read_accepts_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "policies.json").write_text(text)
    accepted = AcceptedPolicies(tmp_path / "policies.json")

    with pytest.raises(StateError, match="put it back"):
        accepted.require_newer(released(900))
    with pytest.raises(StateError, match="put it back"):
        accepted.remember(released(900))
