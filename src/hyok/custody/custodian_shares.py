"""A key that custodians hold together: any M of N open it, and a wrong share is told by its name.

`CustodianBox` fills the box that a backup's key is sealed in.  A fresh secret is split; each share
is sealed to one custodian's key (HPKE, RFC 9180) and committed to by a digest; the secret, bound to
all of that, seals the backup's key.  So nothing in the block can be changed, and no HSM is needed.

Source: docs/adr/0021-after-a-compromise.md; docs/operate.md.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hyok.custody.proposal import canonical
from hyok.custody.shamir import QUORUM_MIN, combine, split
from hyok.envelope.keys import hkdf
from hyok.errors import Conflict, Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CUSTODIANS_MAX = 32
NAME_CHARS_MAX = 64
PASSPHRASE_BYTES_MIN = 12
BLOCK_BYTES_MAX = 32_768
SECRET_BYTES = 32

PUBLIC_FORM = "hyok-custodian/1"
SHARE_FORM = "hyok-share/1"
_FORM = "hyok-custodians/1"
_INFO = b"hyok backup share\n"
_NONCE = bytes(12)  # every secret seals one key


@dataclass(frozen=True, slots=True)
class Custodian:
    """Who holds a share, and the key that it is sealed to."""

    name: str
    public_key: bytes

    @property
    def fingerprint(self) -> str:
        """What people compare by telephone."""
        return sha256(self.public_key).hexdigest()

    def document(self) -> dict[str, object]:
        """Return the file that a custodian hands in."""
        return {
            "format": PUBLIC_FORM,
            "name": self.name,
            "public_key": self.public_key.hex(),
        }


@dataclass(frozen=True, slots=True, repr=False)
class Share:
    """One custodian's share of one backup, open."""

    purpose: str
    number: int
    name: str
    value: bytes

    def document(self) -> dict[str, object]:
        """Return the file that a custodian brings to the restore."""
        return {
            "format": SHARE_FORM,
            "backup": self.purpose,
            "number": self.number,
            "name": self.name,
            "share": self.value.hex(),
        }


def make_custodian(name: str, passphrase: bytes) -> tuple[bytes, Custodian]:
    """Return a new key as PEM, sealed with ``passphrase``, and its public half.

    Raises:
        Malformed: name or passphrase cannot stand (code HY-2430).
    """
    if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise _malformed(f"a custodian's name has 1 to {NAME_CHARS_MAX} printable characters")
    if len(passphrase) < PASSPHRASE_BYTES_MIN:
        raise _malformed(f"a passphrase has at least {PASSPHRASE_BYTES_MIN} characters")
    key = X25519PrivateKey.generate()
    how = BestAvailableEncryption(passphrase)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return pem, Custodian(name, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def parse_custodian(document: object) -> Custodian:
    """Return the custodian of a public file.

    Raises:
        Malformed: it is none (code HY-2430).
    """
    try:
        if not isinstance(document, dict) or document["format"] != PUBLIC_FORM:
            raise ValueError("another form")  # noqa: TRY301 - told below, like every other fault
        name, raw = str(document["name"]), bytes.fromhex(document["public_key"])
        X25519PublicKey.from_public_bytes(raw)
    except (KeyError, ValueError, TypeError) as error:
        raise _malformed("the file is no custodian's public key") from error
    if not name.strip() or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise _malformed("the custodian's name cannot stand")
    return Custodian(name, raw)


def read_private(pem: bytes, passphrase: bytes) -> X25519PrivateKey:
    """Return the key of a custodian's PEM file.

    Raises:
        Malformed: it is none, or the passphrase is wrong (code HY-2430).
    """
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _malformed("the key file or its passphrase is not right") from error
    if not isinstance(key, X25519PrivateKey):
        raise _malformed("the key file is no custodian's")
    return key


def parse_share(document: object) -> Share:
    """Return the share of a file.

    Raises:
        Malformed: it is none (code HY-2431).
    """
    try:
        if not isinstance(document, dict) or document["format"] != SHARE_FORM:
            raise ValueError("another form")  # noqa: TRY301 - told below, like every other fault
        number = int(document["number"])
        value = bytes.fromhex(document["share"])
        return Share(str(document["backup"]), number, str(document["name"]), value)
    except (KeyError, ValueError, TypeError) as error:
        raise Malformed("the file is no share of a backup", code="HY-2431") from error


@dataclass(frozen=True, slots=True)
class _Holding:
    number: int
    custodian: Custodian
    commitment: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class _Block:
    quorum: int
    holdings: Sequence[_Holding]
    key: bytes

    def bound(self) -> dict[str, object]:
        """Return all that the key is bound to."""
        return {
            "format": _FORM,
            "quorum": self.quorum,
            "custodians": [
                {
                    "number": one.number,
                    "name": one.custodian.name,
                    "public_key": one.custodian.public_key.hex(),
                    "commitment": one.commitment.hex(),
                    "share": one.sealed.hex(),
                }
                for one in self.holdings
            ],
        }

    def render(self) -> bytes:
        return canonical(self.bound() | {"key": self.key.hex()})


class CustodianBox:
    """Seals one small key to N custodians, any ``quorum`` of whom open it.

    Raises:
        Malformed: the numbers cannot stand (code HY-2430).
    """

    def __init__(
        self,
        custodians: Sequence[Custodian],
        quorum: int,
        entropy: Callable[[int], bytes],
    ) -> None:
        names = {one.name for one in custodians}
        keys = {one.public_key for one in custodians}
        if not QUORUM_MIN <= quorum <= len(custodians) <= CUSTODIANS_MAX:
            raise _malformed(
                f"a quorum is {QUORUM_MIN} to the number of custodians, who are at most "
                f"{CUSTODIANS_MAX}"
            )
        if len(names) != len(custodians) or len(keys) != len(custodians):
            raise _malformed("two custodians have one name, or one key")
        self._custodians, self._quorum, self._entropy = custodians, quorum, entropy

    async def seal(self, purpose: str, plain: bytes) -> bytes:
        """Return ``plain`` sealed for this purpose, with a share for each custodian."""
        secret = self._entropy(SECRET_BYTES)
        shares = split(secret, len(self._custodians), self._quorum, self._entropy)
        holdings = [
            _Holding(
                number,
                custodian,
                _commitment(purpose, number, shares[number]),
                _suite().encrypt(
                    shares[number],
                    X25519PublicKey.from_public_bytes(custodian.public_key),
                    info=_info(purpose, number, custodian.name),
                ),
            )
            for number, custodian in enumerate(self._custodians, 1)
        ]
        block = _Block(self._quorum, holdings, b"")
        key = AESGCM(_key(secret, purpose)).encrypt(_NONCE, plain, canonical(block.bound()))
        return _Block(self._quorum, holdings, key).render()

    async def open(self, purpose: str, sealed: bytes) -> bytes:
        """Refuse: what was sealed to custodians is opened by their shares."""
        del purpose, sealed
        raise Conflict("this box only seals", code="HY-2432")


class ShareBox:
    """Opens with custodians' shares what `CustodianBox` sealed."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self._shares = shares

    async def seal(self, purpose: str, plain: bytes) -> bytes:
        """Refuse: shares open, and seal nothing."""
        del purpose, plain
        raise Conflict("shares only open", code="HY-2432")

    async def open(self, purpose: str, sealed: bytes) -> bytes:
        """Return what was sealed for this purpose.

        Raises:
            Tampered: a share is wrong, and is named (code HY-2431); or the block was changed.
            Conflict: there are too few (code HY-2432).
        """
        block = parse_block(sealed)
        held = {one.number: one for one in block.holdings}
        good: dict[int, bytes] = {}
        for share in self._shares:
            holding = held.get(share.number)
            if (
                holding is None
                or share.purpose != purpose
                or share.name != holding.custodian.name
                or not hmac.compare_digest(
                    _commitment(purpose, share.number, share.value), holding.commitment
                )
            ):
                raise Tampered(
                    f"The share of {share.name} (number {share.number}) is not one of this backup.",
                    code="HY-2431",
                    effect="Nothing was opened.",
                    next_step="ask its custodian for the share of this very file",
                )
            good[share.number] = share.value
        if len(good) < block.quorum:
            absent = [one.custodian.name for one in block.holdings if one.number not in good]
            raise Conflict(
                f"{len(good)} of {block.quorum} shares are there.",
                code="HY-2432",
                effect="Nothing was opened.",
                next_step=f"ask {block.quorum - len(good)} more of {', '.join(absent)}",
            )
        secret = combine(dict(list(good.items())[: block.quorum]))
        try:
            return AESGCM(_key(secret, purpose)).decrypt(
                _NONCE, block.key, canonical(block.bound())
            )
        except InvalidTag as error:
            raise Tampered("the custodians' block of a backup was changed") from error


def parse_block(sealed: bytes) -> _Block:
    """Return what stands in a backup about its custodians; nothing of it is proven.

    Raises:
        Tampered: it is none.
    """
    try:
        document = json.loads(sealed)
        if document["format"] != _FORM:
            raise ValueError("another form")  # noqa: TRY301 - told below, like every other fault
        holdings = [
            _Holding(
                int(one["number"]),
                Custodian(str(one["name"]), bytes.fromhex(one["public_key"])),
                bytes.fromhex(one["commitment"]),
                bytes.fromhex(one["share"]),
            )
            for one in document["custodians"]
        ]
        block = _Block(int(document["quorum"]), holdings, bytes.fromhex(document["key"]))
        sound = QUORUM_MIN <= block.quorum <= len(holdings) <= CUSTODIANS_MAX
        if not sound or [one.number for one in holdings] != list(range(1, len(holdings) + 1)):
            raise ValueError("numbers")  # noqa: TRY301 - told below, like every other fault
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise Tampered("the custodians' block of a backup is not readable") from error
    return block


def named_in(sealed: bytes) -> tuple[int, Sequence[Custodian]]:
    """Return the quorum and the custodians of a backup, as it says."""
    block = parse_block(sealed)
    return block.quorum, [one.custodian for one in block.holdings]


def open_share(purpose: str, sealed: bytes, key: X25519PrivateKey) -> Share:
    """Return the share that was sealed to this key.

    Raises:
        Malformed: none was (code HY-2430).
        Tampered: it does not open, or is not what the backup commits to (code HY-2431).
    """
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for one in parse_block(sealed).holdings:
        if one.custodian.public_key != public:
            continue
        name = one.custodian.name
        try:
            value = _suite().decrypt(one.sealed, key, info=_info(purpose, one.number, name))
        except InvalidTag as error:
            raise _changed(name) from error
        if not hmac.compare_digest(_commitment(purpose, one.number, value), one.commitment):
            raise _changed(name)
        return Share(purpose, one.number, name, value)
    raise _malformed("the backup has no share for this key")


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(purpose: str, number: int, name: str) -> bytes:
    return _INFO + canonical({"backup": purpose, "number": number, "name": name})


def _commitment(purpose: str, number: int, share: bytes) -> bytes:
    """Return the digest of a share: 32 bytes that nobody can guess, so it tells nothing of them."""
    return sha256(_info(purpose, number, "") + share).digest()


def _key(secret: bytes, purpose: str) -> bytes:
    return hkdf(secret, b"", b"hyok backup custodians\n" + purpose.encode())


def _changed(name: str) -> Tampered:
    return Tampered(
        f"the share of {name} in this backup was changed",
        code="HY-2431",
        effect="It was not used.",
        next_step="take another backup; ask who could write to this one",
    )


def _malformed(cause: str) -> Malformed:
    return Malformed(
        cause,
        code="HY-2430",
        effect="Nothing was done.",
        next_step="hyok custodian key makes a key; see docs/operate.md",
    )


def shares_of(documents: Mapping[str, object]) -> Sequence[Share]:
    """Return the shares of several files, by their names.

    Raises:
        Malformed: one is none, or two are of one custodian (code HY-2431).
    """
    found: dict[int, Share] = {}
    for name, document in documents.items():
        share = parse_share(document)
        if share.number in found:
            raise Malformed(f"{name} is a second share of {share.name}", code="HY-2431")
        found[share.number] = share
    return list(found.values())
