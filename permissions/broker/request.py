"""Steps 1 to 4 of the flow: from what was asked to what policies are asked about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from permissions.broker import entries
from permissions.broker.call import Question
from permissions.broker.denial import Refusal
from permissions.broker.mapping import context_of, question_document, targets_of
from permissions.errors import ArgumentsError, SigningError
from permissions.reasons import Code, reason
from permissions.signing.canonical import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from permissions.broker.call import Attempt
    from permissions.broker.ports import BrokerParts
    from permissions.model import Isolation
    from permissions.tools.definition import Arguments, ToolDefinition


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
    session = attempt.session
    definition, arguments, encoded = _look_up(attempt, parts)  # 1
    args_digest = digest(encoded)  # 2
    try:
        targets = targets_of(definition, arguments, session.workspace)
    except ArgumentsError as err:
        raise _invalid(err) from err
    now = parts.clock()
    match, provenance = session.match(definition, arguments, now=now)  # 3
    context = context_of(  # 4
        session=session,
        call=attempt.id,
        now=now,
        plan=session.plan_document(match),
        provenance=provenance,
        used=await session.budgets.used(session.run),
        environment=parts.environment,
        isolation=isolation,
    )
    document = question_document(
        session=session,
        definition=definition,
        arguments=arguments,
        args_digest=args_digest,
        targets=targets,
        context=context,
    )
    return Question(definition, arguments, encoded, args_digest, document, provenance, match)


def _look_up(attempt: Attempt, parts: BrokerParts) -> tuple[ToolDefinition, Arguments, bytes]:
    definition: ToolDefinition | None = None
    encoded: bytes | None = None
    try:
        definition = parts.registry.find(attempt.call.tool)
        if definition is None:
            raise Refusal("denied", reason(Code.TOOL_UNREGISTERED))
        if attempt.session.closed:
            raise Refusal("denied", reason(Code.SESSION_CLOSED))
        arguments = definition.validate(attempt.call.arguments)
        encoded = canonical(arguments.document)
    except ArgumentsError as err:
        raise _invalid(err) from err
    except SigningError as err:
        raise Refusal("denied", reason(Code.ARGUMENTS_UNREPRESENTABLE, str(err))) from err
    finally:
        attempt.entries.append(entries.intent(attempt, definition, encoded))
    return definition, arguments, encoded


def _invalid(err: ArgumentsError) -> Refusal:
    """The caller gave these arguments, so it may be told which of them does not fit."""
    return Refusal("denied", reason(Code.ARGUMENTS_INVALID, agent=str(err)))
