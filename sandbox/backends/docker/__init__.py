"""The Docker backend: hardened containers through the engine. Importing it loads the `docker` SDK.

Only this folder talks to an engine. Not in here: anything another backend needs too.
"""

from __future__ import annotations

from sandbox.backends.docker.backend import DockerSandbox

__all__ = ["DockerSandbox"]
