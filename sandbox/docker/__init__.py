"""The Docker backend. Importing it loads the `docker` SDK."""

from __future__ import annotations

from sandbox.docker.backend import DockerSandbox

__all__ = ["DockerSandbox"]
