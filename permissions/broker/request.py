"""Steps 1 to 4 of the flow: from what was asked to what policies are asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from permissions.broker import entries
from permissions.broker.call import Question
from permissions.broker.delegated import require_given, require_live
from permissions.broker.denial import Refusal
from permissions.broker.mapping import boundaries_of, context_of, question_document, targets_of
from permissions.errors import ArgumentsError, SigningError
from permissions.reasons import Code, reason
from permissions.signing.canonical import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from permissions.broker.call import Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.model import Isolation, JsonObject
    from permissions.tools.definition import Arguments, ToolDefinition


MAX_KEY = 4096
"""Characters of the key by which a caller asks again for the same call."""


async def understand(
    attempt: Attempt, parts: BrokerParts, isolation: Sequence[Isolation]
) -> Question:
    """Looks the call up, validates, maps, matches it to the plan and adds attributes.

    The intent is noted on the attempt whatever happens, as far as it was understood.

    Args:
        isolation: boundaries this broker can give.

    Raises:
        Refusal: the call cannot be put to a policy, with the reason why.
    """
    found: ToolDefinition | None = None
    encoded: bytes | None = None
    try:
        found = parts.registry.find(attempt.call.tool)
        checked = _checked(attempt, found, attempt.call.arguments)  # 1
        encoded = checked.canonical
    finally:
        attempt.record.note(entries.intent(attempt, found, encoded))
    return await _question(attempt, checked, parts, isolation)


async def understand_again(
    attempt: Attempt, question: Question, parts: BrokerParts, isolation: Sequence[Isolation]
) -> Question:
    """The same call as it stands by now; nothing is noted.

    Raises:
        Refusal: it cannot be put to a policy any more.
    """
    found = parts.registry.find(attempt.call.tool)
    checked = _checked(attempt, found, question.arguments.given)
    return await _question(attempt, checked, parts, isolation)


class _Checked(NamedTuple):
    definition: ToolDefinition
    arguments: Arguments
    canonical: bytes


def _checked(
    attempt: Attempt, found: ToolDefinition | None, given: Mapping[str, Any]
) -> _Checked:
    if found is None:
        raise Refusal("denied", reason(Code.TOOL_UNREGISTERED))
    if (key := attempt.call.key) is not None and not _is_key(key):
        said = f"key: a text of at most {MAX_KEY} characters, without lone surrogates"
        raise _invalid(ArgumentsError([said]))
    if attempt.session.closed:
        raise Refusal("denied", reason(Code.SESSION_CLOSED))
    try:
        arguments = found.validate(given)
        return _Checked(found, arguments, canonical(arguments.document))
    except ArgumentsError as err:
        raise _invalid(err) from err
    except SigningError as err:
        raise Refusal("denied", reason(Code.ARGUMENTS_UNREPRESENTABLE, str(err))) from err


async def _question(
    attempt: Attempt, checked: _Checked, parts: BrokerParts, isolation: Sequence[Isolation]
) -> Question:
    session, (definition, arguments, encoded) = attempt.session, checked
    args_digest = digest(encoded)  # 2
    try:
        targets = targets_of(definition, arguments, session.workspace)
    except ArgumentsError as err:
        raise _invalid(err) from err
    own = parts.control_plane.reached(targets, arguments.document, workspace=session.workspace)
    if own is not None:
        raise Refusal("denied", reason(Code.CONTROL_PLANE_PROTECTED, f"it names {own}"))
    targets = await parts.folders.told(targets, definition.isolation, session.workspace)
    detected = await parts.inspection.of_call(arguments.document, session.found)
    now = parts.clock()
    await require_live(parts, session)  # 3
    require_given(session, definition.name, arguments.document)
    attempt.begun = session.history.begun
    match, provenance = session.match(definition, arguments, now=now)
    context = context_of(  # 4
        session=session,
        call=attempt.id,
        now=now,
        targets=targets,
        plan=session.plan_document(match),
        provenance=provenance,
        used=await session.budgets.used(session.run),
        environment=parts.environment,
        isolation=boundaries_of(definition, isolation),
        detected=detected,
        history=parts.pdp.reads_history,
    )
    document = question_document(
        session=session,
        definition=definition,
        arguments=arguments,
        args_digest=args_digest,
        targets=targets,
        context=context,
    )
    document = _as_kept(attempt, document)
    return Question(definition, arguments, encoded, args_digest, document, provenance, match)


def _as_kept(attempt: Attempt, document: JsonObject) -> JsonObject:
    """What policies are asked: what the record keeps of it, so that it can be asked again.

    Where a value was replaced, the digest is of the arguments as they are kept, too; the digest
    that approvals and the journal go by is that of the effective ones.
    """
    seen, found = attempt.record.seen, attempt.session.found
    seen.markers = seen.markers or found.markers()
    seen.contents |= {"arguments"}
    kept: JsonObject = seen.markers.in_document(document)
    tool = kept["resource"]["properties"]
    if tool["args"] == document["resource"]["properties"]["args"]:
        return kept
    redacted = {**tool, "args_digest": digest(canonical(tool["args"]))}
    return {**kept, "resource": {**kept["resource"], "properties": redacted}}


def _is_key(key: str) -> bool:
    """Whether a caller's key can be kept."""
    return len(key) <= MAX_KEY and not any("\ud800" <= each <= "\udfff" for each in key)


def _invalid(err: ArgumentsError) -> Refusal:
    """The caller gave these arguments, so it may be told which of them does not fit."""
    return Refusal("denied", reason(Code.ARGUMENTS_INVALID, agent=str(err)))
