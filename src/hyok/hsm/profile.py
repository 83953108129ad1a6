"""Family: what we know about one family of HSMs, from its TOML file in `hsm/profiles`.

The file cites the vendor's pages and says what was proven, by whom and how.  A number in it is
believed only after `hyok hsm prove` has shown it on the module itself.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hyok.errors import Malformed
from hyok.hsm.dialect import Dialect

if TYPE_CHECKING:
    from pathlib import Path

ProfileNumber = Annotated[int, Field(ge=1, le=4)]
Number = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
_RSA = 4


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(_Strict):
    """A page of the vendor's documentation."""

    title: Annotated[str, Field(min_length=1)]
    url: str = ""


class Hmac(_Strict):
    """Profile 1."""

    mechanism: Number = 0x251
    key_type: Number = 0x10
    generation: Number = 0x350


class AesGcm(_Strict):
    """Profile 2."""

    mechanism: Number = 0x1087
    iv: Literal["caller", "module"] = "caller"


class AesKwp(_Strict):
    """Profile 3; and what wraps keys for doors, of which ``unpadded`` is RFC 3394's."""

    mechanism: Number = 0x210B
    unpadded: Number = 0x2109
    call: Literal["crypt", "wrap"] = "crypt"


class RsaOaep(_Strict):
    """Profile 4."""

    mechanism: Number = 0x9
    bits: Annotated[int, Field(ge=3072, le=8192)] = 3072


class Ecdsa(_Strict):
    """Signatures of checkpoints: CKM_ECDSA over our SHA-256, or CKM_ECDSA_SHA256 (0x1044)."""

    mechanism: Literal[0x1041, 0x1044] = 0x1041


class Limits(_Strict):
    """What the family bounds."""

    sessions_max: Annotated[int, Field(ge=1, le=256)] = 16
    label_bytes_max: Annotated[int, Field(ge=1)] = 255


class Proof(_Strict):
    """Which profiles were seen to work, and what nobody has tried."""

    proven: tuple[ProfileNumber, ...] = ()
    how: str = ""
    unproven: tuple[str, ...] = ()


class Family(_Strict):
    """One family of modules.

    ``profiles`` are those it should offer; ``proof.proven`` those that a test of ours has run.
    ``parameters`` is text for C_Initialize, in which ``{directory}`` stands for the token's folder.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    title: str
    vendor: str
    modules: tuple[str, ...] = ()
    pages: Annotated[tuple[Page, ...], Field(min_length=1)]
    profiles: Annotated[tuple[ProfileNumber, ...], Field(min_length=1)]
    parameters: str = ""
    pin_form: str = "text"
    extractable: bool = False
    omitted_attributes: tuple[Number, ...] = ()
    quirks: tuple[str, ...] = ()
    hmac: Hmac = Hmac()
    aes_gcm: AesGcm = AesGcm()
    aes_kwp: AesKwp = AesKwp()
    rsa_oaep: RsaOaep = RsaOaep()
    ecdsa: Ecdsa = Ecdsa()
    limits: Limits = Limits()
    proof: Proof = Proof()

    def dialect(
        self, profiles: tuple[int, ...] = (), *, directory: str = "", sessions_max: int = 0
    ) -> Dialect:
        """Return the numbers the agent needs, for ``profiles``.

        None named means all that are offered but 4: what a public key wraps can be harvested now
        and opened by a later quantum computer, so it is switched on by name (format.md §10).

        Raises:
            Malformed: a profile is asked for that the family does not offer, or only 4 is left.
        """
        wanted = profiles or tuple(number for number in self.profiles if number != _RSA)
        if not wanted:
            raise Malformed(f"HSM family {self.name} has profile 4 alone: name it to use it")
        for number in wanted:
            if number not in self.profiles:
                raise Malformed(f"HSM family {self.name} does not offer profile {number}")
        return Dialect(
            family=self.name,
            profiles=tuple(wanted),
            parameters=self.parameters.replace("{directory}", directory),
            sessions_max=min(sessions_max or self.limits.sessions_max, self.limits.sessions_max),
            hmac_mechanism=self.hmac.mechanism,
            hmac_key_type=self.hmac.key_type,
            hmac_generation=self.hmac.generation,
            gcm_mechanism=self.aes_gcm.mechanism,
            gcm_iv=self.aes_gcm.iv,
            kw_mechanism=self.aes_kwp.unpadded,
            kwp_mechanism=self.aes_kwp.mechanism,
            kwp_call=self.aes_kwp.call,
            oaep_mechanism=self.rsa_oaep.mechanism,
            rsa_bits=self.rsa_oaep.bits,
            ecdsa_mechanism=self.ecdsa.mechanism,
            extractable=self.extractable,
            omitted=self.omitted_attributes,
        )


def parse_family(text: str) -> Family:
    """Return the family that a TOML text describes.

    Raises:
        Malformed: no TOML, an unknown key or a value out of its bounds.
    """
    try:
        return Family.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise Malformed(f"the HSM profile is not right: {error}", code="HY-2110") from error


def load_families(directory: Path) -> dict[str, Family]:
    """Return every family of a folder, by name; a file is named after its family.

    Raises:
        Malformed: a file is not right, or not named after its family.
    """
    families = {}
    for path in sorted(directory.glob("*.toml")):
        family = parse_family(path.read_text())
        if family.name != path.stem:
            raise Malformed(f"{path.name} describes the HSM family {family.name}", code="HY-2110")
        families[family.name] = family
    return families
