"""ShadowBook: the policy in shadow, sealed under the HSM, and what it would have changed.

A row that somebody edits is no shadow.  Whatever it says, nothing here leads to the policy in
force: only an executed proposal does.

Source: docs/policies.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import String, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hyok.custody.proposal import canonical
from hyok.database.rows import bump_epoch
from hyok.database.tables import policy_shadow, policy_shadow_counts
from hyok.errors import NotFound, Tampered
from hyok.policy.bundle import Bundle, parse_bundle
from hyok.policy.shadow import Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database

EPOCH = "policy-shadow"
PURPOSE = "policy shadow"
DAY_MS = 86_400_000
_counts = policy_shadow_counts.c


@dataclass(frozen=True, slots=True)
class Shadow:
    """Which bundle is in shadow, since when, by whom and why."""

    sha256: str
    version: int
    since_ms: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """A shadow as the database has it; nothing of it is proven."""

    document: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Counted:
    """How many decisions came out in one way, and when the first and the last."""

    difference: Difference
    decisions: int
    first_ms: int
    last_ms: int


class ShadowBook:
    """The tables `policy_shadow` and `policy_shadow_counts`."""

    def __init__(self, database: Database, box: HsmSecretBox, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._box = box
        self._clock_ms = clock_ms

    async def put(self, bundle: Bundle, by: str, reason: str) -> Shadow:
        """Let every gateway decide this bundle beside its policy, instead of one before it."""
        made = Shadow(bundle.digest, bundle.version, self._clock_ms(), by, reason)
        raw, sealed = bundle.render(), await self._box.seal(PURPOSE, canonical(asdict(made)))

        def act(connection: Connection) -> None:
            connection.execute(delete(policy_shadow))
            connection.execute(delete(policy_shadow_counts).where(_counts.sha256 != made.sha256))
            connection.execute(insert(policy_shadow).values(shadow=1, document=raw, sealed=sealed))
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        return made

    async def stop(self) -> None:
        """End it; what it counted stays until another one begins.

        Raises:
            NotFound: there is none (code HY-2404).
        """

        def act(connection: Connection) -> int:
            gone = connection.execute(delete(policy_shadow)).rowcount
            bump_epoch(connection, EPOCH)
            return gone

        if not await self._database.run(act):
            raise no_shadow()

    async def current(self) -> tuple[Shadow, Bundle] | None:
        """Return what is in shadow, proven; None: nothing.

        Raises:
            Tampered: a row is not genuine (codes HY-2401, HY-2406).
        """
        row = (await self._database.read(read_row)).get(EPOCH)
        return None if row is None else await self.prove(row)

    async def prove(self, row: ShadowRow) -> tuple[Shadow, Bundle]:
        """Return the shadow of a row.

        Raises:
            Tampered: we did not write it so (codes HY-2401, HY-2406).
        """
        raw = await self._box.open(PURPOSE, row.sealed)
        try:
            shadow = Shadow(**json.loads(raw))
        except (ValueError, TypeError) as error:  # sealed by another version of this program
            raise _not_genuine() from error
        if sha256(row.document).hexdigest() != shadow.sha256:
            raise _not_genuine()
        return shadow, parse_bundle(row.document)

    async def add(self, digest: str, counts: Mapping[Difference, int]) -> Sequence[Difference]:
        """Count decisions; return those differences that nobody counted today before."""
        now = self._clock_ms()

        def act(connection: Connection) -> Sequence[Difference]:
            return [
                difference
                for difference, count in counts.items()
                if _add(connection, digest, now, difference, count)
            ]

        return await self._database.run(act)

    async def counted(self, digest: str) -> Sequence[Counted]:
        """Return what a shadow's decisions came to, over all its days, the most frequent first."""
        key = [_counts[name] for name in Difference.__dataclass_fields__]
        query = (
            select(
                *key,
                func.sum(_counts.decisions),
                func.min(_counts.first_ms),
                func.max(_counts.last_ms),
            )
            .where(_counts.sha256 == digest)
            .group_by(*key)
        )

        def act(connection: Connection) -> Sequence[Counted]:
            rows = [tuple(row) for row in connection.execute(query)]
            return [Counted(Difference(*row[:-3]), int(row[-3]), *row[-2:]) for row in rows]

        found = await self._database.read(act)
        return sorted(found, key=lambda one: (-one.decisions, one.difference))


def read_row(connection: Connection) -> Mapping[str, ShadowRow]:
    """Return the one row by the name of its epoch, for `EpochRows`."""
    row = connection.execute(select(policy_shadow)).one_or_none()
    return {} if row is None else {EPOCH: ShadowRow(row.document, row.sealed)}


def _not_genuine() -> Tampered:
    return Tampered(
        "The policy in shadow is not the one that was put there.",
        code="HY-2406",
        effect="It is not decided; the policy in force is not touched by it.",
        next_step="look who can write to the database; hyok policy shadow FOLDER",
    )


def no_shadow() -> NotFound:
    """Return what to say where no policy is in shadow."""
    return NotFound(
        "No policy is in shadow.",
        code="HY-2404",
        effect="Nothing was changed.",
        next_step="hyok policy shadow FOLDER",
    )


def _add(
    connection: Connection, digest: str, now_ms: int, difference: Difference, count: int
) -> bool:
    """Add to a row, or make it; return whether it was made."""
    texts = dict(zip(Difference.__dataclass_fields__, astuple(difference), strict=True))
    row = {name: _fitting(name, value) for name, value in texts.items()}
    row |= {"sha256": digest, "day": now_ms // DAY_MS}
    more = (
        update(policy_shadow_counts)
        .where(*_is(row))
        .values(decisions=_counts.decisions + count, last_ms=now_ms)
    )
    if connection.execute(more).rowcount:
        return False
    fresh = row | {"decisions": count, "first_ms": now_ms, "last_ms": now_ms}
    if _inserted(connection, insert(policy_shadow_counts).values(**fresh)):
        return True
    connection.execute(more)
    return False


def _fitting(name: str, value: str) -> object:
    """Return what its column takes: PostgreSQL refuses a longer text, and a zero character."""
    kind = _counts[name].type
    assert isinstance(kind, String)
    return value.replace("\0", "")[: kind.length]


def _is(row: Mapping[str, object]) -> Sequence[ColumnElement[bool]]:
    return [_counts[name] == value for name, value in row.items()]


def _inserted(connection: Connection, statement: object) -> bool:
    """Return whether our row was the first; PostgreSQL lets another transaction come between."""
    try:
        with connection.begin_nested():
            connection.execute(statement)  # type: ignore[call-overload]
    except IntegrityError:
        return False
    return True
