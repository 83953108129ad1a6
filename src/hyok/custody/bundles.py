"""PolicyKeeper: the policy that officers put in force, in every process within seconds.

A bundle is taken only when its proposal is proven, was executed, names exactly these bytes, and its
version is higher than the one that is in force here.  Whatever fails that is an alarm, and the last
good policy goes on.

Source: docs/policies.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, func, insert, select

from hyok.audit.record import AuditRecord
from hyok.custody.proposal import not_genuine
from hyok.custody.quorum import Act
from hyok.database.epoch_rows import EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import policy_bundles, policy_in_force
from hyok.errors import Conflict, HyokError, Malformed, NotFound
from hyok.policy.bundle import Bundle, Policy, failing, load, parse_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.audit.port import Journal
    from hyok.custody.approvals import Approvals
    from hyok.database.engine import Database
    from hyok.policy.classifications import Classifications
    from hyok.policy.decision import CachedEngine
    from hyok.policy.exceptions import PolicyException

log = structlog.get_logger("hyok.custody.bundles")

EPOCH = "policy"


@dataclass(frozen=True, slots=True)
class InForce:
    """Which bundle officers put in force, when, and by which proposal."""

    version: int
    sha256: str
    proposal_id: str
    since_ms: int


class PolicyBook:
    """The tables `policy_bundles` and `policy_in_force`."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def keep(self, bundle: Bundle) -> None:
        """Write a bundle down, so that it can be proposed; it is not in force by that."""
        raw, digest = bundle.render(), bundle.digest

        def act(connection: Connection) -> None:
            mine = select(policy_bundles.c.sha256).where(policy_bundles.c.sha256 == digest)
            if connection.execute(mine).one_or_none() is None:
                connection.execute(
                    insert(policy_bundles).values(
                        sha256=digest,
                        version=bundle.version,
                        document=raw,
                        created_ms=self._clock_ms(),
                    )
                )

        await self._database.run(act)

    async def find(self, digest: str) -> Bundle:
        """Return a bundle that was kept.

        Raises:
            NotFound: there is none (code HY-2330).
            Tampered: the row is not what its digest says (code HY-2507).
        """
        query = select(policy_bundles.c.document).where(policy_bundles.c.sha256 == digest)
        raw = await self._database.read(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )
        if raw is None:
            raise NotFound(
                "There is no policy bundle of this digest.",
                code="HY-2330",
                next_step="hyok policy publish FOLDER",
            )
        if sha256(raw).hexdigest() != digest:
            raise not_genuine("a policy bundle")
        return parse_bundle(raw)

    async def next_version(self) -> int:
        """Return the version after the last one that was in force."""
        query = select(func.max(policy_in_force.c.version))
        found = await self._database.read(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )
        return int(found or 0) + 1

    async def history(self) -> Sequence[InForce]:
        """Return what was in force, the newest first."""
        query = select(policy_in_force).order_by(policy_in_force.c.version.desc())

        def act(connection: Connection) -> Sequence[InForce]:
            rows = connection.execute(query)
            return [InForce(r.version, r.sha256, r.proposal_id, r.since_ms) for r in rows]

        return await self._database.read(act)

    async def put_in_force(self, version: int, digest: str, proposal_id: str) -> None:
        """Let every process take this bundle; again says nothing.

        Raises:
            Conflict: this version is another bundle's.
        """

        def act(connection: Connection) -> None:
            mine = policy_in_force.c.version == version
            row = connection.execute(select(policy_in_force).where(mine)).one_or_none()
            if row is not None:
                if (row.sha256, row.proposal_id) != (digest, proposal_id):
                    raise Conflict(
                        f"Version {version} of the policy is another bundle.", code="HY-2331"
                    )
                return
            connection.execute(
                insert(policy_in_force).values(
                    version=version,
                    sha256=digest,
                    proposal_id=proposal_id,
                    since_ms=self._clock_ms(),
                )
            )
            bump_epoch(connection, EPOCH)

        await self._database.run(act)


class PolicyKeeper:
    """Keeps the policy of one process true to what is in force.

    Args:
        book: what was published.
        approvals: proves proposals.
        classifications: what everybody holds; it becomes that of the bundle.
        engine: the same.
        journal: has what was refused.
        folder_digest: of the folder of the settings, which decides until a bundle is in force.
    """

    def __init__(
        self,
        *,
        database: Database,
        book: PolicyBook,
        approvals: Approvals,
        classifications: Classifications,
        engine: CachedEngine,
        folder_digest: str,
        journal: Journal,
        clock_ms: Callable[[], int],
    ) -> None:
        self._book = book
        self._approvals = approvals
        self._classifications = classifications
        self._engine = engine
        self._journal = journal
        self._clock_ms = clock_ms
        self._rows: EpochRows[InForce] = EpochRows(database, clock_ms, EPOCH, _newest)
        self._refused = self._told = ""
        self.version = 0  # 0: the folder of the settings
        self.digest = folder_digest
        self.problem = ""
        self.exceptions: Sequence[PolicyException] = ()

    async def check_taken(self) -> None:
        """Return quietly if this process decides by what is in force, or a good one before it.

        Raises:
            HyokError: it could not be taken yet: nothing is decided by the folder then.
        """
        if not self.version:
            await self.look()

    async def look(self) -> None:
        """Take what is in force now; quiet when nothing changed.

        Raises:
            HyokError: it cannot be taken, and there is no good one before it.
        """
        rows = await self._rows.now()
        newest = rows.get(EPOCH)
        if newest is None or newest.version <= self.version or newest.sha256 == self._refused:
            return
        try:
            policy = await self._proven(newest)
        except HyokError as error:
            if error.retryable:
                raise
            await self._alarm(newest, error)
            if not self.version:
                raise
            self._refused = newest.sha256
            return
        self._classifications.become(policy.classifications)
        self._engine.become(policy.deciding(self._clock_ms))
        self.exceptions = policy.exceptions
        self.version, self.digest, self.problem = newest.version, newest.sha256, ""
        log.info("policy.in_force", version=self.version, sha256=self.digest)

    async def _alarm(self, newest: InForce, error: HyokError) -> None:
        """Say it once: in the program's log, to `hyok doctor`, and for good in the audit log."""
        self.problem = error.explain()
        if self._told == self.problem:
            return
        log.warning("policy.refused", version=newest.version, cause=self.problem)
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase="conclude",
                action="policy:alarm",
                outcome="failed",
                actor="system",
                tenant="system",
                origin="database",
                request_id=newest.proposal_id,
                reasons=(f"version {newest.version}", f"bundle-sha256:{newest.sha256}"),
                error=f"{type(error).__name__}:{error.code or error.reason}",
            ),
            durable=True,
        )
        self._told = self.problem  # not before: a log that is away is tried again

    async def _proven(self, newest: InForce) -> Policy:
        """Return the policy of a bundle that officers put in force.

        Raises:
            Tampered: a row is not genuine (code HY-2507).
            Malformed: the bundle cannot decide, or a case of its own fails.
        """
        case = await self._approvals.get(newest.proposal_id)
        effect = case.proposal.effect
        told = (case.proposal.act, effect.get("sha256"), effect.get("version"))
        if case.execution is None or told != (Act.PUBLISH_POLICY, newest.sha256, newest.version):
            raise not_genuine("the policy in force")
        bundle = await self._book.find(newest.sha256)
        if bundle.version != newest.version:
            raise not_genuine("the policy in force")
        policy = load(bundle.files)
        if said := failing(policy):
            raise Malformed(f"a case of the policy fails: {said[0]}", code="HY-1103")
        return policy


def _newest(connection: Connection) -> Mapping[str, InForce]:
    query = select(policy_in_force).order_by(policy_in_force.c.version.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return {}
    return {EPOCH: InForce(row.version, row.sha256, row.proposal_id, row.since_ms)}
