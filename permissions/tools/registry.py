"""The tools of one broker, by name. What is not in here is denied."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from permissions.errors import ToolDefinitionError
from permissions.signing.canonical import digest_of
from permissions.tools.decorator import guard_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from permissions.tools.definition import ToolDefinition
    from permissions.vocabulary import Digest


class ToolRegistry:
    """The tools one broker knows. What is not in it is denied."""

    def __init__(self, tools: Iterable[object]) -> None:
        definitions: dict[str, ToolDefinition] = {}
        for function in tools:
            definition = guard_of(function).definition
            if definition.name in definitions:
                raise ToolDefinitionError(
                    f"two tools are called {definition.name!r}; give one a name=..."
                )
            definitions[definition.name] = definition
        self._definitions = definitions

    def find(self, name: str) -> ToolDefinition | None:
        """The tool of that name, or None."""
        return self._definitions.get(name)

    def __iter__(self) -> Iterator[ToolDefinition]:
        """All tools, in the order they were registered."""
        return iter(self._definitions.values())

    @cached_property
    def digest(self) -> Digest:
        """Digest over every tool's name and digest."""
        return digest_of({tool.name: tool.digest for tool in self})
