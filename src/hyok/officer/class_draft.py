"""ClassDraft: what is written down while a classification is destroyed, before anything goes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hyok.envelope.block import Mode
from hyok.objects.erasing import Holding
from hyok.officer.statement import Deleted, Part

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hyok.objects.envelopes import Sealed
    from hyok.vocabulary import Bucket


@dataclass(slots=True)
class ClassFound:
    """What stands there of a classification under key versions that are to go.

    ``newer``: versions of it under later ones, which live on.
    """

    holdings: dict[str, Holding] = field(default_factory=dict)  # by bucket
    alone: dict[tuple[str, str], Holding] = field(default_factory=dict)  # by bucket and kek_id
    tokens: set[bytes] = field(default_factory=set)  # of keyring records
    samples: dict[str, str] = field(default_factory=dict)  # envelopes, hex, by bucket and mode
    newer: int = 0

    def add(self, bucket: str, found: Sealed, now_ms: int) -> None:
        """Count one more version."""
        envelope = found.envelope
        self.holdings[bucket] = self.holdings.get(bucket, Holding()).plus(found, now_ms)
        self.samples.setdefault(f"{bucket} {envelope.mode.name}", found.raw.hex())
        if envelope.mode is Mode.KEYRING:
            self.tokens.add(envelope.token)
            return
        place = bucket, envelope.kek_id
        self.alone[place] = self.alone.get(place, Holding()).plus(found, now_ms)

    @property
    def versions(self) -> int:
        """Return how many versions there are."""
        return sum(held.versions for held in self.holdings.values())


@dataclass(slots=True)
class ClassDraft:
    """A killed act states all of it: this is what it read before it destroyed."""

    new: str = ""  # the key version that keeps what is written from now on
    old: list[str] = field(default_factory=list)  # every version before it
    ending: list[str] = field(default_factory=list)  # those of them that exist
    counted: bool = False
    parts: dict[str, list[Any]] = field(default_factory=dict)  # bucket: [store, versions, bytes]
    alone: list[list[Any]] = field(default_factory=list)  # [bucket, kek_id, versions, bytes]
    samples: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, object] | None) -> ClassDraft:
        """Return the draft of a row, or a new one."""
        return cls() if document is None else cls(**dict(document))  # type: ignore[arg-type]

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)

    def count(self, found: ClassFound, buckets: Sequence[Bucket]) -> None:
        """Add what was found."""
        stores = {bucket.bucket_id: bucket.store for bucket in buckets}
        for bucket, held in found.holdings.items():
            before = self.parts.get(bucket, [stores[bucket], 0, 0])
            versions, size_bytes = before[1] + held.versions, before[2] + held.size_bytes
            self.parts[bucket] = [stores[bucket], versions, size_bytes]
        for (bucket, kek_id), held in found.alone.items():
            self.alone.append([bucket, kek_id, held.versions, held.size_bytes])
        self.samples = found.samples | self.samples
        self.counted = True

    def parts_gone(self) -> Sequence[Part]:
        """Return what went, in the statement's words."""
        return [Part(bucket, *row) for bucket, row in sorted(self.parts.items())]

    def deleted(self, why: str, kept: Collection[str]) -> Sequence[Deleted]:
        """Return what is only deleted, since these key versions live on."""
        sums: dict[str, list[int]] = {}
        for bucket, kek_id, versions, size_bytes in self.alone:
            if kek_id in kept:
                before = sums.setdefault(bucket, [0, 0])
                sums[bucket] = [before[0] + versions, before[1] + size_bytes]
        return [Deleted(bucket, why, *both) for bucket, both in sorted(sums.items())]
