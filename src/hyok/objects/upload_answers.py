"""What a client is told of its upload in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.objects.vault import PutResult
from hyok.s3.names import etag_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.objects.uploads import Upload, UploadPart


@dataclass(frozen=True, slots=True)
class Begun:
    """What the client is told of a new upload."""

    upload_id: str
    kek_id: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of an upload's parts or of a bucket's uploads."""

    upload: Upload
    parts: Sequence[UploadPart]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Completed:
    """What the client is told of an object joined from parts."""

    result: PutResult
    checksum_algorithm: int
    checksum_type: str
    checksum: str


def completed(upload: Upload) -> Completed:
    """Return what a finished upload answers, the first time and again."""
    return Completed(
        result=PutResult(
            etag_out(upload.result_etag), upload.result_ms, upload.kek_id, upload.result_version
        ),
        checksum_algorithm=upload.checksum_algorithm,
        checksum_type=upload.checksum_type,
        checksum=upload.result_checksum,
    )
