"""Templates of what passes through a token beside a wrapping key: a secret, a private key.

Source: docs/keyservices/kacls.md; PKCS#11 2.40, RSA private key objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from hyok.errors import Malformed
from hyok.hsm import structures as ck
from hyok.hsm.door_pairs import BITS

if TYPE_CHECKING:
    from hyok.hsm.keks import Attributes

CKK_RSA, _CKK_GENERIC_SECRET = 0x0, 0x10
NUMBERS = (0x120, 0x122, 0x123, 0x124, 0x125, 0x126, 0x127, 0x128)
"""Attributes of an RSA key: modulus, public exponent, and those of the private half."""


def passing(secret: bytes | None) -> Attributes:
    """Return the template of a session object that only carries our check value in or out."""
    attributes: Attributes = {
        ck.CKA_CLASS: ck.CKO_SECRET_KEY,
        ck.CKA_KEY_TYPE: _CKK_GENERIC_SECRET,
        ck.CKA_TOKEN: False,
        ck.CKA_PRIVATE: True,
        ck.CKA_SENSITIVE: False,
        ck.CKA_EXTRACTABLE: True,
    }
    return attributes if secret is None else attributes | {ck.CKA_VALUE: secret}


def attributes_of(private_der: bytes) -> Attributes:
    """Return the template of a private key on its way to be wrapped.

    Raises:
        Malformed: it is no RSA private key of a size that is taken.
    """
    try:
        key = load_der_private_key(private_der, None)
    except (ValueError, TypeError):
        raise Malformed("it is no private key") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size not in BITS:
        raise Malformed(f"a private key is of RSA with {', '.join(map(str, BITS))} bits")
    numbers = key.private_numbers()
    public = numbers.public_numbers
    parts = [public.n, public.e, numbers.d, numbers.p, numbers.q]
    parts += [numbers.dmp1, numbers.dmq1, numbers.iqmp]
    values = [one.to_bytes((one.bit_length() + 7) // 8, "big") for one in parts]
    return {
        ck.CKA_CLASS: ck.CKO_PRIVATE_KEY,
        ck.CKA_KEY_TYPE: CKK_RSA,
        ck.CKA_TOKEN: False,
        ck.CKA_PRIVATE: True,
        ck.CKA_SENSITIVE: True,
        ck.CKA_EXTRACTABLE: True,
        **dict(zip(NUMBERS, values, strict=True)),
    }
