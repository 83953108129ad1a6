"""What a client is told of a key that the store behind its bucket cannot hold."""

from __future__ import annotations

import pytest

from hyok.backends.s3_names import PLAIN_NAMES
from hyok.errors import Refused


@pytest.mark.parametrize(
    ("key", "sealing_helps"),
    [("a/../b", True), ("a\\b", True), ("folder/", False), ("a//b", False), ("/a", False)],
)
def test_sealed_names_are_advised_only_where_they_help(key: str, sealing_helps: bool) -> None:
    """Names are sealed segment by segment: a bucket of sealed names loses `folder/` as well."""
    with pytest.raises(Refused) as raised:
        PLAIN_NAMES.check(key)
    assert raised.value.code == "HY-4004"
    assert ("sealed" in str(raised.value.cause)) == sealing_helps
