"""From a project to the contents of an image: its lock, its wheels, one layer, its SBOM.

Nothing here talks to a container engine, and nothing of the project is run on the host: wheels
are files that are unpacked by `wheel`, and what has to be built is built in a sandbox.
"""

from __future__ import annotations
