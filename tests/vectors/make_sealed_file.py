"""Writes sealed_file.json: sealed files made of fixed inputs.

The file is frozen: run this only to show that it still comes out the same
(``python -m tests.vectors.make_sealed_file --check``), or to add a vector for a new version.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.unit.envelope.whole import (
    BUCKET,
    CONTEXT,
    KEK_ID,
    KEY,
    SCOPE,
    SECRET,
    TENANT,
    Whole,
    plaintext,
    seal,
)

from hyok.envelope.layout import HYOK1, HYOK1_TEST
from hyok.envelope.sealed_file import render_block

TARGET = Path(__file__).with_name("sealed_file.json")
META = b'{"ct":"text/csv","um":{"owner":"Personalamt"}}'


def vector(name: str, plain: bytes, whole: Whole) -> dict[str, str]:
    """Return one file as fields; the run of zero bytes is given by its length."""
    file_block = render_block(whole.envelope)
    head = file_block.rstrip(b"\0")
    return {
        "name": name,
        "tenant": TENANT,
        "bucket_id": BUCKET,
        "object_key": KEY,
        "object_context": CONTEXT.hex(),
        "kek_id": KEK_ID,
        "scope": SCOPE,
        "secret": SECRET.hex(),
        "plaintext": plain.hex(),
        "envelope": whole.envelope.hex(),
        "file_head": head.hex(),
        "zero_bytes": str(len(file_block) - len(head)),
        "body": whole.body.hex(),
    }


def render() -> str:
    """Return the whole file."""
    parts = [(1, plaintext(1_024, "a")), (2, plaintext(100, "b"))]
    joined = b"".join(plain for _, plain in parts)
    vectors = [
        vector("empty", b"", seal(b"", suite=HYOK1, seed="sealed file empty")),
        vector(
            "single",
            plaintext(700),
            seal(plaintext(700), suite=HYOK1, seed="sealed file single", metadata=META),
        ),
        vector(
            "multipart, test suite",
            joined,
            seal(parts, suite=HYOK1_TEST, seed="sealed file multipart", metadata=META),
        ),
    ]
    document = {
        "format": "HYOK object format v1",
        "vectors_version": 2,
        "what": "sealed files: file = file_head || zero_bytes zeros || body; the first 4096 bytes"
        " are the block",
        "vectors": vectors,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or compare it."""
    if "--check" in arguments:
        return int(TARGET.read_text(encoding="utf-8") != render())
    TARGET.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
