"""Step 10 of the flow, before a result goes out: what detectors find in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from permissions.broker.denial import refusal_of
from permissions.errors import DetectionError
from permissions.model import Denial
from permissions.run.origins import Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from permissions.broker.call import Admission
    from permissions.broker.inspection import Inspection
    from permissions.broker.result import Delivery
    from permissions.detection.finding import Finding
    from permissions.model import JsonValue


async def inspected(
    inspection: Inspection, admission: Admission, delivery: Delivery, shown: JsonValue
) -> tuple[Delivery, Mapping[str, tuple[Finding, ...]]]:
    """A delivery and what detectors found in it; withheld when they could not look through it.

    Args:
        inspection: who looks.
        admission: the call.
        delivery: what is handed out.
        shown: what an agent was shown beside it; None for nothing.
    """
    documents = [delivery.document]
    if delivery.more_to_read is not None:
        documents.append(delivery.readable.document)
    if shown is not None:
        documents.append(shown)
    values, output = admission.session.found, Output(admission.id, None)
    try:
        found = await inspection.of_result(documents, values, output)
    except DetectionError as err:
        refusal = refusal_of(err)
        denial = Denial(admission.id, admission.definition.name, refusal.kind, refusal.reasons)
        return replace(delivery, value=None, error=None, denial=denial), {}
    admission.attempt.record.seen.contents |= {"result", "readable"}
    return delivery, found
