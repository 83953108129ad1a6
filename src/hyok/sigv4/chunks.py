"""Signatures of the chunks and the trailer of an aws-chunked body: a chain from the request's own.

Source: AWS "Signature calculations for the Authorization header: transferring payload in
multiple chunks".
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from hyok.errors import NotAuthenticated
from hyok.sigv4.canonical import EMPTY_SHA256, signature


class ChunkSigner:
    """Signs the chunks of one body in order, then perhaps its trailer.

    Args:
        signing_key: of the day, region and service.
        scope: ``<day>/<region>/<service>/aws4_request``.
        amz_date: time of the request, as it was signed.
        seed: signature of the request itself, where the chain begins.
    """

    __slots__ = ("_key", "_middle", "_previous")

    def __init__(self, signing_key: bytes, scope: str, amz_date: str, seed: str) -> None:
        self._key = signing_key
        self._middle = f"{amz_date}\n{scope}\n"
        self._previous = seed

    def sign_chunk(self, data_sha256_hex: str) -> str:
        """Return the signature of the next chunk, whose data has this SHA-256."""
        text = (
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self._middle}{self._previous}\n"
            f"{EMPTY_SHA256}\n{data_sha256_hex}"
        )
        self._previous = signature(self._key, text.encode("ascii"))
        return self._previous

    def sign_trailer(self, trailer: bytes) -> str:
        """Return the signature of a trailer: lines ``name:value`` LF, names in lower case."""
        text = (
            f"AWS4-HMAC-SHA256-TRAILER\n{self._middle}{self._previous}\n"
            f"{sha256(trailer).hexdigest()}"
        )
        self._previous = signature(self._key, text.encode("ascii"))
        return self._previous


class ChunkVerifier:
    """Verifies what a `ChunkSigner` of the client signed, in the same order."""

    __slots__ = ("_signer",)

    def __init__(self, signing_key: bytes, scope: str, amz_date: str, seed: str) -> None:
        self._signer = ChunkSigner(signing_key, scope, amz_date, seed)

    def verify_chunk(self, data_sha256_hex: str, given: str) -> None:
        """Return quietly if ``given`` is the signature of the next chunk.

        Raises:
            NotAuthenticated: it is not (reason ``SignatureDoesNotMatch``).
        """
        self._compare(self._signer.sign_chunk(data_sha256_hex), given)

    def verify_trailer(self, trailer: bytes, given: str) -> None:
        """Return quietly if ``given`` is the signature of this trailer.

        Raises:
            NotAuthenticated: it is not (reason ``SignatureDoesNotMatch``).
        """
        self._compare(self._signer.sign_trailer(trailer), given)

    @staticmethod
    def _compare(expected: str, given: str) -> None:
        if not hmac.compare_digest(expected.encode("ascii"), given.encode("utf-8", "replace")):
            raise NotAuthenticated(
                "The signature of a chunk of the body does not match.",
                reason="SignatureDoesNotMatch",
            )
