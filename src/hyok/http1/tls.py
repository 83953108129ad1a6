"""TLS contexts by the NCSC's list: 1.3, and 1.2 with forward secrecy and authenticated ciphers."""

from __future__ import annotations

import _ssl  # for its library's file alone
import ctypes
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

CIPHERS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
SUITES_1_3 = ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256")
"""What is left where ``only_1_3`` is set: the two that every client of such a door has."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A server's certificate chain and key, PEM files; ``client_ca``: demand certificates of it.

    ``client_names``: of those, only with one of these names; none given: whoever has one.
    ``only_1_3``: no other version, and of its suites `SUITES_1_3` alone.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_names: frozenset[str] = frozenset()
    only_1_3: bool = False


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context of a door.

    Raises:
        Unavailable: the suites of TLS 1.3 cannot be chosen here (code HY-2658).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    if settings.only_1_3:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        _keep_suites(context)
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


def common_name_in(certificate: bytes) -> str:
    """Return the one common name of a certificate, DER, in lower case; empty: no such one.

    One of other letters than ASCII's is none: some of them turn into those in lower case.
    """
    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names[0].lower() if len(names) == 1 and names[0].isascii() else ""


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificate and name."""
    context = ssl.create_default_context(cafile=ca_file)
    _harden(context)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _keep_suites(context: ssl.SSLContext) -> None:
    """Leave `SUITES_1_3` of TLS 1.3, and see that it is so.

    Python's module has no call for it yet, so the library's own is made, on the pointer that a
    context of CPython begins with.

    Raises:
        Unavailable: it is not so afterwards (code HY-2658).
    """
    try:
        choose = ctypes.CDLL(_ssl.__file__).SSL_CTX_set_ciphersuites
        choose.argtypes, choose.restype = (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_int
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        choose(pointer, ":".join(SUITES_1_3).encode())
    except (AttributeError, OSError):
        pass  # what is left is looked at below
    left = [one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.3"]
    if left != list(SUITES_1_3):
        raise Unavailable(
            "This build of Python lets nobody choose the suites of TLS 1.3.",
            code="HY-2658",
            effect="The door that wants certain suites does not open.",
            next_step="run hyok with CPython whose ssl module links to OpenSSL 3 dynamically",
        )
