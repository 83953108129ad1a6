"""docs/format.md says what the code does, where a machine can compare them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import hyok.envelope
from hyok.envelope import block, layout, sealed_file, trailer
from hyok.envelope.layout import HYOK1, HYOK1_TEST, LAYOUT

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
SOURCE = "\n".join(
    path.read_text(encoding="utf-8") for path in Path(hyok.envelope.__path__[0]).glob("*.py")
)
VECTORS = ROOT / "tests" / "vectors"


def test_every_label_of_the_code_stands_in_the_document_and_the_other_way_round() -> None:
    in_code = set(re.findall(r'b"(HYOK1 [a-z ]+)"', SOURCE))
    in_document = set(re.findall(r'"(HYOK1 [a-z ]+)"', DOCUMENT))
    assert len(in_code) > 15
    assert in_document - in_code == {"HYOK1 random"}  # of the generators, not of the envelope
    assert in_code <= in_document


@pytest.mark.parametrize("suite", [HYOK1, HYOK1_TEST])
def test_the_suites_are_the_documents(suite: layout.Suite) -> None:
    name = "HYOK1" if suite is HYOK1 else "HYOK1-TEST"
    row = f"| 0x{suite.id:02X} | {name} | {suite.segment_bytes} | {suite.min_part_bytes} |"
    assert row in DOCUMENT


def test_the_numbers_are_the_documents() -> None:
    for row in (
        f"| header | {layout.HEADER_BYTES} |",
        f"| tag | {layout.TAG_BYTES} |",
        f"| entry | {layout.ENTRY_BYTES} |",
        f"| fixed | {layout.FIXED_BYTES} |",
        f"| parts, at most | {layout.PARTS_MAX} |",
        f"may therefore be {block.WRITTEN_BYTES_MAX} bytes",
        f"up to {block.ENVELOPE_BYTES_MAX} bytes",
        f"block[{sealed_file.FILE_BLOCK_BYTES}]",
        ", ".join(map(str, trailer.CHECKSUM_BYTES[:-1])) + " or 64",
        f"n(P)` (never\nabove {LAYOUT.trailer_bounds(1 << 62, 1)[1]})",
    ):
        assert row in DOCUMENT, row


def test_the_lengths_shown_are_true() -> None:
    shown = re.findall(r"^\| (\d+) \| (\d+) \|$", DOCUMENT, re.MULTILINE)
    assert len(shown) == 3
    for plain, sealed in shown:
        assert LAYOUT.object_sealed_size(int(plain)) == int(sealed)


def test_every_section_that_the_code_cites_exists() -> None:
    sections = set(re.findall(r"^## (\d+)\.", DOCUMENT, re.MULTILINE))
    assert sections == {str(number) for number in range(1, 20)}
    for cited in re.findall(r"docs/format\.md, sections? ([\d, and]+)", SOURCE):
        assert set(re.findall(r"\d+", cited)) <= sections


def test_every_vector_file_is_named_in_the_document_and_has_its_provenance() -> None:
    provenance = (VECTORS / "PROVENANCE.md").read_text(encoding="utf-8")
    files = [path.name for path in VECTORS.glob("*.json")]
    assert "objects.json" in files
    for name in ("sizes", "contexts", "kek_profiles", "parts", "objects", "rewrap", "names"):
        assert f"{name}.json" in files
    for name in re.findall(r"`(\w+\.json)`", provenance):
        assert name in DOCUMENT
        assert name in files
