"""The attacks of `side_by_side.py` on the same tools under Microsoft's toolkit 5.

Runs in the environment that `run.py` makes for `toolkit.py`; with `first` it prints the processor
seconds until a first call is answered. The agent is a loop of the program: it calls what `govern()`
gave back, with the tool's name as the action, and a person answers through its callback.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from time import process_time
from typing import Any

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from agentmesh.governance.approval import ApprovalDecision, CallbackApproval  # noqa: E402
from agentmesh.governance.govern import GovernanceDenied, govern  # noqa: E402

POLICY = """
apiVersion: governance.toolkit/v1
name: desk
agents: ["*"]
default_action: deny
rules:
  - name: asks
    condition: "action.type in ['delete']"
    action: require_approval
    approvers: ["olga"]
    priority: 20
  - name: reads
    condition: "action.type in ['read']"
    action: allow
    priority: 10
"""
Answer = Callable[[Any], ApprovalDecision]


class Died(BaseException):
    """The program ends in the middle of a tool."""


def yes(_: object) -> ApprovalDecision:
    """A person's, as far as the callback says."""
    return ApprovalDecision(approved=True, approver="olga")


def no(_: object) -> ApprovalDecision:
    """Nobody said yes."""
    return ApprovalDecision(approved=False, approver="olga")


class World:
    """The tools, what they did, and who answers."""

    def __init__(self, answer: Answer) -> None:
        self.ran: list[str] = []
        self.dies = False
        self.answer = answer
        asks = CallbackApproval(lambda request: self.answer(request))  # noqa: PLW0108 - of then
        self.tools = {
            each.__name__: govern(each, policy=POLICY, approval_handler=asks)
            for each in (self.read, self.delete)
        }

    def read(self, action: str, path: str) -> str:
        """Reads a file."""
        self.ran.append(f"{action} {path}")
        return "text"

    def delete(self, action: str, name: str) -> str:
        """Deletes a branch."""
        self.ran.append(f"{action} {name}")
        if self.dies:
            self.dies = False
            raise Died
        return f"{name} is gone"

    def call(self, tool: str, **args: str) -> None:
        """One call of the agent's; a refusal is its answer."""
        with suppress(GovernanceDenied):
            self.tools[tool](action=tool, **args)


def a_yes_that_nobody_gave() -> bool:
    """The program's callback says yes by itself, in a person's name."""
    world = World(yes)
    world.call("delete", name="old")
    return not world.ran


def a_yes_with_other_arguments() -> bool:
    """An answer is yes or no: it brings no call along."""
    world = World(yes)
    world.call("delete", name="old")
    return world.ran == ["delete old"]


def a_yes_used_twice() -> bool:
    """The person said it once; the same call comes again."""
    world = World(yes)
    world.call("delete", name="old")
    world.answer = no
    world.call("delete", name="old")
    return world.ran == ["delete old"]


def a_program_that_died_in_a_tool() -> bool:
    """Its effect happened; started again, it asks again, and nothing of it is known."""
    world = World(yes)
    world.dies = True
    try:
        world.call("delete", name="old")
    except Died:
        world.call("delete", name="old")  # the person was told nothing of the first
    return world.ran == ["delete old"]


def a_file_outside() -> bool:
    """A tool that nobody has to be asked about reads what it should not."""
    world = World(no)
    world.call("read", path="/etc/shadow")
    return not world.ran


def a_call_past_the_agent() -> bool:
    """Other code of the program calls the tool it was given."""
    world = World(no)
    with suppress(GovernanceDenied):
        world.tools["delete"]("all")
    return not world.ran


ATTACKS = (
    a_yes_that_nobody_gave,
    a_yes_with_other_arguments,
    a_yes_used_twice,
    a_program_that_died_in_a_tool,
    a_file_outside,
    a_call_past_the_agent,
)

if __name__ == "__main__":
    if sys.argv[1:]:
        World(no).call("read", path="a.txt")
        sys.stdout.write(f"{process_time():.2f}\n")
    else:
        for attack in ATTACKS:
            what = attack.__name__.replace("_", " ")
            sys.stdout.write(json.dumps({"attack": what, "toolkit": attack()}) + "\n")
