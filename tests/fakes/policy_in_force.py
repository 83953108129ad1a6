"""A policy that is in force, for tests of what stands on one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InForce:
    """Fills `PolicyInForce`: taken, and of this digest."""

    digest: str = ""

    async def check_taken(self) -> None:
        """It is."""
