"""What is composed of a bundle: names, source lines, constants, and what is left as it is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from policy_cases import base_document

from permissions.pdp.base import ENTRYPOINT
from permissions.pdp.bundle import PolicyBundle, load_bundle
from permissions.pdp.linker.linked import (
    JOINED_DIGEST,
    JOINED_PATH,
    LinkedBundle,
    link,
    was_linked,
)
from permissions.pdp.regorus.engine import Engine
from permissions.pdp.regorus.errors import EngineError
from permissions.signing.canonical import digest

SHIPPED = load_bundle()
FRAME = {
    path: text
    for path, text in SHIPPED.modules.items()
    if path.split("/")[0] in {"main", "joined", "lib", "contract"}
}
VOICES = '"agent": "a", "operator": "o", "nearest": null'
CALL = "linked/call.rego"


def bundle(text: str, **others: str) -> PolicyBundle:
    """The frame with a package `p`, and others by the words of their paths."""
    modules = {"p/p.rego": f"package wardline.policies.p\n\n{text}\n"}
    for name, module in others.items():
        path = name.replace("__", "/")
        modules[f"{path}/{path.rsplit('/', 1)[-1]}.rego"] = module
    return PolicyBundle.of({**FRAME, **modules}, SHIPPED.data)


def answers(one: PolicyBundle) -> tuple[Any, Any]:
    """What is written and what is linked say of a harmless call."""
    linked = link(one)
    assert linked.is_linked
    data, asked = json.dumps(one.data), json.dumps(base_document())
    return (
        json.loads(Engine(one.modules, data).ask(ENTRYPOINT, asked)),
        json.loads(Engine(linked.modules, data).ask(linked.entrypoint, asked)),
    )


def test_the_shipped_bundle_is_linked() -> None:
    linked = link(SHIPPED)

    assert linked.is_linked
    assert SHIPPED.modules.items() <= linked.modules.items()
    assert digest(SHIPPED.modules[JOINED_PATH].encode()) == JOINED_DIGEST


def test_a_call_of_the_form_is_answered_the_same_without_a_look_at_it() -> None:
    """The texts that this rests on are the shipped ones, and with others there is no such rule."""
    linked = link(SHIPPED)
    engine = Engine(linked.modules, json.dumps(SHIPPED.data))
    asked = json.dumps(base_document())
    faulty = json.dumps({**base_document(), "context": {}})
    changed = {
        **SHIPPED.modules,
        "main/main.rego": SHIPPED.modules["main/main.rego"] + "\n# x\n",
    }

    assert linked.formed
    assert engine.ask(linked.formed, asked) == engine.ask(linked.entrypoint, asked)
    assert "contract.context" in engine.ask(linked.entrypoint, faulty)
    assert "contract." not in engine.ask(linked.formed, faulty)
    other = link(PolicyBundle.of(changed, SHIPPED.data))
    assert other.is_linked
    assert other.formed == ""


def test_a_record_names_the_version() -> None:
    named = link(SHIPPED).named("regorus/1")

    assert was_linked(named)
    assert not was_linked("regorus/1")
    assert not was_linked("regorus/1 linker/0")
    assert LinkedBundle(SHIPPED.modules).named("regorus/1") == "regorus/1"


def test_only_names_are_renamed() -> None:
    """Not the same words in texts, comments, members, and locals of comprehensions."""
    text = f"""_word := "of _word"

deny contains {{"code": "p._word", {VOICES}}} if {{ # _word
	input.resource.properties.args["_word"] == _word
	{{"_word": x | some x in [_word]}}._word == _word
	input.context._word
}}"""
    linked = link(bundle(text)).modules[CALL]

    assert 'p__word := "of _word"' in linked
    assert f'joined_denials contains {{"code": "p._word", {VOICES}}} if {{ # _word' in linked
    assert '\tinput.resource.properties.args["_word"] == p__word' in linked
    assert '\t{"_word": x | some x in [p__word]}._word == p__word' in linked
    assert "\tinput.context._word" in linked


def test_a_new_name_is_nobodys() -> None:
    text = """_a := "x"

allow contains p__a if {
	some p__a in [_a]
}"""
    written, linked = answers(bundle(text))

    assert linked == written
    assert written["context"]["rules"] == ["x"]


@pytest.mark.parametrize(
    ("imported", "used"),
    [
        ("data.wardline.lib", "lib.ordinary_impact"),
        ("data.wardline.lib as words", 'words["ordinary_impact"]'),
        ("data.wardline.lib.isolation_rank", "isolation_rank.kernel == 3"),
        ("data.wardline.lib.isolation_rank.kernel as most", "most == 3"),
        ("data.wardline.tables.isolation as table", "is_object(table.minimum)"),
        ("input.action.properties as does", 'does.effect == "read"'),
        ("data.wardline.lib", "some name\n\tlib[name] == true"),
    ],
)
def test_an_import_means_what_it_meant(imported: str, used: str) -> None:
    written, linked = answers(
        bundle(f'import {imported}\n\nallow contains "p.a" if {{\n\t{used}\n}}')
    )

    assert linked == written
    assert written["context"]["rules"] == ["p.a"]


LAYER = "package wardline.layers.team\n\n"
ALLOWS = 'allow contains "p.a" if true'
ASKS = f"""require_approval contains {{"code": "p.r", {VOICES}, "terms": {{
	"approvers": ["operators"], "quorum": 1, "expires_in_seconds": 1, "separation_of_duties": true,
}}}} if true"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "own"),
    [
        ('allow contains "team.a" if input.resource.id == "nothing"', ALLOWS),
        ('allow contains "team.a" if input.action.name == "tools/call"', ALLOWS),
        (f'deny contains {{"code": "team.d", {VOICES}}} if true', ALLOWS),
        (
            f'require_approval contains {{"code": "team.r", {VOICES}, "terms": null}} if true',
            ASKS,
        ),
        (ASKS, '_a := "b"'),
        (ASKS, ALLOWS),
        ('obligations contains {"id": "o", "type": "label", "properties": {}} if true', ALLOWS),
        ("allow contains 1 if true", ALLOWS),
        ("obligations contains input.action if true", ASKS),
    ],
    ids=[
        *("silent", "allows", "denies", "asks", "asks-alone", "asks-of-all", "obliges"),
        *("no-text", "no-entry"),
    ],
)
def test_layers(rules: str, own: str) -> None:
    written, linked = answers(bundle(own, layers__team=LAYER + rules))

    assert linked == written


@pytest.mark.parametrize(
    "entry",
    [
        "1",
        '{"code": "p.d"}',
        f'{{"code": input.context.time, {VOICES}}}',
        f'{{"code": concat("", ["p", ".d"]), {VOICES}}}',
        f'object.union({{"code": "p.d", {VOICES}}}, {{"more": 1}})',
    ],
)
def test_an_entry_of_another_form_is_malformed(entry: str) -> None:
    written, linked = answers(bundle(f"deny contains {entry} if true"))

    assert linked == written
    assert not written["decision"]


def test_what_is_the_same_for_every_input_is_a_value() -> None:
    text = """_names := ["b", "a"]

_folders := {split(path, "/")[0] | some path in data.wardline.tables.filesystem.secret_paths}

_whole if is_array(data.wardline.tables.filesystem.secret_paths)

_read := [name | some name in _names; name == input.resource.id]

_pairs := [1 | some _ in _names; some _ in _names]

_last := numbers.range(1, 3)

allow contains "p.a" if {
	count(_folders) > 0
	_whole
	_read != [1]
	_pairs != [2]
	_last == [1, 2, 3]
}"""
    one = bundle(text)
    linked = link(one).modules[CALL]
    written, composed = answers(one)

    assert composed == written
    assert written["decision"]
    assert re.search(r'^p__folders := \{"[^"]+", ', linked, re.MULTILINE)
    assert "p__whole := true" in linked
    assert "p__read := [name |" in linked
    assert "p__pairs := [1 |" in linked  # two loops could be long ones
    assert "p__last := numbers.range" in linked  # as could this be


def test_a_fault_names_the_source() -> None:
    """Where a rule stands, not where it was composed."""
    text = (
        'allow contains "p.a" if {\n\tinput.resource.id\n\tlower(input.context.time) == "a"\n}'
    )
    linked = link(bundle(text))
    engine = Engine(linked.modules, json.dumps(SHIPPED.data))

    with pytest.raises(EngineError) as failed:
        engine.ask(linked.entrypoint, json.dumps(base_document()))
    assert failed.value.fault.startswith(CALL)
    assert linked.fault(failed.value.fault).startswith("p/p.rego:5: ")
    assert linked.fault("evaluation failed") == "evaluation failed"


def test_each_line_has_its_source() -> None:
    linked = link(SHIPPED)
    for path, lines in linked.lines.items():
        text = linked.modules[path].split("\n")
        assert len(text) == len(lines) + 1
        for number, source in enumerate(lines, 1):
            assert linked.source(path, number) == source
            if source is not None:
                written = SHIPPED.modules[source[0]].split("\n")[source[1] - 1]
                assert _skeleton(text[number - 1]) <= _skeleton(written) | _skeleton(":=")
    assert linked.source("p/p.rego", 7) == ("p/p.rego", 7)


def _skeleton(line: str) -> set[str]:
    """The texts and signs of a line, which no renaming touches; constants have a line."""
    if " := " in line and not line.startswith(("\t", "}")):
        return set()
    return set(re.findall(r'"[^"]*"', line))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "p/p.rego",
            'package wardline.policies.p\n\n_a.b := 1\n\nallow contains "x" if _a.b == 1\n',
        ),
        (
            "p/p.rego",
            'package wardline.policies.p\n\n_a := input.x\n\nallow contains "x" if _a with input as {}\n',
        ),
        (
            "p/p.rego",
            'package wardline.policies.p\n\nallow contains $"a {input.resource.id}" if true\n',
        ),
        ("p/p.rego", "package wardline.policies.p\n\nallow := true\n"),
        (JOINED_PATH, FRAME[JOINED_PATH] + "\n"),
        ("main/main.rego", "package wardline.main\n\nanswer := 1\n"),
    ],
    ids=["dots", "with", "template", "no-set", "another-join", "no-response"],
)
def test_what_is_served_as_it_is_written(path: str, text: str) -> None:
    one = PolicyBundle.of({**FRAME, path: text}, SHIPPED.data)
    linked = link(one)

    assert not linked.is_linked
    assert linked.modules == one.modules
    assert linked.entrypoint == ENTRYPOINT


def test_data_beside_the_tables_is_served_as_it_is_written() -> None:
    data = {"wardline": {**SHIPPED.data["wardline"], "policies": {"x": {"allow": ["a"]}}}}

    assert not link(PolicyBundle.of(SHIPPED.modules, data)).is_linked
