"""The policy in force, its exceptions, and the one in shadow: are they what officers said?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.cli.diagnosis.check import Check
from hyok.custody.shadowing import LONG_MS
from hyok.policy.exceptions import DAY_MS, SOON_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.policy.exceptions import PolicyException
    from hyok.wiring import Core


async def in_force(core: Core) -> Check:
    """Did officers approve the policy that decides, and could it be taken?"""
    await core.policy.check_taken()
    if core.policy.problem:
        means = "the last good one decides; a process that starts decides nothing"
        step = "hyok policy list; look who can write to the database; publish it anew"
        return Check("policy in force", "FAIL", core.policy.problem, means, step)
    if core.policy.version:
        said = f"version {core.policy.version}, sha256 {core.policy.digest[:16]}…"
        return Check("policy in force", "ok", said)
    said = "the folder of the settings, approved by nobody"
    means = "whoever may write to that folder decides who reads what"
    return Check("policy in force", "warn", said, means, "hyok policy publish FOLDER")


async def in_shadow(core: Core, now_ms: int) -> Check:
    """Is a policy in shadow, and has somebody forgotten it there?"""
    found = await core.shadows.current()
    if found is None:
        return Check("policy in shadow", "ok", "none")
    shadow, _ = found
    history = await core.policies.history()
    if any(one.sha256 == shadow.sha256 for one in history):
        return Check("policy in shadow", "ok", "none: it came in force")
    days = (now_ms - shadow.since_ms) / DAY_MS
    said = f"sha256 {shadow.sha256[:16]}…, for {days:.1f} days, by {shadow.by}"
    if history and history[0].version >= shadow.version:
        means = "it is decided no more: another policy came in force since"
        step = "hyok policy shadow FOLDER, or hyok policy shadow --stop"
        return Check("policy in shadow", "warn", said, means, step)
    if now_ms - shadow.since_ms > LONG_MS:
        means = "it has been tried for more than three days, and nobody decides about it"
        step = "hyok policy shadow; then hyok policy enforce, or hyok policy shadow --stop"
        return Check("policy in shadow", "warn", said, means, step)
    return Check("policy in shadow", "ok", said)


def exceptions(core: Core, now_ms: int) -> Check:
    """Has an exception of the policy in force ended, or does one soon?"""
    known = core.policy.exceptions
    if not known:
        return Check("policy exceptions", "ok", "none")
    ended = [one for one in known if one.ends_ms <= now_ms]
    if ended:
        means = "what they let pass is refused again, and the policy still speaks of them"
        step = "hyok policy exceptions; publish a policy without them"
        return Check("policy exceptions", "FAIL", f"ended: {_named(ended)}", means, step)
    soon = [one for one in known if one.ends_ms - now_ms <= SOON_MS]
    if soon:
        means = "at the end of that day what they let pass is refused"
        step = "mend what they are for; an exception that is still needed gets an id of its own"
        said = f"end within thirty days: {_named(soon)}"
        return Check("policy exceptions", "warn", said, means, step)
    return Check("policy exceptions", "ok", f"{len(known)}, none ends within thirty days")


def _named(some: Sequence[PolicyException]) -> str:
    return ", ".join(f"{one.id} ({one.until}, owner {one.owner})" for one in some)
