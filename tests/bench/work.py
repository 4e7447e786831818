"""The work every decision and call case does: six requests under one small policy.

In words, and the same for everyone: a role may use only its own tools; a path lies under
/workspace/; a host is one of two; deleting and deploying need a person.
"""

from __future__ import annotations

from typing import NamedTuple

WORKSPACE = "/workspace/"
HOSTS = ("api.internal", "packages.example")


class Request(NamedTuple):
    """One request and the answer every engine has to give to it."""

    role: str
    tool: str
    path: str | None
    host: str | None
    answer: str


REQUESTS = (
    Request("analyst", "read_file", "/workspace/a.txt", None, "allow"),
    Request("analyst", "read_file", "/etc/passwd", None, "deny"),
    Request("analyst", "http_get", None, "api.internal", "allow"),
    Request("analyst", "http_get", None, "evil.example", "deny"),
    Request("analyst", "delete_file", "/workspace/a.txt", None, "deny"),
    Request("operator", "delete_file", "/workspace/a.txt", None, "ask"),
)
