"""`[doors.ekm]`: mutual TLS alone, and a name of its own for each prefix."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hyok.doors.ekm.config import EkmSettings

TLS = {"tls_certificate": "/a", "tls_key": "/b", "client_ca": "/c"}
POOL = {"prefix": "/nl", "app": "azure", "client_names": ["Pool.managedhsmclient.azure.net"]}
ELSE = {"prefix": "/be", "app": "azure-be", "client_names": ["be.managedhsmclient.azure.net"]}


def test_what_is_whole_is_taken() -> None:
    made = EkmSettings.model_validate({"enabled": True, "pools": [POOL, ELSE], **TLS})
    assert made.port == 8449
    assert made.only_tls_1_3
    assert made.pools[0].client_names == ("pool.managedhsmclient.azure.net",)
    assert not made.names, "the door looks at names itself: it answers 401, in JSON"
    assert made.authority is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"pools": []},
        {"client_ca": None},
        {"tls_certificate": None},
        {"tls_certificate": None, "tls_key": None},
        {"deadline_ms": 250},
        {"pools": [POOL, POOL]},
        {"pools": [POOL, ELSE | {"prefix": "/nl"}]},
        {"pools": [POOL, ELSE | {"app": "azure"}]},
        {"pools": [POOL, ELSE | {"client_names": ["pool.managedhsmclient.azure.NET"]}]},
        {"pools": [POOL | {"client_names": []}]},
        {"pools": [POOL | {"client_names": [""]}]},
        {"pools": [POOL | {"client_names": ["x" * 65]}]},
        {"pools": [POOL | {"prefix": "nl"}]},
        {"pools": [POOL | {"prefix": "/nl/"}]},
        {"pools": [POOL | {"prefix": "/n_l"}]},
        {"pools": [POOL | {"prefix": "/" + "x" * 65}]},
        {"pools": [POOL | {"fingerprint": "x"}]},
    ],
)
def test_what_does_not_hold_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EkmSettings.model_validate({"enabled": True, "pools": [POOL], **TLS, **wrong})
