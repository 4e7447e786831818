"""OpenAPI documents: operations of an HTTP service as guarded tools."""

from __future__ import annotations

from permissions.integrations.openapi import guard_openapi

__all__ = ["guard_openapi"]
