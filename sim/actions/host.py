"""How actions name hosts."""

from __future__ import annotations

from typing import NewType

HostIndex = NewType("HostIndex", int)
"""Number of a host in its scenario, from 0."""
