"""What a client and a peer see: the door's own answer, and what time a store has."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from hyok.cli.diagnosis.check import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.backends.config import S3StoreSettings
    from hyok.settings import Settings

SECONDS_MAX = 3.0
CLOCK_SECONDS_WARN = 30.0
CLOCK_SECONDS_FAIL = 300.0
CLOCK_YEAR_MIN = 2026


def clock(settings: Settings) -> Sequence[Check]:
    """How far is our clock from that of each store that tells the time?"""
    if time.gmtime().tm_year < CLOCK_YEAR_MIN:
        means = "signatures of every client are refused"
        return [Check("clock", "FAIL", "the clock is years behind", means, "set it; use NTP")]
    found = [_clock_beside(store) for store in settings.stores if store.kind == "s3"]
    return found or [Check("clock", "ok", "no store tells the time, so nothing to compare with")]


def _clock_beside(store: S3StoreSettings) -> Check:
    try:
        offset = _offset_seconds(store)
    except (OSError, http.client.HTTPException, TypeError, ValueError) as error:
        return Check("clock", "warn", f"store {store.name} does not tell the time: {error}")
    said = f"{offset:+.0f} s beside store {store.name}"
    if abs(offset) < CLOCK_SECONDS_WARN:
        return Check("clock", "ok", said)
    return Check(
        "clock",
        "FAIL" if abs(offset) > CLOCK_SECONDS_FAIL else "warn",
        said,
        "S3 refuses signatures that are 15 minutes off, here and at the store",
        "set the clock; use NTP, or ask the supplier",
    )


def _offset_seconds(store: S3StoreSettings) -> float:
    """Return our time less the store's, half the way of the answer allowed for."""
    url = urlsplit(store.endpoint)
    host = url.hostname or ""
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=store.ca_file)
        connection = http.client.HTTPSConnection(
            host, url.port, timeout=SECONDS_MAX, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=SECONDS_MAX)
    try:
        began = time.time()
        connection.request("HEAD", "/")
        date = connection.getresponse().headers["date"]
        middle = (began + time.time()) / 2
    finally:
        connection.close()
    # The header has whole seconds: the truth lies half a second later on average.
    return middle - (parsedate_to_datetime(date).timestamp() + 0.5)


def door(settings: Settings) -> Sequence[Check]:
    """Does the door answer, with the certificate of the settings, and is it ready?"""
    host, port = settings.gateway.host, settings.gateway.port
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    try:
        served = _served(host, port) if settings.gateway.tls_certificate else _connected(host, port)
    except OSError as error:
        said = f"{host}:{port}: {error.strerror or error}"
        return [Check("door", "FAIL", said, "no application gets in", "see the gateway's log")]
    found = [Check("door", "ok", f"{host}:{port} takes connections")]
    path = settings.gateway.tls_certificate
    if path is not None:
        wanted = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(SHA256())
        if x509.load_der_x509_certificate(served).fingerprint(SHA256()) != wanted:
            said = f"{host}:{port} serves another certificate than {path}"
            means = "the gateway reads it when it starts"
            found = [Check("door", "warn", said, means, "restart the gateway")]
    return [*found, _ready(settings)]


def _connected(host: str, port: int) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)
    connection.connect()
    connection.close()
    return b""


def _served(host: str, port: int) -> bytes:
    """Return the certificate that is served; it is compared, so no authority has to vouch."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(host, port, timeout=SECONDS_MAX, context=context)
    connection.connect()
    try:
        assert isinstance(connection.sock, ssl.SSLSocket)
        return connection.sock.getpeercert(binary_form=True) or b""
    finally:
        connection.close()


def _ready(settings: Settings) -> Check:
    host, port = settings.management.host, settings.management.port
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(4096)
    except (OSError, http.client.HTTPException) as error:
        said = f"{host}:{port} does not answer: {error}"
        means = "monitoring and load balancers see nothing"
        return Check("ready", "FAIL", said, means, "see the gateway's log")
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return Check("ready", "ok", f"http://{host}:{port}/readyz says ok")
    return Check("ready", "FAIL", _causes(body), "the gateway takes no new work", "see above")


def _causes(body: bytes) -> str:
    try:
        causes = json.loads(body)
    except ValueError:
        return body.decode(errors="replace").strip()
    return "; ".join(f"{name}: {cause}" for name, cause in causes.items() if cause != "ok")
