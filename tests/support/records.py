"""The tools that stand for actions on the records of the AuthZEN certification scenario."""

from __future__ import annotations

from typing import Annotated

from wardline import FreeText, ResourceArg, tool

Record = Annotated[str, ResourceArg("record")]
Status = Annotated[str, FreeText()]


@tool(effect="read", impact="low", output="trusted")
def read_record(record: Record, status: Status = "active") -> str:
    """Reads a record."""
    return f"{record} {status}"


@tool(effect="write", impact="low")
def write_record(record: Record, status: Status = "active") -> str:
    """Writes a record."""
    return f"{record} {status}"


@tool(effect="write", impact="low")
def delete_record(record: Record, *, status: Status = "active", soft: bool = False) -> str:
    """Deletes a record."""
    return f"{record} {status} {soft}"


TOOLS = [read_record, write_record, delete_record]

SETTINGS = """
[service]
http = "127.0.0.1:0"

[service.clients.gateway]
users = ["alice", "bob", "nonexistent-user"]
agents = ["desk-*", "robot"]
roles = ["admin", "manager"]

[service.clients.other]
users = ["carol"]

[service.resources.record]
id = "record"
actions = { read = "read_record", write = "write_record", delete = "delete_record" }

[service.resources.record.known]
record-1 = { status = "active" }
record-2 = { status = "archived" }
"""
