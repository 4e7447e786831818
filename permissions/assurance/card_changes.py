"""What is otherwise than on the last card, in sentences. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from permissions.vocabulary import JsonObject

_MEASURED = ("isolation", "evaluation", "record", "what_if", "risks", "gate")


def changes(before: JsonObject, now: JsonObject) -> list[str]:
    """Each difference that a reviewer has to know of; empty when there is none."""
    return [*_changes(before, now)]


def _changes(before: JsonObject, now: JsonObject) -> Iterator[str]:
    if (was := before.get("build")) != now["build"]:
        yield f"build: {_said(was)}, now {_said(now['build'])}"
    yield from _members("tool", _tools(before), _tools(now))
    policies = before.get("policies", {})
    if policies.get("revision") != now["policies"]["revision"]:
        yield f"policies: revision {policies.get('revision')}, now {now['policies']['revision']}"
    yield from _members(
        "policy package", policies.get("packages", {}), now["policies"]["packages"]
    )
    yield from _members("table", policies.get("tables", {}), now["policies"]["tables"])
    yield from _members("approver", _approvers(before), _approvers(now))
    for name in _MEASURED:
        then, today = _outcome(before.get(name, {})), _outcome(now[name])
        if then != today:
            yield f"{name.replace('_', '-')}: {then}, now {today}"
    yield from _members("figure", _figures(before), _figures(now))
    yield from _members("risk", _risks(before), _risks(now))
    yield from _members("exemption", _exemptions(before), _exemptions(now))


def _members(kind: str, before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"{kind} {name}: gone"
        elif name not in before:
            yield f"{kind} {name}: new"
        elif before[name] != now[name]:
            is_short = isinstance(now[name], str)
            yield f"{kind} {name}: " + (
                f"{before[name]}, now {now[name]}" if is_short else "changed"
            )


def _tools(card: JsonObject) -> dict[str, Any]:
    return {each["name"]: each for each in card.get("tools", {}).get("list", [])}


def _approvers(card: JsonObject) -> dict[str, Any]:
    found = card.get("approvals", {}).get("approvers", [])
    return {each["name"]: ", ".join(each["groups"]) or "no group" for each in found}


def _outcome(section: JsonObject) -> str:
    if "not_measured" in section or not section:
        return "not measured"
    return str(section.get("outcome"))


def _figures(card: JsonObject) -> dict[str, Any]:
    return {
        "/".join((each["variant"], each["plan"], each["suite"], each["figure"])): _interval(
            each
        )
        for each in card.get("evaluation", {}).get("figures", [])
    }


def _interval(figure: JsonObject) -> str:
    low, high = figure["wilson"]
    return f"{figure['share']:.2%} ({low:.2%} to {high:.2%})"


def _risks(card: JsonObject) -> dict[str, Any]:
    found = card.get("risks", {}).get("list", [])
    return {
        each["id"]: f"{each['severity']}, {each['status']}, {each['owner'] or 'no owner'}"
        for each in found
    }


def _exemptions(card: JsonObject) -> dict[str, Any]:
    found = card.get("exemptions", {}).get("in_force", [])
    return {f"{each['code']} {each['finding']}": f"until {each['until']}" for each in found}


def _said(build: Any) -> str:
    if not isinstance(build, dict):
        return "unknown"
    return ", ".join(f"{name} {value}" for name, value in build.items())
