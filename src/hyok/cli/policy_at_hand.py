"""The policy that a command compares with: what officers put in force, else the folder's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.policy.bundle import load
from hyok.wiring import policy_files

if TYPE_CHECKING:
    from hyok.policy.bundle import Policy
    from hyok.wiring import Core


async def in_force(core: Core) -> Policy:
    """Return the policy in force: that of officers, or the folder of the settings."""
    history = await core.policies.history()
    if history:
        return load((await core.policies.find(history[0].sha256)).files)
    return load(policy_files(core.settings.policies.directory)).unpublished()
