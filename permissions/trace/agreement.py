"""Whether the answers in the record of an approval carry it: whose, in which order, how many.

Written from the trace format (docs/reference/trace-format.md) and not from `approval`, so that a
fault there is found here. Pure.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from permissions.errors import SigningError
from permissions.signing import dsse
from permissions.signing.canonical import digest, digest_of
from permissions.vocabulary import is_same_person

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from permissions.vocabulary import JsonObject, JsonValue


def envelopes_of(contents: Mapping[str, bytes]) -> list[bytes]:
    """The answers among the contents of an entry that can be opened, in their order."""
    return [
        raw
        for number in range(len(contents))
        if (raw := contents.get(f"envelope_{number}")) is not None
    ]


def votes_of(contents: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """What they say."""
    for raw in envelopes_of(contents):
        yield orjson.loads(base64.b64decode(orjson.loads(raw)["payload"]))


def proven(
    envelopes: list[bytes], voters: list[JsonObject], asked: JsonObject | None
) -> Iterator[str]:
    """Who answered: by their own key, allowed to, and enough of them."""
    if len(envelopes) != len(voters):
        yield "approval names other voters than its answers"
        return
    for number, (raw, voter) in enumerate(zip(envelopes, voters, strict=True)):
        try:
            envelope = dsse.Envelope.parse(raw)
            dsse.signed_by(envelope, [dsse.parse_key(str(voter["key"]))])
            said = orjson.loads(envelope.payload)
        except SigningError:
            yield "approval rests on an answer that the key of its voter did not sign"
            continue
        if said["approver"] != voter["approver"]:
            yield "approval names other voters than its answers"
        if asked is not None and not _may_answer(voter, asked, number):
            yield "approval rests on an answer of somebody who may not answer"
    if asked is not None:
        enough = asked["terms"]["quorum"]
        keys = {str(voter["key"]) for voter in voters}
        if min(len({voter["approver"] for voter in voters}), len(keys)) < enough:
            yield "approval rests on fewer people than it takes"


def is_in_order(terms: JsonObject, envelopes: list[bytes], votes: list[dict[str, Any]]) -> bool:
    """Whether each vote names its stage, and the votes of the stages before, as signed then."""
    digests: list[JsonValue] = [digest(raw) for raw in envelopes]
    for number, vote in enumerate(votes):
        wanted: tuple[object, object] = (None, None)
        if "stages" in terms:
            stage, begins = _stage(terms, number)
            wanted = (stage, digest_of(digests[:begins]))
        if (vote.get("stage"), vote.get("after")) != wanted:
            return False
    return True


def _stage(terms: JsonObject, number: int) -> tuple[int, int]:
    """Of which stage a vote is, and the number of its first vote; the last stage has the rest."""
    stage = begins = 0
    quorums = [each["quorum"] for each in terms["stages"]]
    while stage < len(quorums) - 1 and number >= begins + quorums[stage]:
        begins += quorums[stage]
        stage += 1
    return stage, begins


def _may_answer(voter: JsonObject, asked: JsonObject, number: int) -> bool:
    terms = asked["terms"]
    stages = terms.get("stages")
    groups = stages[_stage(terms, number)[0]] if stages else terms
    if not set(voter["groups"]) & set(groups["approvers"]):
        return False
    people = (asked["subject"], asked["on_behalf_of"] or "")
    barred = any(is_same_person(person, voter["approver"]) for person in people)
    return not (barred and terms["separation_of_duties"])
