"""`[[audit.exports]]`: what cannot stand is refused at the start."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hyok.audit.config import AuditSettings, ExportSettings


def make(**fields: object) -> ExportSettings:
    return ExportSettings.model_validate({"name": "siem", "format": "syslog", **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"to": "https://siem.example"}, "syslog goes to tls or tcp"),
        ({"to": "siem.example:6514"}, "syslog goes to tls or tcp"),
        ({"to": "tls://"}, "names no host"),
        ({"to": "tls://user@siem.example"}, "names no host, or more"),
        ({"to": "tcp://siem.example:514"}, "loopback only"),
        ({"format": "ocsf", "to": "http://collector.example"}, "loopback only"),
        ({"format": "ocsf", "to": "tls://collector.example"}, "ocsf goes to https"),
        ({"format": "ocsf", "to": "file://events.jsonl"}, "file:///"),
        ({"to": "tls://siem.example", "client_key": "/k"}, "go together"),
        ({"to": "tls://siem.example", "name": "../x"}, "name"),
    ],
)
def test_a_receiver_that_cannot_be_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        make(**fields)


def test_ports_have_their_registered_defaults() -> None:
    assert make(to="tls://siem.example").port == 6514
    assert make(to="tls://[::1]:10514").port == 10514
    assert make(to="tcp://127.0.0.1").port == 601


def test_two_receivers_cannot_share_a_name() -> None:
    one = {"name": "a", "format": "syslog", "to": "tls://siem.example"}
    with pytest.raises(ValidationError, match="two exports have one name"):
        AuditSettings.model_validate({"exports": [one, one]})
