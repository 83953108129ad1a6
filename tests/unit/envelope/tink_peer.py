"""Opens and seals parts with Google Tink.  Run by the Python of `.tox/tink`, never imported here.

Reads a JSON list from standard input: objects of ``act`` (open or seal), ``key``, ``aad``,
``segment_bytes`` and ``input`` (hexadecimal); writes a JSON list of hexadecimal answers, or null
where Tink refused.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import tink
from tink import secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2


def primitive(key: bytes, segment_bytes: int) -> streaming_aead.StreamingAead:
    """Return Tink's AES-GCM-HKDF streaming AEAD of one key."""
    inner = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=key,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=segment_bytes,
            derived_key_size=32,
            hkdf_hash_type=common_pb2.SHA256,
        ),
    )
    keyset = tink_pb2.Keyset(
        primary_key_id=1,
        key=[
            tink_pb2.Keyset.Key(
                key_data=tink_pb2.KeyData(
                    type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
                    value=inner.SerializeToString(),
                    key_material_type=tink_pb2.KeyData.SYMMETRIC,
                ),
                status=tink_pb2.ENABLED,
                key_id=1,
                output_prefix_type=tink_pb2.RAW,
            )
        ],
    )
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def answer(question: dict[str, Any]) -> str | None:
    """Return the opened or sealed bytes."""
    aead = primitive(bytes.fromhex(question["key"]), question["segment_bytes"])
    given, aad = bytes.fromhex(question["input"]), bytes.fromhex(question["aad"])
    if question["act"] == "open":
        try:
            with aead.new_decrypting_stream(io.BytesIO(given), aad) as stream:
                return bytes(stream.read()).hex()
        except tink.TinkError:
            return None
    kept = io.BytesIO()
    kept.close = lambda: None  # type: ignore[method-assign] - Tink closes what it wrote to
    with aead.new_encrypting_stream(kept, aad) as stream:
        stream.write(given)
    return kept.getvalue().hex()


if __name__ == "__main__":
    streaming_aead.register()
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
