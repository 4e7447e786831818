"""A collector that speaks OTLP gets each call as a span; one that is away costs no call."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from serving import TOOLS

from permissions.errors import ConfigError
from permissions.export.spans import span_id
from permissions.model import Completed, Denial
from permissions.service.dial import UnixDial
from permissions.service.remote import RemoteBroker
from permissions.setup.daemon import running, socket_of
from permissions.tools.call import ToolCall
from permissions.trace.log import SignedLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.setup.config import BrokerConfig


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """What a collector's OTLP receiver is: decodes the requests as the protocol has them."""
    requests: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


def sent_to(config: BrokerConfig, address: str) -> BrokerConfig:
    return config.model_copy(
        update={"service": config.service.model_copy(update={"otlp": address})}
    )


async def called(config: BrokerConfig) -> tuple[str, list[Any]]:
    """The log's origin, and how three calls of the run `r` came out."""
    async with running(config, TOOLS) as daemon:
        log = daemon.broker.parts.trace
        while not isinstance(log, SignedLog):
            log = log._log  # type: ignore[attr-defined]
        remote = RemoteBroker(UnixDial(socket_of(config)), TOOLS)
        async with remote.session(
            user="alice", agent="desk", run="r", approval_mode="suspend"
        ) as session:
            calls = [("measure", {"text": "s3cret"}), ("destroy", {"name": "x"}), ("odd", {})]
            found = [await remote.call(session, ToolCall(*each)) for each in calls]
        return log.origin, found


async def test_a_collector_gets_each_call(config: BrokerConfig) -> None:
    with collector() as (address, requests):
        origin, (ran, asked, unknown) = await called(sent_to(config, address))
    assert isinstance(ran, Completed)
    assert isinstance(asked, Denial)
    found = {}
    for request in requests:
        assert b"s3cret" not in request.SerializeToString()
        for resource in request.resource_spans:
            facts = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert (facts["service.name"], facts["wardline.log.origin"]) == ("wardline", origin)
            for scope in resource.scope_spans:
                assert scope.scope.name == "wardline.trace"
                found.update({each.span_id.hex(): each for each in scope.spans})
    assert found.keys() == {
        span_id(8, origin, "r", each.call) for each in (ran, asked, unknown)
    }
    assert {each.trace_id.hex() for each in found.values()} == {span_id(16, origin, "r")}
    span = found[span_id(8, origin, "r", ran.call)]
    told = {each.key: each.value for each in span.attributes}
    assert span.name == "execute_tool measure"
    assert told["gen_ai.tool.name"].string_value == "measure"
    assert told["gen_ai.conversation.id"].string_value == "r"
    assert told["gen_ai.agent.id"].string_value == "desk"
    assert told["wardline.decision"].bool_value
    assert told["wardline.rules"].array_value.values
    assert span.status.code == span.status.STATUS_CODE_OK
    assert span.start_time_unix_nano <= span.end_time_unix_nano
    refused = found[span_id(8, origin, "r", asked.call)]
    assert refused.status.code == span.status.STATUS_CODE_ERROR
    assert {e.key: e.value for e in refused.attributes}["error.type"].string_value


@pytest.mark.slow
async def test_a_collector_that_is_away_costs_no_call(config: BrokerConfig) -> None:
    _, (ran, *_) = await called(sent_to(config, "http://127.0.0.1:9"))
    assert isinstance(ran, Completed)


async def test_an_address_that_is_none_is_told(config: BrokerConfig) -> None:
    with pytest.raises(ConfigError, match=r"service\.otlp"):
        await called(sent_to(config, "localhost:4318"))
