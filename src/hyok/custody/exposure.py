"""Which objects' keys a compromised key version may have kept, and so must be sealed anew.

An intermediate key that was moved to a newer version, and a data key whose envelope was renewed,
were kept under the older one before: whoever had that version and an old copy has them.  So what
counts is every version under which an object's key may ever have stood, not only today's.

Source: docs/format.md, section 9; docs/adr/0021-after-a-compromise.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState
from hyok.envelope.block import Mode
from hyok.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.keyring_rows import KeyringRows
    from hyok.envelope.block import Envelope


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an envelope says of its exposure.

    Args:
        exposed: a version in question may have kept its key as it is now.
        before_ms: it is also exposed if the object was written before this moment, under another
            envelope; 0: it is not.
    """

    exposed: bool = False
    before_ms: int = 0

    def holds(self, created_ms: int) -> bool:
        """Is an object exposed that was written at this moment, as its trailer proves?"""
        return self.exposed or created_ms < self.before_ms


SAFE = Verdict()


class Exposure:
    """Judges envelopes of one tenant.  For one pass: what it read of rows it remembers.

    Args:
        keks: every key version of the tenant.
        suspects: the versions in question, by their names.
        rows: where a record stands now.
    """

    def __init__(self, keks: Iterable[Kek], suspects: Iterable[str], rows: KeyringRows) -> None:
        self._keks: Mapping[str, Kek] = {kek.kek_id: kek for kek in keks}
        self._suspects = [self._keks[name] for name in suspects]
        self._rows = rows
        self._moved: dict[bytes, str] = {}

    async def judge(self, envelope: Envelope) -> Verdict:
        """Return what this envelope, whose word is not proven, says.

        An envelope that lies about its key does not open, and keeps nothing.
        """
        sealed = self._keks.get(envelope.kek_id)
        if sealed is None:
            return SAFE
        suspects = [one for one in self._suspects if one.classification == sealed.classification]
        if not suspects:
            return SAFE
        newest = sealed.version
        if envelope.mode is Mode.KEYRING:
            newest = max(newest, await self._kept_now(envelope.token, sealed))
        exposed = any(sealed.version <= one.version <= newest for one in suspects)
        older = [one for one in suspects if one.version < sealed.version]
        return Verdict(exposed, max((self._ended_ms(one) for one in older), default=0))

    async def _kept_now(self, ik_id: bytes, sealed: Kek) -> int:
        """Return the version that keeps an intermediate key now; 0: none does."""
        if ik_id not in self._moved:
            kept = await self._rows.kept(ik_id)
            self._moved[ik_id] = "" if kept is None else kept.kek_id
        kek = self._keks.get(self._moved[ik_id])
        if kek is None or kek.classification != sealed.classification:
            return 0
        return kek.version

    def _ended_ms(self, kek: Kek) -> int:
        """Return when the next version took over: what is younger was never under this one."""
        later = [
            one
            for one in self._keks.values()
            if one.classification == kek.classification and one.version > kek.version
        ]
        return min((one.created_ms for one in later), default=0)


class Exposures:
    """Makes an `Exposure` for each pass."""

    def __init__(self, keks: KekCatalog, rows: KeyringRows) -> None:
        self._keks = keks
        self._rows = rows

    async def of_tenant(self, tenant: str) -> Exposure:
        """Return what judges by every compromised version of a tenant."""
        mine = await self._of(tenant)
        bad = [kek.kek_id for kek in mine if kek.state is KeyState.COMPROMISED]
        return Exposure(mine, bad, self._rows)

    async def of_key(self, kek: Kek) -> Exposure:
        """Return what judges by one version."""
        return Exposure(await self._of(kek.tenant), [kek.kek_id], self._rows)

    async def check_sound(self, tenant: str, classifications: Iterable[str]) -> None:
        """Return quietly if each compromised key among these has a newer one that writes.

        Raises:
            NotFound: no version of the tenant is compromised (code HY-2420).
            Conflict: what is sealed anew would come under a compromised or an older key (HY-2421).
        """
        wanted = set(classifications)
        bad = [
            kek
            for kek in await self._of(tenant)
            if kek.state is KeyState.COMPROMISED and kek.classification in wanted
        ]
        if not bad:
            raise NotFound(
                "No key version that may keep something here is compromised.",
                code="HY-2420",
                effect="Nothing was begun.",
                next_step="hyok keys compromise KEK-ID --reason …, if one is",
            )
        for kek in bad:
            newer = [
                one
                for one in await self._keks.versions(tenant, kek.classification)
                if one.state is KeyState.ACTIVE and one.version > kek.version
            ]
            if not newer:
                raise Conflict(
                    f"No newer version than {kek.kek_id}, which is compromised, writes.",
                    code="HY-2421",
                    effect="Nothing was begun.",
                    next_step=(
                        f"hyok keys rotate --tenant {tenant} --classification {kek.classification}"
                    ),
                )

    async def _of(self, tenant: str) -> Sequence[Kek]:
        return [kek for kek in await self._keks.all() if kek.tenant == tenant]
