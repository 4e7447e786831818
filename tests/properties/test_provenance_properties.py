"""What holds for every session: no trust without a trusted source, and no crash."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from json_values import json_values

from permissions.run.provenance import ProvenanceLedger
from permissions.tools.trusted_fields import TrustedFields

JSON = json_values(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
objects = st.dictionaries(st.text(max_size=6), JSON, max_size=4)


@given(st.text(), objects)
def test_every_leaf_has_an_entry(prompt: str, arguments: dict[str, Any]) -> None:
    """Each argument has at least one entry, and an untrusted one never claims the person."""
    ledger = ProvenanceLedger()
    ledger.add_user_text(prompt)

    traced = ledger.trace(arguments, ())

    tops = {pointer.split("/")[1] for pointer in traced}
    assert tops == {name.replace("~", "~0").replace("/", "~1") for name in arguments}
    assert all(entry["trusted"] == (entry["origin"] == "user") for entry in traced.values())


@given(JSON, st.booleans())
def test_untrusted_sources_alone_make_nothing_trusted(output: Any, effectful: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever untrusted tools return, no argument becomes trusted by it."""
    ledger = ProvenanceLedger()
    ledger.add_output(
        "tool",
        output,
        trusted=effectful,
        effect="write" if effectful else "read",
        arguments={},
        provenance={},
    )

    traced = ledger.trace({"whole": output}, ())

    assert not any(entry["trusted"] for entry in traced.values())


@given(JSON, st.lists(st.text(alphabet="ab*", max_size=3), max_size=4))
def test_a_field_believes_nothing_the_call_was_fed(output: Any, names: list[str]) -> None:
    """Whatever fields a tool says its service fills in, they launder no argument."""
    ledger = ProvenanceLedger()
    arguments = {"v": output}
    ledger.add_output(
        "relay",
        output,
        trusted=False,
        effect="write",
        arguments=arguments,
        provenance=ledger.trace(arguments, ()),
        result=output,
        fields=TrustedFields(["", "/*", "/*/*", "/*#", *("/" + name for name in names)]),
    )

    assert not any(e["trusted"] for e in ledger.trace(arguments, ()).values())


@given(st.lists(JSON, max_size=5))
def test_echo_chain_never_launders(values: list[Any]) -> None:
    """However often trusted tools pass an untrusted value on, it stays untrusted."""
    ledger = ProvenanceLedger()
    ledger.add_output("mail", values, trusted=False, effect="read", arguments={}, provenance={})
    for effect in ("read", "write", "read"):
        arguments = {"v": values}
        ledger.add_output(
            "relay",
            arguments,
            trusted=True,
            effect=effect,
            arguments=arguments,
            provenance=ledger.trace(arguments, ()),
        )

    assert not any(e["trusted"] for e in ledger.trace({"v": values}, ()).values())
