"""What S3 asks of a list of parts before they become one object; pure, over our own ledger."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hyok.envelope.layout import HYOK1
from hyok.errors import Malformed
from hyok.s3 import checksums
from hyok.s3.names import part_etag_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hyok.objects.uploads import Upload, UploadPart


def chosen(wanted: Sequence[tuple[int, str]], known: dict[int, UploadPart]) -> Sequence[UploadPart]:
    """Return the ledger's parts for the client's list, all rules of S3 checked."""
    if not wanted:
        raise Malformed("You must specify at least one part", reason="MalformedXML")
    numbers = [number for number, _ in wanted]
    if any(a >= b for a, b in pairwise(numbers)):
        raise Malformed("The list of parts was not in ascending order.", reason="InvalidPartOrder")
    parts = []
    for number, client_etag in wanted:
        part = known.get(number)
        store_etag, attempt = part_etag_in(client_etag)
        same = part is not None and store_etag == part.store_etag
        if part is None or not same or (attempt is not None and attempt != part.part_id):
            raise Malformed(
                "One or more of the specified parts could not be found. The part may not have "
                "been uploaded, or the specified entity tag may not match the part's entity tag.",
                reason="InvalidPart",
            )
        parts.append(part)
    if any(part.plain_size < HYOK1.min_part_bytes for part in parts[:-1]):
        raise Malformed(
            "Your proposed upload is smaller than the minimum allowed size",
            reason="EntityTooSmall",
        )
    return parts


def check_parts(
    parts: Sequence[UploadPart], said: Mapping[int, Mapping[checksums.Algorithm, str]]
) -> None:
    """Return quietly if the checksums said of the parts are those that were verified."""
    for part in parts:
        for algorithm, text in said.get(part.number, {}).items():
            known = checksums.encode(part.checksum) if part.checksum else ""
            if part.checksum_algorithm != algorithm or text != known:
                raise Malformed(
                    f"The checksum of part {part.number} is not the one that was uploaded.",
                    reason="InvalidPart",
                )


def trailer_number(parts: Sequence[UploadPart], known: Collection[UploadPart]) -> int:
    """Return the number of the store's part that carries the trailer.

    With a last part that was held aside it is that part's own.  Else it is one that the client has
    not used: a completion that fails must leave every uploaded part as it was.
    """
    if parts[-1].aside_name:
        return parts[-1].number
    return max(part.number for part in known if not part.aside_name) + 1


@dataclass(frozen=True, slots=True)
class WholeChecksum:
    """The checksum of the object that the parts make; algorithm 0 where some part has none."""

    algorithm: int = 0
    kind: str = ""  # FULL_OBJECT or COMPOSITE
    value: bytes = b""
    parts: int = 0

    @property
    def text(self) -> str:
        """What the client is told; empty where there is none."""
        if not self.algorithm:
            return ""
        if self.kind == "COMPOSITE":
            return checksums.composite_text(self.value, self.parts)
        return checksums.encode(self.value)

    @property
    def kept(self) -> tuple[int, int, bytes]:
        """Algorithm, type and value for the trailer; zero and none where that has no number."""
        if not self.algorithm or not checksums.Algorithm(self.algorithm).kept:
            return 0, 0, b""
        return self.algorithm, int(self.kind == "COMPOSITE"), self.value

    def check(self, given: str, given_type: str) -> None:
        """Return quietly if it is what the client expects.

        Raises:
            Malformed: it is another (reason BadDigest or InvalidRequest).
        """
        if given_type and self.algorithm and given_type != self.kind:
            raise Malformed(
                f"The upload was created using the {self.kind} checksum mode. The complete request "
                "must use the same checksum mode.",
                reason="InvalidRequest",
            )
        if not given:
            return
        if given not in {self.text, self.text.partition("-")[0]} or not self.algorithm:
            name = checksums.Algorithm(self.algorithm).name if self.algorithm else "checksum"
            raise checksums.bad_digest(name)


def whole_checksum(upload: Upload, parts: Sequence[UploadPart]) -> WholeChecksum:
    """Return the checksum of the whole from those of its parts."""
    algorithm = upload.checksum_algorithm or parts[0].checksum_algorithm
    if not algorithm or any(p.checksum_algorithm != algorithm for p in parts):
        return WholeChecksum()
    known = checksums.Algorithm(algorithm)
    kind = upload.checksum_type or checksums.check_multipart_type(known, None)
    if kind == "COMPOSITE":
        value = checksums.composite(known, [p.checksum for p in parts])
    else:
        value = checksums.combine(known, [(p.checksum, p.plain_size) for p in parts])
    return WholeChecksum(algorithm, kind, value, len(parts))
