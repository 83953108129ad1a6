"""Settings of Double Key Encryption that cannot stand are told before anybody depends on them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.doors.test_dke import TENANT, URL, settings_of

LABEL: dict[str, Any] = {
    "name": "geheim",
    "label": "Geheim",
    "classification": "geheim",
    "people": ["@gemeente.example"],
}


def test_what_can_stand() -> None:
    found = settings_of(keys=[LABEL | {"people": ["Anna@Gemeente.Example"]}])
    assert found.keys[0].people == ("anna@gemeente.example",)
    assert found.resource == URL
    assert found.audiences == {URL}
    tenant = found.tenants[0]
    assert tenant.keys_address.endswith(f"/{TENANT}/discovery/v2.0/keys")


@pytest.mark.parametrize(
    "more",
    [
        {"public_url": "http://dke.gemeente.example"},
        {"public_url": "https://dke.gemeente.example/"},
        {"public_url": "https://gemeente.example/dke"},
        {"public_url": "https://iemand@gemeente.example"},
        {"public_url": ""},
        {"app": ""},
        {"tenants": []},
        {"tenants": [{"id": "common"}]},
        {"tenants": [{"id": TENANT}, {"id": TENANT}]},
        {"tenants": [{"id": TENANT, "jwks_file": "/x", "jwks_uri": "https://x.example"}]},
        {"keys": []},
        {"keys": [LABEL, LABEL | {"name": "GEHEIM"}]},
        {"keys": [LABEL | {"people": []}]},
        {"keys": [LABEL | {"people": ["gemeente.example"]}]},
        {"keys": [LABEL | {"people": ["a@b@c"]}]},
        {"keys": [LABEL | {"name": "met_streep"}]},
        {"audience": "https://anders.example"},
        {"client_id": "office"},
        {"mail_claims": ["sub"]},
        {"clock_skew_seconds": 301},
        {"tls_certificate": "/x"},
        {"keys_refresh_seconds": 7200, "keys_age_seconds_max": 3600},
    ],
)
def test_what_cannot_stand(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings_of(**more)
