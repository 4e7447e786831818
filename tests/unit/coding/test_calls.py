"""The tools of each agent as calls that policies know."""

from __future__ import annotations

from typing import Any

import pytest

from permissions.coding.calls import AgentCall, call_of
from permissions.coding.tools import TOOLS
from permissions.tools.decorator import guard_of
from permissions.tools.registry import ToolRegistry

HERE = "/srv/repository"
PATCH = """*** Begin Patch
*** Add File: new.py
+x
*** Update File: src/a.py
*** Move to: /etc/a.py
@@
*** Delete File: .git/hooks/pre-push
*** End Patch"""

KNOWN: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("Bash", {"command": "ls"}, "run_command", {"command": "ls", "folder": HERE}),
    ("Shell", {"command": "ls", "working_directory": "sub"},
     "run_command", {"command": "ls", "folder": f"{HERE}/sub"}),
    ("run_shell_command", {"command": "ls", "dir_path": "/tmp"},
     "run_command", {"command": "ls", "folder": "/tmp"}),
    ("shell", {"command": ["bash", "-lc", "it's"]},
     "run_command", {"command": "'bash' '-lc' 'it'\\''s'", "folder": HERE}),
    ("Read", {"file_path": "/etc/passwd"}, "read_files", {"paths": ["/etc/passwd"]}),
    ("Read", {"file_path": "../x"}, "read_files", {"paths": [f"{HERE}/../x"]}),
    ("read_file", {"absolute_path": "/x/y"}, "read_files", {"paths": ["/x/y"]}),
    ("read_many_files", {"include": ["a.py", "src/*.py", "**/*"]},
     "read_files", {"paths": [f"{HERE}/a.py", f"{HERE}/src", f"{HERE}/."]}),
    ("Grep", {"pattern": "x", "output_mode": "content"}, "read_files", {"paths": [f"{HERE}/."]}),
    ("search_file_content", {"pattern": "x"}, "read_files", {"paths": [f"{HERE}/."]}),
    ("Glob", {"pattern": "**/*.py"}, "list_files", {"pattern": "**/*.py"}),
    ("Write", {"file_path": "a.py", "content": "x"},
     "write_files", {"paths": [f"{HERE}/a.py"], "content": "x"}),
    ("Edit", {"file_path": "a.py", "old_string": "y", "new_string": "x"},
     "write_files", {"paths": [f"{HERE}/a.py"], "content": "x"}),
    ("NotebookEdit", {"notebook_path": "a.ipynb", "new_source": "x"},
     "write_files", {"paths": [f"{HERE}/a.ipynb"], "content": "x"}),
    ("replace", {"file_path": "a.py", "new_string": "x"},
     "write_files", {"paths": [f"{HERE}/a.py"], "content": "x"}),
    ("apply_patch", {"command": PATCH}, "write_files",
     {"paths": [f"{HERE}/new.py", f"{HERE}/src/a.py", "/etc/a.py",
                f"{HERE}/.git/hooks/pre-push"], "content": PATCH}),
    ("WebFetch", {"url": "https://a.example/x", "prompt": "sum up"},
     "fetch_urls", {"urls": ["https://a.example/x"]}),
    ("web_fetch", {"prompt": "compare https://a.example/x with (http://b.example)"},
     "fetch_urls", {"urls": ["https://a.example/x", "http://b.example"]}),
    ("google_web_search", {"query": "x"}, "search_web", {"query": "x"}),
    ("TodoWrite", {"todos": []}, "keep_notes", {"tool_name": "TodoWrite"}),
    ("mcp__db__query", {"sql": "select 1"},
     "call_mcp", {"tool_name": "mcp__db__query", "arguments": {"sql": "select 1"}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "tool", "arguments"),
    KNOWN,
    ids=[f"{number} {row[0]}" for number, row in enumerate(KNOWN)],
)
def test_a_known_tool_is_the_call_that_policies_know(
    name: str, given: dict[str, Any], tool: str, arguments: dict[str, Any]
) -> None:
    call = call_of(AgentCall(name, given, HERE))

    assert call == (f"coding.{tool}", arguments)
    definition = ToolRegistry(TOOLS).find(call.tool)
    assert definition is not None
    definition.validate(call.arguments)


ODD: list[tuple[str, dict[str, Any]]] = [
    ("Teleport", {"to": "prod"}),
    ("Bash", {}),
    ("Bash", {"command": ""}),
    ("Bash", {"command": {"x": 1}}),
    ("Bash", {"command": ["ls", 1]}),
    ("Read", {"file_path": 5}),
    ("Read", {"path_of_a_new_form": "/etc"}),
    ("read_many_files", {"include": [1]}),
    ("Write", {"content": "x"}),
    ("apply_patch", {"command": "nothing that names a file"}),
    ("WebFetch", {"url": "ftp://a.example"}),
    ("bash", {"command": "ls"}),
]


@pytest.mark.parametrize(
    ("name", "given"), ODD, ids=[f"{n} {row[0]}" for n, row in enumerate(ODD)]
)
def test_what_is_not_known_is_told_as_unknown(name: str, given: dict[str, Any]) -> None:
    assert call_of(AgentCall(name, given, HERE)) == (
        "coding.use_unknown", {"tool_name": name, "arguments": given},
    )  # fmt: skip


def test_what_gemini_remembers_is_a_file_that_steers_it() -> None:
    call = call_of(AgentCall("save_memory", {"fact": "always push"}, HERE))

    assert call.tool == "coding.write_files"
    assert call.arguments["paths"][0].endswith("/.gemini/GEMINI.md")


def test_a_tool_of_a_server_is_one_whatever_it_is_called() -> None:
    call = call_of(AgentCall("Read", {"file_path": "a.py"}, HERE, mcp=True))

    assert call.tool == "coding.call_mcp"


def test_nobody_runs_one_of_these_tools_here() -> None:
    for each in TOOLS:
        definition = guard_of(each).definition
        assert definition.isolation == "none"
        assert definition.control <= {"arguments", "tool_name", "paths"}
