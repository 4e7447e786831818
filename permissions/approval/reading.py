"""What an approver reads, as one value: the terminal and the console show the same.

It begins with what will run, on what, how much and for whom; then why a person is asked with the
values that were compared, where each value that matters came from, what the plan says, and what
would change in files. Digests come last: they prove what was shown and explain nothing.

Words in it are made for a screen (`approval.text`): a value of an agent, a tool or a policy stands
in them as its JSON text, so none can pass for a sentence of ours. Members that hold raw values say so.
Not protected from: a person who does not read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from permissions.approval.stages import turn
from permissions.approval.text import literal, plain, visible
from permissions.tools.targets import minor_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from permissions.approval.model import AccessRequest, Vote
    from permissions.model import JsonObject, JsonValue, Reason


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value of an argument came from.

    Attributes:
        at: JSON pointer to the value, from the arguments (raw).
        control: whether what the call does depends on it.
        trusted: whether it is vouched for.
        words: as people say it.
        quote: the line it was read in, as JSON text; None when it was a whole value.
    """

    at: str
    control: bool
    trusted: bool
    words: str
    quote: str | None


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument that the tool will get.

    Attributes:
        name: of the argument (raw).
        value: what it is, as it will run (raw).
        control: whether what the call does depends on it.
        origins: of the values in it that matter.
        leads_to: where its paths lead, links followed (raw).
    """

    name: str
    value: JsonValue
    control: bool
    origins: tuple[Origin, ...]
    leads_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Why:
    """One reason why a person is asked.

    Attributes:
        code: of the rule.
        text: in the policy's words.
        operator: in its words to those who run it.
        values: what the rule compared (raw).
    """

    code: str
    text: str
    operator: str
    values: JsonObject


@dataclass(frozen=True, slots=True)
class Change:
    """One file that the run would change.

    Attributes:
        entry: of the change set (docs/reference/policy-contract.md), raw.
        diff: its lines, each in characters that a screen shows; None without a text to compare.
    """

    entry: JsonObject
    diff: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a request whose people answer in an order.

    Attributes:
        groups: who may answer in it.
        answered: who did.
        waits: whether it is this stage's turn.
    """

    groups: tuple[str, ...]
    quorum: int
    answered: tuple[str, ...]
    waits: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """A request as it is read, most important first.

    Attributes:
        is_about_changes: it ran already, and the question is what is kept of its changes.
        on_what: what it acts on, and how much: accounts, files, hosts, amounts.
        for_whom: who asks, on whose behalf, and what the person said (`task`).
        plan: what the plan says of it.
        changes: of files, when those are what it is about.
        groups: of the people who may answer; of all stages.
        stages: in their order; none where everybody answers at once.
        use_within: how long an approval may be used, microseconds.
        digests: by name; the proof of what was shown.
    """

    id: str
    status: str
    tool: str
    effect: str
    impact: str
    is_about_changes: bool
    on_what: tuple[str, ...]
    arguments: tuple[Argument, ...]
    for_whom: str
    task: str | None
    why: tuple[Why, ...]
    plan: str
    changes: tuple[Change, ...]
    groups: tuple[str, ...]
    quorum: int
    stages: tuple[Stage, ...]
    separation_of_duties: bool
    created_at: int
    expires_at: int
    use_within: int
    votes: tuple[Vote, ...]
    workspace: str
    run: str
    call: str
    digests: dict[str, str]

    def document(self) -> JsonObject:
        """As JSON; each vote without its envelope."""
        found = asdict(self)
        for vote in found["votes"]:
            del vote["envelope"]
        return found


def reading(request: AccessRequest) -> Reading:
    """The request as an approver reads it."""
    call, terms = request.call, request.call.terms
    known = request.background.document
    behalf = f", on behalf of {visible(call.on_behalf_of)}" if call.on_behalf_of else ""
    targets: list[JsonObject] = json.loads(call.targets)
    return Reading(
        id=request.id,
        status=request.status,
        tool=call.tool,
        effect=str(known.get("effect", "")),
        impact=str(known.get("impact", "")),
        is_about_changes=call.effects is not None,
        on_what=tuple(dict.fromkeys(map(_target, targets))),
        arguments=tuple(_arguments(request, targets)),
        for_whom=f"{visible(call.subject)}{behalf}",
        task=None if not known.get("task") else visible(known["task"]),
        why=tuple(_why(reason) for reason in request.reasons),
        plan=_plan(call.plan_step, known.get("plan")),
        changes=() if call.effects is None else tuple(_changes(json.loads(call.effects))),
        groups=tuple(terms.approvers),
        quorum=terms.quorum,
        stages=tuple(_stages(request)) if terms.stages else (),
        separation_of_duties=terms.separation_of_duties,
        created_at=request.created_at,
        expires_at=request.expires_at,
        use_within=request.use_within,
        votes=request.votes,
        workspace=call.workspace,
        run=call.run,
        call=call.key,
        digests={
            "definition": call.tool_digest,
            "arguments": call.args_digest,
            "policies": call.policy_revision,
            "binding": call.binding,
            "shown": request.shown_digest,
        },
    )


def _stages(request: AccessRequest) -> Iterator[Stage]:
    terms, votes = request.call.terms, request.votes
    now = turn(terms, len(votes))
    for number, stage in enumerate(terms.stages):
        answered = (
            vote.approver
            for position, vote in enumerate(votes)
            if turn(terms, position).number == number
        )
        waits = request.status == "pending" and number == now.number
        yield Stage(tuple(stage.approvers), stage.quorum, tuple(answered), waits)


def _arguments(request: AccessRequest, targets: list[JsonObject]) -> Iterator[Argument]:
    document = json.loads(request.call.arguments)
    named = document if isinstance(document, dict) else {"(arguments)": document}
    known = request.background.document
    for name, value in named.items():
        top = "/" + name.replace("~", "~0").replace("/", "~1")
        origins = [
            _origin(source)
            for source in known.get("sources", ())
            if source["at"] == top or source["at"].startswith(top + "/")
        ]
        leads = [
            str(target["resolved"])
            for target in targets
            if target["kind"] == "path" and target["argument"] == name
        ]
        is_control = name in known.get("control", ())
        yield Argument(name, value, is_control, tuple(origins), tuple(leads))


_ORIGINS = {
    "user": "said by the person",
    "plan": "fixed by the plan",
    "default": "the tool's own default; nobody gave it",
    "unknown": "of unknown origin: nobody said it and no output held it as it is",
}


def _origin(source: JsonObject) -> Origin:
    """One origin in words: `from read_mail (sender "eve@x.example"), field /text, line 3`."""
    quote = None
    match source["origin"]:
        case "tool":
            said, quote = _read_in(source)
        case "approval":
            said = f"approved in this run before ({visible(str(source['source']))})"
        case other:
            said = _ORIGINS.get(other, visible(str(other)))
    if source["carries"]:
        said += f"; holds of untrusted outputs: {visible(', '.join(source['carries']))}"
    return Origin(source["at"], source["control"], source["trusted"], said, quote)


def _read_in(source: JsonObject) -> tuple[str, str | None]:
    tool, read = visible(str(source["source"])), source["read"]
    standing = "vouched for by" if source["trusted"] else "from the untrusted output of"
    if read is None:
        return f"{standing} {tool}", None
    about = read["record"] or read["given"]
    of = ", ".join(f"{visible(name)} {literal(value)}" for name, value in about)
    said = f"{standing} {tool}{f' ({of})' if of else ''}"
    if read["field"]:
        said += f", field {visible(read['field'])}"
    if read["line"] is not None:
        said += f", line {read['line']}"
    return said, None if read["words"] is None else literal(read["words"])


def _target(target: JsonObject) -> str:
    """What a marked argument points at, in words."""
    said = _TARGETS.get(target["kind"])
    return visible(str(target["kind"])) if said is None else said(target)


def amount_in_words(currency: str, minor: int) -> str:
    """An amount of the smallest unit of a currency, as people write it."""
    digits = minor_digits(currency)
    whole, rest = divmod(minor, 10**digits)
    return f"{whole:,}{f'.{rest:0{digits}}' if digits else ''} {visible(currency)}"


def _address(target: JsonObject) -> str:
    port = "" if target["port"] is None else f":{target['port']}"
    return visible(f"{target['scheme']}://{target['host']}{port}")


def _statements(target: JsonObject) -> str:
    does = {word for each in target["statements"] for word in each["classes"]}
    return visible(f"SQL: {', '.join(sorted(does))}")


_TARGETS: dict[str, Callable[[JsonObject], str]] = {
    "amount": lambda target: amount_in_words(str(target["currency"]), int(target["minor"])),
    "recipient": lambda target: f"{target['scheme']} {literal(target['address'])}",
    "path": lambda target: f"{target['access']} {literal(target['resolved'])}",
    "host": _address,
    "resource": lambda target: f"{visible(target['type'])} {literal(target['name'])}",
    "command": lambda target: f"program {literal(target['argv'])}",
    "sql": _statements,
}


def _why(reason: Reason) -> Why:
    return Why(
        reason.code, visible(reason.agent), visible(reason.operator), dict(reason.values)
    )


def _plan(step: str | None, plan: JsonObject | None) -> str:
    if plan is None:
        return "none was declared" if step is None else f"step {literal(step)}"
    if plan["verdict"] is None:
        return "none was declared, and this run has to have one"
    at = f"step {literal(plan['step'])}" if plan["step"] else "no step of it"
    detail = f": {visible(plan['detail'])}" if plan["detail"] else ""
    words = {
        "matched": f"{at} declares this call",
        "undeclared": f"does not declare this call{detail}",
        "exhausted": f"{at} declares it, and all its uses are spent{detail}",
        "not_ready": f"{at} declares it for later{detail}",
        "mismatch": f"{at} is nearest, and this call departs from it{detail}",
        "expired": f"its time is over{detail}",
    }
    return words.get(plan["verdict"], visible(str(plan["verdict"])))


def _changes(shown: Any) -> Iterator[Change]:
    diffs = {each["path"]: each["diff"].split("\n")[2:] for each in shown["diffs"]}
    for entry in shown["change_set"]["entries"]:
        lines = diffs.get(entry["path"])
        yield Change(entry, None if lines is None else tuple(map(plain, lines)))
