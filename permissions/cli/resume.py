"""`wardline resume`: lifts a stop, when those agree who have to.

Exit codes: 0 lifted, 1 nothing of that scope is stopped, 2 wrong usage, 3 nobody who has to agree
did, 4 somebody has to answer first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from permissions.approval.model import AccessRequest
from permissions.broker.resuming import lift
from permissions.cli.program import EXIT_CLOSED, EXIT_REFUSED
from permissions.cli.stopping import Asked, line_of, with_scope
from permissions.errors import StateError
from permissions.setup.stops import (
    approvals_of,
    in_force_with,
    register_of,
    resume_terms,
    this_person,
    told_to_resume,
)

if TYPE_CHECKING:
    from permissions.setup.config import BrokerConfig
    from permissions.stops.file import FileStops
    from permissions.stops.statement import Stop


@with_scope
def resume(
    asked: Asked,
    *,
    wait: Annotated[
        int, typer.Option("--wait", min=0, help="Seconds to wait for who has to agree.")
    ] = 0,
) -> None:
    """Lift a stop.

    Calls are decided again from then on, each by the policies; approvals from before the stop
    are void. To lift a stop of everything another person has to agree, unless the settings say
    otherwise ([stop] agreement_for): it is an access request that neither who stopped nor who
    asks can answer. Ask again when it is approved.

    \b
    Examples:
      $ wardline resume --run run-3f9c --reason "it was a test"
      $ wardline resume --all --reason "key changed, case 4711" --wait 600
    """
    found = asked.settings
    register = register_of(found)
    scope = asked.scope()
    stops = in_force_with(register, scope)
    if not stops:
        raise StateError(f"no stop of {scope} is in force; `wardline stop --list` shows them")
    code = 0
    for each in stops:
        request = anyio.run(_lift, found, register, each, asked.reason, wait)
        code = code or _say(each, request, as_json=asked.as_json)
    told_to_resume(found.state)
    if code:
        raise typer.Exit(code)


async def _lift(
    config: BrokerConfig, register: FileStops, stop: Stop, reason: str, wait: int
) -> AccessRequest | None:
    """The request that is not approved; None once the stop is lifted."""
    by, terms = this_person(), resume_terms(config, stop)
    async with approvals_of(config) as approvals:
        done = await lift(stop, register, approvals, reason=reason, by=by, terms=terms)
        if isinstance(done, AccessRequest) and done.status == "pending" and wait:
            typer.echo(f"waiting for an answer: wardline request show {done.id}", err=True)
            done = await approvals.wait(done.id, timeout_seconds=wait)
            if done.status == "approved":
                done = await lift(stop, register, approvals, reason=reason, by=by, terms=terms)
    return done if isinstance(done, AccessRequest) else None


def _say(stop: Stop, asked: AccessRequest | None, *, as_json: bool) -> int:
    if as_json:
        request = None if asked is None else {"id": asked.id, "status": asked.status}
        told = {"stop": stop.id, "lifted": asked is None, "request": request}
        typer.echo(json.dumps(told))
    elif asked is None:
        typer.echo(f"lifted  {line_of(stop)}")
    elif asked.status == "pending":
        typer.echo(f"another person has to agree: wardline request show {asked.id}")
    else:
        typer.echo(f"not lifted: the request {asked.id} is {asked.status}")
    if asked is None:
        return 0
    return EXIT_CLOSED if asked.status in ("pending", "expired") else EXIT_REFUSED
