"""What a guarded tool node does with a call: runs it, refuses it, or suspends the graph."""

from __future__ import annotations

import json

from graphs import Asked, World, answers, turn


async def test_permitted_call_gives_what_the_tool_returned(world: World) -> None:
    """The message is the framework's own, and the tool ran once."""
    graph = world.agent(turn(Asked("note", {"text": "hi", "times": 2})))

    async with world.session():
        state = await world.run(graph)

    message = answers(state)["call-1"]
    assert (message.content, message.status, message.name) == ("hihi", "success", "note")
    assert world.ran == ["note hi"]


async def test_denied_call_is_an_error_message_with_code_and_remedy(world: World) -> None:
    """The model learns why, and not to try again; the tool is never reached."""
    graph = world.agent(turn(Asked("read", {"path": "/etc/passwd"})))

    async with world.session():
        state = await world.run(graph)

    message = answers(state)["call-1"]
    said = json.loads(str(message.content))
    assert message.status == "error"
    assert said["status"] == "denied"
    assert said["reasons"][0]["code"] == "filesystem.outside"
    assert said["retry"] is False
    assert said["advice"].startswith("Do not retry")
    assert message.artifact["reasons"] == said["reasons"]
    assert world.ran == []


async def test_approved_call_runs_after_the_graph_is_resumed(world: World) -> None:
    """The graph suspends, a person says yes, the graph goes on."""
    graph = world.agent(turn(Asked("delete", {"name": "a"})))

    async with world.session():
        suspended = await world.run(graph)
        held = await world.pending(graph)
        (asked,) = await world.requests()
        await world.vote('"a"')
        state = await world.resume(graph)

    assert suspended["__interrupt__"]
    assert [call.access_request for call in held] == [asked.id]
    assert answers(state)["call-1"].content == "deleted a"
    assert world.ran == ["delete a"]
