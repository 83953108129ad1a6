"""Rows that are alike are read by a pattern; what it gives is what the tree would give."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.s3.rows import Rows, parse_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("Key", "ETag", "Size", "LastModified", "Nowhere")
NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ROW = "<Contents><Key>{}</Key><Size>1</Size></Contents>"


KINDS = ("Contents", "CommonPrefixes")


def read(document: str | bytes, kinds: Sequence[str] = KINDS) -> Rows:
    body = document if isinstance(document, bytes) else document.encode()
    return parse_rows(body, "List", 1 << 20, kinds)


def rows_of(page: Rows, kind: str, names: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*page.columns(kind, names), strict=True))


def both_ways(document: str) -> tuple[object, object]:
    def told(kinds: Sequence[str]) -> object:
        try:
            page = read(document, kinds)
            rows = rows_of(page, "Contents", COLUMNS)
            others = rows_of(page, "CommonPrefixes", ("Prefix",))
            return rows, others, page.text("IsTruncated")
        except Malformed:
            return "malformed"

    return told(KINDS), told(())


texts = st.text("aé&<>]\"'\r\n \U0001f4c1", max_size=8).map(
    lambda text: escape(text, {'"': "&quot;", "'": "&#39;", "\r": "&#13;"})
)
raw = st.sampled_from(
    ["", " ", "\n  ", "]]>", "&#x1F4C1;", "&#0;", "&nope;", "&", "\r\n", "<!-- -->", "<b/>", "\x01"]
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    space = draw(st.sampled_from(["", "\n", "  "]))
    owner = draw(st.sampled_from(["", "<Owner><ID>a</ID></Owner>", "<Owner/>", "<Owner/><Owner/>"]))
    shapes = [
        "<Contents><Key>{}</Key><ETag>&quot;{}&quot;</ETag><Size>7</Size>" + owner + "</Contents>",
        '<Contents><Key>{}</Key><ETag>"{}"</ETag></Contents>',
        "<Contents><Key>{}</Key><ETag>{}</ETag></Contents>",
        "<Contents><ETag>&#34;a&#34;</ETag><Key>{}{}</Key></Contents>",
        "<Contents><Key>{}<b/>{}</Key><Size>1</Size></Contents>",
        '<Contents><Key a="1">{}</Key><Size>{}</Size></Contents>',
        "<Contents><Size>1</Size>"
        + space
        + "<Key>{}</Key><LastModified>{}</LastModified></Contents>",
        "<Contents><Key>{}</Key><Key>{}</Key></Contents>",
        "<Contents><Key>{}</Key><X><Key>{}</Key></X></Contents>",
        "<CommonPrefixes><Prefix>{}{}</Prefix></CommonPrefixes>",
    ]
    chosen = draw(st.lists(st.sampled_from(shapes), max_size=2)) or [shapes[0]]
    text = st.one_of(texts, texts, texts, raw)
    rows = [
        draw(st.sampled_from(chosen)).format(draw(text), draw(text))
        for _ in range(draw(st.integers(0, 6)))
    ]
    namespace = draw(st.sampled_from(["", NAMESPACE]))
    return f"<List{namespace}><IsTruncated>false</IsTruncated>{space.join(rows)}</List>"


@given(documents())
def test_the_pattern_reads_what_the_tree_reads(document: str) -> None:
    alike, tree = both_ways(document)
    assert alike == tree


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("quotes", ["&#34;", "&quot;", '"', ""])
def test_etags_come_without_the_quotes_of_any_store(quotes: str, count: int) -> None:
    row = f"<Contents><Key>a</Key><ETag>{quotes}e-1{quotes}</ETag></Contents>"
    page = read(f"<List>{row * count}</List>")
    assert not list(page.all(("Contents",)))
    assert rows_of(page, "Contents", ("ETag",)) == [("e-1",)] * count


def test_rows_with_other_quotes_than_the_first_are_read_all_the_same() -> None:
    row = "<Contents><Key>a</Key><ETag>{}</ETag></Contents>"
    etags = ["&#34;a&#34;", '"b"', "c", "&quot;d&#34;", '&#34;"e&#34;', "&#34;f&amp;&#34;g&#34;"]
    page = read(f"<List>{''.join(map(row.format, etags))}</List>")
    assert not list(page.all(("Contents",)))
    found = [etag for (etag,) in rows_of(page, "Contents", ("ETag",))]
    assert found == ["a", "b", "c", "d", "e", 'f&"g']


def test_common_prefixes_are_read_by_the_pattern_beside_objects() -> None:
    rolled = "".join(
        f"<CommonPrefixes><Prefix>m&amp;{n}/</Prefix></CommonPrefixes>" for n in (1, 2)
    )
    page = read(f"<List>{ROW.format('a')}{ROW.format('b')}{rolled}</List>")
    assert not list(page.all(KINDS))
    assert rows_of(page, "Contents", ("Key",)) == [("a",), ("b",)]
    assert rows_of(page, "CommonPrefixes", ("Prefix",)) == [("m&1/",), ("m&2/",)]


def test_rows_of_one_shape_are_read_by_the_pattern() -> None:
    """Or else the property above would compare the tree with itself."""
    body = "".join(ROW.format(f"a&amp;b{number}") for number in range(3))
    page = read(f"<List{NAMESPACE}>{body}</List>")
    assert rows_of(page, "Contents", ("Key", "Size")) == [
        ("a&b0", "1"),
        ("a&b1", "1"),
        ("a&b2", "1"),
    ]
    assert not list(page.all(("Contents",)))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<Other/>",
        "<List>",
        "<!DOCTYPE List><List/>",
        '<!DOCTYPE List [<!ENTITY e "x">]><List><A>&e;</A></List>',
        "<List>" + ROW.format("\x01") + "</List>",
        "<List>" + ROW.format("a").replace("</Key>", "</Kay>") + "</List>",
        "<List>" + ROW.format("a") + "</Contents></List>",
        ROW.format("a").join(["<List>", "</List>"]).encode().replace(b"a", b"\xff"),
        '<?xml version="1.0"?><List>'.encode("utf-16") + "</List>".encode("utf-16-le"),
        "<List>" + "<a/>" * 300_000 + "</List>",
    ],
)
def test_what_is_no_such_document_is_refused(document: str | bytes) -> None:
    with pytest.raises(Malformed):
        parse_rows(
            document if isinstance(document, bytes) else document.encode(),
            "List",
            8 << 20,
            KINDS,
        )


def test_a_row_that_says_something_twice_is_refused() -> None:
    twice = "<Contents><Key>a</Key><Key>b</Key></Contents>"
    empty = "<Contents><Key>a</Key><Size>1</Size><Owner/><Owner/></Contents>"
    for row in (twice, empty):
        page = read(f"<List>{row}{row}</List>")
        with pytest.raises(Malformed):
            page.columns("Contents", ("Key",))
    page = read("<List><A>1</A><A>2</A></List>")
    with pytest.raises(Malformed):
        page.text("A")
