"""TLS contexts by the NCSC's list: 1.3, and 1.2 with forward secrecy and authenticated ciphers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A server's certificate chain and key, PEM files; ``client_ca``: demand certificates of it.

    ``client_names``: of those, only with one of these names; none given: whoever has one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_names: frozenset[str] = frozenset()


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context of a door."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.load_cert_chain(settings.certificate, settings.key)
    context.set_alpn_protocols(["http/1.1"])
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def names_in(certificate: bytes) -> frozenset[str]:
    """Return the common names and DNS names of a certificate, DER, in lower case."""
    found = x509.load_der_x509_certificate(certificate)
    names = [str(one.value) for one in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        more = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names += more.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    return frozenset(name.lower() for name in names)


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificate and name."""
    context = ssl.create_default_context(cafile=ca_file)
    _harden(context)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
