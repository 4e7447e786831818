"""Workspaces as transactions: what a run would change is a value before it is a fact."""

from __future__ import annotations

from sandbox.workspace.model import (
    Base,
    Change,
    ChangeSet,
    Fault,
    Limits,
)
from sandbox.workspace.overlay import TARGET, WorkspaceOverlay

__all__ = ["TARGET", "Base", "Change", "ChangeSet", "Fault", "Limits", "WorkspaceOverlay"]
