"""Checksums computed without us, to compare with what clients are told."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

from awscrt import checksums as crt


def checksum(algorithm: str, body: bytes) -> str:
    """Return a checksum as S3 writes it: base64 of the big-endian value."""
    match algorithm:
        case "CRC32":
            value = zlib.crc32(body).to_bytes(4, "big")
        case "CRC32C":
            value = crt.crc32c(body).to_bytes(4, "big")
        case "CRC64NVME":
            value = crt.crc64nvme(body).to_bytes(8, "big")
        case _:
            value = hashlib.new(algorithm.lower(), body).digest()
    return b64encode(value).decode()
