"""Spans, events, statements and tables, read back by the libraries that define them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import jsonschema
import pytest
from google.protobuf import json_format
from hostile import write_hostile_log
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb
from logs import KEK, write_state
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.semconv._incubating.attributes import error_attributes, gen_ai_attributes
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
from typer.testing import CliRunner

from permissions.cli.trace import app
from permissions.export import spans
from permissions.export.calls import ended_calls
from permissions.export.ocsf import events
from permissions.export.opened import Entries
from permissions.signing.keys import generate
from permissions.trace.reader import read_entries
from permissions.trace.vault import VaultReader

if TYPE_CHECKING:
    from permissions.export.calls import Call
    from permissions.model import JsonObject

OCSF = Path(__file__).parents[2] / "vectors" / "ocsf" / "api_activity.json"
SAID = {"origin": "log.example/1", "integrity": "signed", "build": "1"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    write_state(folder, runs=["run-a", "run-b"])
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile_log(folder)
    return list(ended_calls(Entries(read_entries(folder), VaultReader(folder, KEK))))


def exported(state: Path, target: Path, form: str, *arguments: str) -> list[Any]:
    options = ["export", f"--{form}", str(target), "--dir", str(state), "--open", *arguments]
    environment = {"XDG_STATE_HOME": str(target.parent / "xdg")}
    done = CliRunner().invoke(app, options, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return (
        [json.loads(line) for line in target.read_text().splitlines()]
        if target.is_file()
        else []
    )


def as_protobuf(document: Any) -> TracesData:
    """Reads OTLP/JSON, which writes ids in hex where protobuf's own JSON has base64."""

    def mended(value: Any) -> Any:
        if isinstance(value, list):
            return [mended(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(found)).decode()
            if key in ("traceId", "spanId")
            else mended(found)
            for key, found in value.items()
        }

    return json_format.ParseDict(mended(document), TracesData())


def leaves(state: Path) -> dict[int, str]:
    return {each.index: each.leaf.hex() for each in read_entries(state / "trace")}


def test_spans_are_what_the_protocol_defines(state: Path, tmp_path: Path) -> None:
    documents = exported(state, tmp_path / "spans.jsonl", "spans")

    found = [
        each.resource_spans[0].scope_spans[0].spans[0] for each in map(as_protobuf, documents)
    ]
    facts = {each.key: each.value for each in found[0].attributes}

    assert [span.name for span in found] == ["execute_tool read"] * 4
    assert len({span.span_id for span in found}) == 4
    assert len({span.trace_id for span in found}) == 2
    assert {(len(span.trace_id), len(span.span_id)) for span in found} == {(16, 8)}
    assert found[0].end_time_unix_nano > found[0].start_time_unix_nano
    assert facts["gen_ai.tool.call.arguments"].string_value == '{"path":"a"}'
    assert (
        leaves(state)[facts["wardline.leaf.index"].int_value]
        == facts["wardline.leaf.hash"].string_value
    )


def test_the_pinned_names_are_the_convention_s() -> None:
    known = {
        value
        for module in (gen_ai_attributes, error_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    names = {
        name: value
        for name, value in vars(spans).items()
        if isinstance(value, str) and value.startswith(("gen_ai.", "error."))
    }

    assert len(names) == 9
    assert set(names.values()) <= known
    assert gen_ai_attributes.GenAiOperationNameValues.EXECUTE_TOOL.value == spans.EXECUTE_TOOL


def test_a_value_from_an_earlier_call_is_a_link_to_it(hostile: list[Call]) -> None:
    document = as_protobuf(next(iter(spans.spans(hostile, **SAID))))
    (link,) = document.resource_spans[0].scope_spans[0].spans[0].links

    assert {each.key for each in link.attributes} == {
        "wardline.argument",
        "wardline.trusted",
        "wardline.pointer",
    }


def test_events_are_what_the_schema_allows(state: Path, tmp_path: Path) -> None:
    check = jsonschema.Draft202012Validator(json.loads(OCSF.read_text()))
    found = exported(state, tmp_path / "ocsf.jsonl", "ocsf")

    assert len(found) == 4
    for each in found:
        check.validate(each)
        assert leaves(state)[each["unmapped"]["leaf_index"]] == each["unmapped"]["leaf_hash"]


def test_events_of_hostile_calls_are_what_the_schema_allows(hostile: list[Call]) -> None:
    check = jsonschema.Draft202012Validator(json.loads(OCSF.read_text()))
    found: list[JsonObject] = list(events(hostile, **SAID))

    for each in found:
        check.validate(each)
    assert {each["status_id"] for each in found} == {2}
    assert {each["action_id"] for each in found} == {2}


def test_the_schema_refuses_what_is_no_such_event(hostile: list[Call]) -> None:
    """A schema that takes everything would prove nothing."""
    check = jsonschema.Draft202012Validator(json.loads(OCSF.read_text()))
    event = next(iter(events(hostile, **SAID)))

    for wrong in ({**event, "activity_id": 7}, {**event, "extra": 1}, {**event, "actor": {}}):
        assert not check.is_valid(wrong)


def test_statements_verify_and_are_statements(state: Path, tmp_path: Path) -> None:
    signer = generate(tmp_path / "responder.pem")
    documents = exported(
        state,
        tmp_path / "statements.jsonl",
        "statements",
        "--sign",
        f"file:{tmp_path / 'responder.pem'}",
    )
    value = {"public": signer.public.raw.hex()}
    key = SSlibKey(signer.keyid, "ed25519", "ed25519", value)

    assert len(documents) == 4
    for document in documents:
        envelope = Envelope.from_dict(document)
        assert set(envelope.verify([key], 1)) == {signer.keyid}
        said = Statement.copy_from_pb(json_format.Parse(envelope.payload, StatementPb()))
        said.validate()
        index = int(said.pb.subject[0].name.rpartition("/")[2])
        assert said.pb.subject[0].digest["sha256"] == leaves(state)[index]


def test_tables_are_read_by_duckdb(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(state, tmp_path / "tables", "parquet")
    monkeypatch.chdir(tmp_path / "tables")
    database = duckdb.connect()
    database.execute((tmp_path / "tables" / "views.sql").read_text())

    rows = database.execute("SELECT leaf_index, leaf_hash FROM entries").fetchall()
    rules = database.execute("SELECT * FROM rules").fetchall()
    calls = database.execute(
        "SELECT count(*) FROM calls JOIN entries USING (leaf_index, leaf_hash, integrity)"
    ).fetchall()

    assert dict(rows) == leaves(state)
    assert rules == [("read", 4, 4, 0)]
    assert calls == [(4,)]


def test_flows_join_a_value_to_where_it_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from permissions.export.tables import write_tables

    write_hostile_log(tmp_path / "log")
    vault = VaultReader(tmp_path / "log", KEK)
    write_tables(
        tmp_path / "tables",
        Entries(read_entries(tmp_path / "log"), vault),
        integrity=lambda _: "signed",
    )
    monkeypatch.chdir(tmp_path / "tables")
    database = duckdb.connect()
    database.execute((tmp_path / "tables" / "views.sql").read_text())

    flows = database.execute("SELECT trusted, ended_as FROM flows").fetchall()

    assert flows == [(False, "denied")] * 12
