"""A bundle is what its files say, all of it and nothing else, under one digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rego_samples import sample_bundle

from permissions.errors import PolicyLoadError
from permissions.model import Digest
from permissions.pdp.bundle import (
    MAX_MODULE_BYTES,
    PolicyBundle,
    load_bundle,
    load_revision,
    save_bundle,
    shipped_folder,
)

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(
        tmp_path / "policies",
        {
            "main/main.rego": "package wardline.main\n",
            "main/main_test.rego": "package wardline.main_test\n",
            "data/hosts.json": '{"allowed": ["a"]}',
            "schemas/input.json": "{}",
            "notes.txt": "nothing",
            ".hidden/x.rego": "package x\n",
        },
    )


def codes(err: PolicyLoadError) -> list[str]:
    return [finding.split(": ")[1] for finding in err.findings]


def test_modules_tests_and_tables_are_told_apart(folder: Path) -> None:
    bundle = load_bundle(folder)

    assert dict(bundle.modules) == {"main/main.rego": "package wardline.main\n"}
    assert dict(bundle.tests) == {"main/main_test.rego": "package wardline.main_test\n"}
    assert bundle.data == {"wardline": {"tables": {"hosts": {"allowed": ["a"]}}}}


def test_the_shipped_policies_are_the_default() -> None:
    bundle = load_bundle()

    assert "main/main.rego" in bundle.modules
    assert bundle == load_bundle(shipped_folder())


def test_an_overlay_adds_packages_and_replaces_tables(folder: Path, tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine",
        {
            "extra/extra.rego": "package wardline.policies.extra\n",
            "data/hosts.json": '{"denied": []}',
        },
    )

    bundle = load_bundle(folder, overlay=mine)

    assert sorted(bundle.modules) == ["extra/extra.rego", "main/main.rego"]
    assert bundle.data["wardline"]["tables"] == {"hosts": {"denied": []}}


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("main/main.rego", "package wardline.main\n\n", True),
        ("other/main.rego", "package wardline.main\n", True),
        ("data/hosts.json", '{"allowed": ["b"]}', True),
        ("data/more.json", "{}", True),
        ("data/hosts.json", '{ "allowed":["a"] }', False),
        ("main/main_test.rego", "package wardline.other_test\n", False),
        ("notes.txt", "something", False),
    ],
)
def test_the_revision_changes_with_what_is_served(
    folder: Path, name: str, text: str, *, counts: bool
) -> None:
    before = load_bundle(folder).revision

    after = load_bundle(write(folder, {name: text})).revision

    assert (before != after) is counts


@given(st.dictionaries(st.text(min_size=1), st.text()), st.randoms())
def test_the_revision_does_not_depend_on_order(modules: dict[str, str], random: object) -> None:
    shuffled = list(modules.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert PolicyBundle.of(modules).revision == PolicyBundle.of(dict(shuffled)).revision


def test_swapped_texts_are_another_revision() -> None:
    one = PolicyBundle.of({"a": "x", "b": "y"})

    assert one.revision != PolicyBundle.of({"a": "y", "b": "x"}).revision


def test_a_saved_bundle_comes_back(tmp_path: Path) -> None:
    bundle = PolicyBundle.of({"é.rego": "package a # é\n"}, {"n": [1, 1.5, None, "é"]})

    path = save_bundle(bundle, tmp_path / "bundles")

    assert path.name == f"{bundle.revision.removeprefix('sha256:')}.json"
    assert load_revision(tmp_path / "bundles", bundle.revision) == bundle
    assert save_bundle(bundle, tmp_path / "bundles") == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_altered_saved_bundle_is_refused(tmp_path: Path) -> None:
    path = save_bundle(sample_bundle(), tmp_path)
    document = json.loads(path.read_text())
    document["modules"]["main/main.rego"] += "\n"
    path.write_text(json.dumps(document))

    with pytest.raises(PolicyLoadError) as caught:
        load_revision(tmp_path, sample_bundle().revision)

    assert codes(caught.value) == ["bundle.altered"]


@pytest.mark.parametrize(
    ("revision", "code"),
    [
        ("sha256:" + "0" * 64, "bundle.unreadable"),
        ("sha256:../../etc/passwd", "bundle.revision"),
        ("", "bundle.revision"),
    ],
)
def test_an_unknown_revision_is_refused(tmp_path: Path, revision: str, code: str) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        load_revision(tmp_path, Digest(revision))

    assert codes(caught.value) == [code]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"modules": {}}', '{"modules": 1, "data": {}}']
)
def test_a_broken_saved_bundle_is_refused(tmp_path: Path, text: str) -> None:
    revision = Digest("sha256:" + "0" * 64)
    (tmp_path / f"{'0' * 64}.json").write_text(text)

    with pytest.raises(PolicyLoadError):
        load_revision(tmp_path, revision)


BROKEN = {
    "size": ("a.rego", "#" * (MAX_MODULE_BYTES + 1), "bundle.size"),
    "no JSON": ("data/a.json", "{", "bundle.json"),
    "NaN": ("data/a.json", '{"a": NaN}', "bundle.json"),
    "a key twice": ("data/a.json", '{"a": 1, "a": 2}', "bundle.json"),
    "table name": ("data/a-b.json", "{}", "bundle.table"),
    "policy in capitals": ("layers/team/team.REGO", "package a", "bundle.unread"),
    "table in YAML": ("data/messaging.yaml", "domains: []", "bundle.unread"),
    "table in a folder": ("data/team/messaging.json", "{}", "bundle.unread"),
    "data as OPA has it": ("layers/team/data.json", "{}", "bundle.unread"),
}


@pytest.mark.parametrize(("name", "text", "code"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_a_finding(folder: Path, name: str, text: str, code: str) -> None:
    write(folder, {name: text})

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(folder)

    assert codes(caught.value) == [code]
    assert caught.value.findings[0].startswith(f"{name}:1:1: ")


def test_what_is_not_utf8_is_a_finding(folder: Path) -> None:
    (folder / "a.rego").write_bytes(b"package a # \xff\n")

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(folder)

    assert codes(caught.value) == ["bundle.encoding"]


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside.rego"])
def test_a_link_out_of_the_folder_is_a_finding(folder: Path, target: str) -> None:
    (folder.parent / "outside.rego").write_text("package outside\n")
    (folder / "a.rego").symlink_to(target)

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(folder)

    assert codes(caught.value) == ["bundle.link"]


def test_a_linked_folder_is_a_finding(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(folder)

    assert codes(caught.value) == ["bundle.link"]


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    """As configuration that is mounted into a container has it."""
    (folder / "a.rego").symlink_to("main/main.rego")

    assert "a.rego" in load_bundle(folder).modules


def test_every_broken_file_is_named_at_once(folder: Path) -> None:
    write(folder, {"data/a.json": "{", "data/b.json": "["})

    with pytest.raises(PolicyLoadError) as caught:
        load_bundle(folder)

    assert len(caught.value.findings) == 2


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_policies_is_a_finding(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(PolicyLoadError):
        load_bundle(tmp_path / name)


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("x := input.context.history", True),
        ('x := input.context["history"]', True),
        ('x := input["context"]', True),
        ('x := object.get(input, ["context", "history"], [])', True),
        ("x := input.context", True),
        ("some k, v in input.context", True),
        ("import input.context as c", True),
        ("x := input", True),
        ("x := input.context.labels", False),
        ("x := input.resource.properties.args", False),
        ("# history is no business of this policy", False),
        ("x := count(`\n# `) + count(input.context.history)", True),
        ("x := `\n#` != input.context.history", True),
        ('x := "\u2028# " == input.context.history', True),
    ],
)
def test_a_policy_that_may_read_the_history_is_known(line: str, reads: bool) -> None:  # noqa: FBT001
    bundle = PolicyBundle.of({"a.rego": "package a\n", "b.rego": f"package b\n{line}\n"})

    assert bundle.reads_history() is reads


def test_no_shipped_policy_reads_the_history() -> None:
    assert not load_bundle().reads_history()
