"""The approved tools of MCP servers as guarded tools of the broker."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from permissions.errors import GatewayError, ToolDefinitionError, ToolFailedError
from permissions.gateway.progress import PROGRESS
from permissions.gateway.upstream import is_approved
from permissions.tools.from_schema import tool_from_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from permissions.gateway.offered import Offered
    from permissions.gateway.pinned import Definitions, Pins, Row
    from permissions.gateway.upstream import Upstream
    from permissions.tools.decorator import GuardedTool
    from permissions.vocabulary import Impact, Isolation, JsonObject

SEPARATOR = "__"
"""Between the server's name and the tool's: a form that every client takes."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """What the tools of a server are decided as behind, and the profile of its sandbox."""

    isolation: Isolation = "none"
    profile: str | None = None


AS_THIS_USER = Boundary()


@dataclass(frozen=True, slots=True)
class GatewayTool:
    """A tool as clients of the gateway see it."""

    upstream: str
    offered: Offered
    guarded: GuardedTool[..., Any]
    row: Row
    source: Upstream

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.guarded.guard.definition.name

    @property
    def is_quarantined(self) -> bool:
        """Whether its server is known to offer it no more, or not as it was approved."""
        if not self.source.offered:
            return False  # not known yet
        now = self.source.offered.get(self.offered.name)
        return not is_approved(now, self.row.definition)


def gateway_tools(
    pins: Pins,
    definitions: Definitions,
    upstreams: Mapping[str, Upstream],
    boundaries: Mapping[str, Boundary] = MappingProxyType({}),
) -> Iterator[GatewayTool]:
    """Each approved tool of these servers that is not hidden.

    Args:
        pins: what people approved.
        definitions: likewise.
        upstreams: the servers.
        boundaries: what each of them runs behind, where that is a sandbox of ours.

    Raises:
        ToolDefinitionError: a row's definition is not there, or its tool cannot be governed as
            the row says.
        ConfigError: a row has a mark that does not exist.
    """
    for name, upstream in sorted(upstreams.items()):
        for tool, row in sorted(pins.rows.get(name, {}).items()):
            if row.use == "offered":
                offered = definitions.get(row.definition)
                boundary = boundaries.get(name, AS_THIS_USER)
                yield _gateway_tool(upstream, tool, row, offered, boundary)


def _gateway_tool(
    upstream: Upstream, tool: str, row: Row, offered: Offered, boundary: Boundary
) -> GatewayTool:
    name = f"{upstream.name}{SEPARATOR}{tool}"
    if offered.name != tool:
        raise ToolDefinitionError(
            f"{name}: its approved definition is that of {offered.name!r}"
        )
    run = caller(upstream, tool, row.definition)
    guarded = guarded_tool(name, row, offered, run, boundary)
    return GatewayTool(upstream.name, offered, guarded, row, upstream)


def guarded_tool(
    name: str,
    row: Row,
    offered: Offered,
    run: Callable[..., Awaitable[JsonObject]],
    boundary: Boundary = AS_THIS_USER,
) -> GuardedTool[..., Any]:
    """A tool as an operator describes it; the server's hints only make it worse.

    Raises:
        ToolDefinitionError: it cannot be governed so.
        ConfigError: there is no such mark.
    """
    if offered.claims_writes and row.effect == "read":
        raise ToolDefinitionError(
            f"{name}: the row says that it only reads, and its server that it does not;"
            ' say effect = "write" or worse'
        )
    return tool_from_schema(
        run,
        name=name,
        parameters=offered.input_schema,
        description=offered.description,
        marks=row.targets(name),
        effect=row.effect,
        impact=_raised(row.impact) if offered.claims_destruction else row.impact,
        output=row.output,
        idempotent=row.idempotent,
        control=row.control,
        trusted_fields=row.trusted_fields,
        sandbox=boundary.isolation,
        profile=boundary.profile,
    )


def _raised(impact: Impact) -> Impact:
    return impact if impact == "critical" else "high"


def caller(
    upstream: Upstream, tool: str, approved: str
) -> Callable[..., Awaitable[JsonObject]]:
    """What calls a tool of a server, and gives its answer as JSON.

    Args:
        upstream: the server.
        tool: its own name there.
        approved: the digest of its definition.
    """

    async def call(**arguments: Any) -> JsonObject:
        try:
            result = await upstream.call(tool, arguments, approved, PROGRESS.get())
        except GatewayError as err:
            raise ToolFailedError(str(err)) from err
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)

    return call
