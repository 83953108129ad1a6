"""`[doors.kacls]`: what the settings may say, and what they must."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.doors.kacls.world import GOOGLE, IDP, MIGRATION, URL, settings_of

from hyok.doors.kacls.claims import Application
from hyok.doors.kacls.config import KaclsSettings
from hyok.doors.kacls.operations import served_by
from hyok.doors.kacls.rules import Method


def test_google_signs_where_nothing_else_is_said() -> None:
    found = {one.application: one for one in KaclsSettings().authorizations}
    assert set(found) == set(Application)
    for application in ("drive", "meet", "calendar", "gmail"):
        one = found[Application(application)]
        assert one.issuer == GOOGLE.format(application)
        wanted = "https://www.googleapis.com/service_accounts/v1/jwk/" + one.issuer
        assert one.keys_address == wanted
    assert found[Application.MIGRATION].issuer == MIGRATION


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"public_url": ""}, "wanted"),
        ({"public_url": "http://kacls.example"}, "https"),
        ({"public_url": URL + "?x"}, "https"),
        ({"app": ""}, "wanted"),
        ({"key": ""}, "wanted"),
        ({"key": "a/b"}, "key"),
        ({"providers": []}, "wanted"),
        ({"providers": [{"issuer": IDP, "audiences": []}]}, "audiences"),
        ({"providers": [{"issuer": IDP, "audiences": ["a"]}] * 2}, "one name twice"),
        ({"providers": [{"issuer": URL, "audiences": ["a"]}]}, "our address"),
        (
            {
                "providers": [
                    {"issuer": IDP, "audiences": ["a"], "jwks_file": "/x", "ca_file": "/y"}
                ]
            },
            "from the file or from the network",
        ),
        ({"services": [{"url": URL + "/"}]}, "our address"),
        ({"services": [{"url": IDP + "/"}]}, "no key service"),
        ({"services": [{"url": "https://oud.example", "rewrap_from": True}]}, "signing_key"),
        ({"administrators": ["jan"]}, "mail address"),
        ({"delegated_audience": "kacls-migration"}, "audience of other"),
        ({"clock_skew_seconds": 61}, "60"),
        ({"perimeters": [{"id": "a"}, {"id": "a"}]}, "one name twice"),
        ({"perimeters": [{"id": "a", "networks": ["x"]}]}, "networks"),
        ({"onbekend": 1}, "onbekend"),
    ],
)
def test_what_cannot_stand(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings_of(**more)


def test_what_is_served_follows_from_the_settings() -> None:
    bare = {Method.STATUS, Method.WRAP, Method.UNWRAP, Method.DIGEST}
    assert set(served_by(settings_of())) == bare
    signs = bare | {Method.CERTS, Method.DELEGATE}
    assert set(served_by(settings_of(signing_key="cse-teken"))) == signs
    rules = {Method.PRIVILEGED_WRAP, Method.PRIVILEGED_UNWRAP}
    assert set(served_by(settings_of(administrators=["a@b.example"]))) == bare | rules
    gives = {"url": "https://nieuw.example", "may_unwrap": True}
    assert set(served_by(settings_of(services=[gives]))) == bare | {Method.PRIVILEGED_UNWRAP}
    mail = settings_of(private_key="cse-privaat")
    assert set(served_by(mail)) - bare == {Method.PRIVATE_KEY_SIGN, Method.PRIVATE_KEY_DECRYPT}
    takes = {"url": "https://oud.example", "rewrap_from": True}
    found = set(served_by(settings_of(signing_key="cse-teken", services=[takes])))
    assert found == signs | {Method.REWRAP}
