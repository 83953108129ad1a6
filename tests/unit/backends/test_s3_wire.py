"""What an S3 store says, read."""

from __future__ import annotations

from hyok.backends.s3_answers import parse_listing


def test_a_url_encoded_listing_has_a_plus_for_a_blank() -> None:
    document = (
        b"<ListBucketResult><EncodingType>url</EncodingType>"
        b"<Contents><Key>spatie+in%20naam</Key><Size>1</Size></Contents>"
        b"<Contents><Key>plus%2Bteken</Key><Size>1</Size></Contents>"
        b"<CommonPrefixes><Prefix>een+map/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    page, _ = parse_listing(document, "")
    assert [found.name for found in page.objects] == ["spatie in naam", "plus+teken"]
    assert list(page.prefixes) == ["een map/"]


def test_a_listing_without_encoding_is_taken_as_it_stands() -> None:
    document = (
        b"<ListBucketResult><Contents><Key>a+b%20c</Key><Size>1</Size></Contents>"
        b"</ListBucketResult>"
    )
    page, _ = parse_listing(document, "")
    assert [found.name for found in page.objects] == ["a+b%20c"]
