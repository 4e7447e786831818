"""Calls as OpenTelemetry spans, sent to a collector as they end (OTLP over HTTP).

The same spans, ids included, as `wardline trace export` writes later (`spans`), less what only the
log knows: no argument and no result leaves here. They are sent beside calls, from a queue with an
end: a collector that is away, or slow, costs spans and no call. The record is the trace, not this.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync as in_thread

from permissions.errors import ConfigError
from permissions.export import spans
from permissions.export.calls import Calls
from permissions.export.opened import OpenedEntry
from permissions.logs import get_logger
from permissions.trace.reader import RecordedEntry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

    from permissions.export.calls import Call
    from permissions.trace.entry import Receipt, TraceEntry, TraceLog
    from permissions.vocabulary import Barrier

FLUSH_MS = 5000
"""For what is queued to be sent, when the broker ends."""
_INPUTS = ("input", "input_patch")
_log = get_logger("export.otlp")


class SpannedTrace:
    """A `TraceLog` in front of another, whose calls become spans; nothing recorded is changed."""

    def __init__(self, log: TraceLog, sender: SpanSender) -> None:
        self._log = log
        self._sender = sender

    def seal_ahead(self, entries: Sequence[TraceEntry]) -> None:
        """See `TraceLog`."""
        self._log.seal_ahead(entries)

    async def append(self, entries: Sequence[TraceEntry], *, barrier: Barrier) -> Receipt:
        """See `TraceLog`."""
        receipt = await self._log.append(entries, barrier=barrier)
        try:
            self._sender.recorded(entries, receipt.first)
        except Exception as err:  # noqa: BLE001 - what is watched goes on, whoever watches
            _log.error("span_lost", fault=type(err).__name__)
        return receipt


class SpanSender:
    """Puts calls together from entries, and hands each to a processor of the SDK when it ends.

    Args:
        processor: sends spans.
        origin: of the log, which ids are made from.
        build: the program's version.
    """

    def __init__(self, processor: SpanProcessor, *, origin: str, build: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._processor = processor
        self._origin = origin
        self._calls = Calls()
        facts = {"service.name": "wardline", "service.version": build}
        self._resource = Resource({**facts, "wardline.log.origin": origin})
        self._scope = InstrumentationScope("wardline.trace", build, spans.SCHEMA)

    def recorded(self, entries: Sequence[TraceEntry], first: int) -> None:
        """Entries were recorded, the first of them under that index."""
        now = time.time_ns() // 1000
        for index, entry in enumerate(entries, first):
            contents = {
                name: entry.contents[name] for name in _INPUTS if name in entry.contents
            }
            known = RecordedEntry(
                index=index,
                origin=self._origin,
                time=now,
                type=entry.type,
                run=entry.run,
                call=entry.call,
                body=entry.body,
                digests={},
                line=b"",
                contents=(),
            )
            ended = self._calls.take(OpenedEntry(known, contents, {}))
            if ended is not None:
                self._processor.on_end(self._span(ended))

    def _span(self, call: Call) -> ReadableSpan:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import ReadableSpan

        def context(run: str, name: str | None) -> trace.SpanContext:
            ids = (
                spans.span_id(16, self._origin, run),
                spans.span_id(8, self._origin, run, name),
            )
            sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            return trace.SpanContext(int(ids[0], 16), int(ids[1], 16), False, sampled)  # noqa: FBT003

        failed = spans.has_failed(call)
        links = [
            trace.Link(context(call.run, each.call), _plain(spans.link_facts(each)))
            for each in call.origins
            if each.call is not None
        ]
        status = (
            trace.Status(trace.StatusCode.ERROR, call.status or call.end)
            if failed
            else trace.Status(trace.StatusCode.OK)
        )
        return ReadableSpan(
            name=spans.span_name(call),
            context=context(call.run, call.id),
            resource=self._resource,
            attributes=_plain(spans.facts(call, failed=failed)),
            links=links,
            kind=trace.SpanKind.INTERNAL,
            instrumentation_scope=self._scope,
            status=status,
            start_time=call.began * 1000,
            end_time=(call.ended or call.began) * 1000,
        )


@asynccontextmanager
async def sending(collector: str, *, origin: str, build: str) -> AsyncIterator[SpanSender]:
    """Sends spans while the context is open; what is queued then has `FLUSH_MS`.

    Args:
        collector: address (`http://127.0.0.1:4318`); headers come from the variables of the SDK
            (`OTEL_EXPORTER_OTLP_HEADERS`).
        origin: of the log.
        build: the program's version.

    Raises:
        ConfigError: it is no address, or the extra is not there.
    """
    found = urlsplit(collector)
    if found.scheme not in {"http", "https"} or not found.hostname:
        raise ConfigError(
            f"service.otlp: {collector[:120]!r} is no address of a collector; it reads"
            " http://127.0.0.1:4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as err:
        raise ConfigError(
            f"service.otlp: {err.name} is not installed; pip install 'wardline[otlp]'"
        ) from err
    endpoint = f"{collector.rstrip('/')}/v1/traces"
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=FLUSH_MS / 1000))
    try:
        yield SpanSender(processor, origin=origin, build=build)
    finally:
        await in_thread(processor.force_flush, FLUSH_MS)
        await in_thread(processor.shutdown)


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None and value != []}
