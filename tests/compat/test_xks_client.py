"""AWS's published test client for external key stores, every script of it, against our door.

Runs only with a checkout of it: ``./hyok test --long --xks-client CHECKOUT``.  It is bash and curl,
written by the other side, and speaks through TLS to real processes over SoftHSM.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.e2e import key_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.key_store import Aws

CHECKOUT = os.environ.get("HYOK_XKS_CLIENT", "")
IMPOTENT = "nothing"
CASES = 51
"""So many cases its version 1.1.0 has, with mutual TLS."""

OF_ANOTHER_WORD = frozenset({"expired", "selfsigned"})
"""Certificates whose handshake we end with `unknown CA`, the alert that RFC 8446 (6.2) has for
them.  The client looks for the words `handshake failure`, which another TLS library says."""

_CASE = re.compile(r"^=> Test (.*?) (PASSED|FAILED)\b", re.MULTILINE)
_SECTIONS = re.compile(r"^Request body", re.MULTILINE).split
_MTLS = re.compile(r"GetHealthStatus via mTLS with a (\w+) client certificate").fullmatch

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKOUT, reason="needs --xks-client CHECKOUT"),
]


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with key_store.opened(keys=key_store.KEYS | {IMPOTENT: ()}) as known:
        # No officer can make a key that is for nothing, so this one was changed by hand.
        with sqlite3.connect(known.made.home / "hyok.db") as rows:
            rows.execute("update door_keys set usage = '[]' where name = ?", (IMPOTENT,))
            rows.execute("update epochs set value = value + 1 where name = 'door_keys'")
        known.until("InvalidKeyUsageException", key=IMPOTENT)
        yield known


def client(aws: Aws) -> str:
    """Return what it said of each of its cases."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(aws.folder),
        "XKS_PROXY_HOST": f"localhost:{aws.port}",
        "URI_PREFIX": "gemeente",
        "REGION": key_store.REGION,
        "SIGV4_ACCESS_KEY_ID": aws.credential["AccessKeyId"],
        "SIGV4_SECRET_ACCESS_KEY": aws.credential["RawSecretAccessKey"],
        "KEY_ID": "kms",
        "ENCRYPT_ONLY_KEY_ID": "seals",
        "DECRYPT_ONLY_KEY_ID": "opens",
        "IMPOTENT_KEY_ID": IMPOTENT,
        "SECURE": f"--cacert {aws.folder}/ca.pem",
        "MTLS": f"--cert {aws.folder}/kms.pem",
        "ANSI_ESCAPE": "0",
    }
    done = subprocess.run(
        ["bash", "test-xks-proxy", "-a"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.stdout  # beside it stand headings alone


def test_every_case_of_it_passes(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    said = client(aws)
    cases = _CASE.findall(said)
    passed = [name for name, word in cases if word == "PASSED"]
    other = {found[1] for name, word in cases if word == "FAILED" and (found := _MTLS(name))}
    with capsys.disabled():
        print(
            f"\naws-kms-xksproxy-test-client: {len(passed)} of {len(cases)} cases pass", flush=True
        )
        print("refused by TLS with another alert's name:", *sorted(other), flush=True)
    failed = [name for name, word in cases if word == "FAILED" and not _MTLS(name)]
    assert not failed, said
    assert other <= OF_ANOTHER_WORD, said
    for name in other:
        [section] = [part for part in _SECTIONS(said) if f"with a {name} client" in part]
        assert "< HTTP/1.1 " not in section, "nobody is answered"
        # With TLS 1.3 the end of the connection may overtake the alert.
        assert "TLS alert, unknown CA" in section or "Connection reset by peer" in section, section
    assert len(cases) == CASES, said
