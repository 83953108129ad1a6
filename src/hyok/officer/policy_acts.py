"""The act that puts a policy in force: what it gives and takes is part of what is approved."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hyok.custody.exceptions import first_approved
from hyok.custody.quorum import Quorum
from hyok.errors import Conflict, Malformed
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.policy.bundle import failing, load
from hyok.policy.exceptions import check_terms
from hyok.policy.matrix import allowed, compare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.custody.bundles import PolicyBook, PolicyKeeper
    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.policy.bundle import Policy
    from hyok.policy.matrix import Cell, World
    from hyok.vocabulary import Ask

SYSTEM = "system"
CELLS_MAX = 100
"""Cells of the access matrix that a proposal spells out; it says how many there are in all."""


class PublishPolicy:
    """`policy:publish`."""

    def __init__(
        self,
        *,
        book: PolicyBook,
        keeper: PolicyKeeper,
        directory: Mapping[str, str],
        world: Callable[[], Awaitable[World]],
        used: Callable[[], Awaitable[frozenset[str]]],
        clock_ms: Callable[[], int],
    ) -> None:
        self._clock_ms = clock_ms
        self._book = book
        self._keeper = keeper
        self._directory = directory
        self._world = world
        self._used = used

    async def plan(self, effect: Effect) -> Plan:
        """Return what the bundle would change for the apps and buckets of today.

        Raises:
            Malformed: it cannot decide, a case of its own fails, it lacks a class in use, or an
                exception has ended or would last too long.
            Conflict: its version is not the next one (code HY-2331).
        """
        digest = text(effect, "sha256")
        bundle = await self._book.find(digest)
        wanted = await self._book.next_version()
        published = any(one.sha256 == digest for one in await self._book.history())
        if bundle.version != wanted and not published:
            raise Conflict(
                f"The bundle has version {bundle.version}; the next one is {wanted}.",
                code="HY-2331",
                effect="Nothing was proposed.",
                next_step="hyok policy publish FOLDER makes it anew",
            )
        policy = fit(bundle.files, await self._used())
        check_terms(policy.exceptions, self._clock_ms(), await first_approved(self._book))
        if effect.get("version") == bundle.version:  # as it was proposed: looked at, not anew
            return Plan(SYSTEM, "", Quorum(1), effect)
        exact: Effect = {"sha256": digest, "version": bundle.version}
        if policy.exceptions:
            exact["exceptions"] = [one.describe() for one in policy.exceptions]
        return Plan(SYSTEM, "", Quorum(1), exact | await self._change(policy))

    async def _change(self, policy: Policy) -> Effect:
        world = await self._world()
        before = await self._in_force()
        # Every app times every bucket: seconds of computing, and others wait for this loop.
        change = await asyncio.to_thread(
            lambda: compare(allowed(before, world), allowed(policy, world))
        )
        return {
            "gained": len(change.gained),
            "lost": len(change.lost),
            "gains": _words(change.gained),
            "losses": _words(change.lost),
            "classes-changed": _changed(before, policy),
        }

    async def _in_force(self) -> Policy:
        history = await self._book.history()
        if not history:
            return load(self._directory).unpublished()
        return load((await self._book.find(history[0].sha256)).files)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Put it in force; every process takes it within seconds."""
        del ask
        effect = case.proposal.effect
        version, digest = effect["version"], text(effect, "sha256")
        assert isinstance(version, int)
        await self._book.put_in_force(version, digest, case.proposal.proposal_id)
        await self._keeper.look()
        return Done(
            f"policy version {version} is in force; every gateway takes it within five seconds",
            {"version": version, "sha256": digest},
        )


def fit(files: Mapping[str, str], used: frozenset[str]) -> Policy:
    """Return a policy that could be in force, where ``used`` classifications have something kept.

    Raises:
        Malformed: it cannot decide, a case of its own fails, or it lacks a class in use.
    """
    policy = load(files)
    if said := failing(policy):
        raise Malformed(f"a case of the policy fails: {said[0]}", code="HY-1103")
    missing = sorted(used - set(policy.classifications.names()))
    if missing:
        raise Malformed(
            f"the policy has no classification {missing[0]}, and something is kept under it",
            code="HY-1104",
        )
    return policy


def _words(cells: Sequence[Cell]) -> list[str]:
    return [
        f"{cell.app} {cell.action} {cell.bucket} {cell.classification}"
        for cell in cells[:CELLS_MAX]
    ]


def _changed(before: Policy, after: Policy) -> list[str]:
    """Return the classifications whose demands differ."""
    old, new = set(before.classifications.names()), set(after.classifications.names())
    differing = {
        name
        for name in old & new
        if before.classifications.get(name) != after.classifications.get(name)
    }
    return sorted((old ^ new) | differing)
