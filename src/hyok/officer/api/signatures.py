"""What came signed with a request: by a key on the officer's machine, or by an authenticator.

It is verified when it is used, inside the act that it is for, so that a refusal stands on the audit
log beside that act.  A signature of anybody but the person who is signed in is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from hyok.custody.proofs import authenticator_proof, challenge_of, key_proof
from hyok.custody.signing import ED25519, WEBAUTHN, Presigned
from hyok.errors import Refused
from hyok.identity.passkeys import Assertion, decode, verify_assertion
from hyok.officer.api.models import AuthenticatorSignature, KeySignature

if TYPE_CHECKING:
    from hyok.custody.authenticators import AuthenticatorBook
    from hyok.custody.signing import Signer
    from hyok.identity.passkeys import Authenticator, Site
    from hyok.officer.api.services import Services
    from hyok.officer.api.who import Visitor


@dataclass(frozen=True, slots=True)
class AuthenticatorPresigned(Presigned):
    """What an authenticator signed just now, on this site."""

    by: Authenticator = field(kw_only=True)
    made: Assertion = field(kw_only=True)
    site: Site = field(kw_only=True)
    book: AuthenticatorBook = field(kw_only=True)

    @override
    async def sign(self, statement: bytes) -> bytes:
        """Return the proof, if it is for this statement and the authenticator is no copy.

        Raises:
            NotAuthenticated: it is not (code HY-2512).
        """
        count = verify_assertion(self.by, self.made, challenge_of(statement), self.site)
        await self.book.count(self.identity, count)
        return authenticator_proof(self.by, self.made)


async def signer_of(
    visitor: Visitor, signature: KeySignature | AuthenticatorSignature | None, desk: Services
) -> Signer:
    """Return what signs for the visitor: what came with the request, or else their sign-in.

    Raises:
        Refused: it is another person's (code HY-2503).
        NotAuthenticated: a field cannot be read (code HY-2512).
    """
    if signature is None:
        return visitor.signer
    if isinstance(signature, KeySignature):
        identity = f"{ED25519}:{signature.public_key}"
        _check_theirs(visitor, identity)
        proof = key_proof(identity, bytes.fromhex(signature.signature))
        return Presigned(identity, ED25519, signature.at_ms, signature.sequence, proof)
    wanted = decode(signature.credential_id)
    known = await desk.authenticators.of(visitor.register.identities_of(visitor.person))
    found = next((one for one in known if one.credential_id == wanted), None)
    if found is None:
        raise _not_theirs()
    made = Assertion(
        decode(signature.client_data),
        decode(signature.authenticator_data),
        decode(signature.signature),
    )
    return AuthenticatorPresigned(
        *(found.identity, WEBAUTHN, signature.at_ms, signature.sequence, b""),
        by=found,
        made=made,
        site=desk.site,
        book=desk.authenticators,
    )


def _check_theirs(visitor: Visitor, identity: str) -> None:
    if visitor.register.identities.get(identity) != visitor.person:
        raise _not_theirs()


def _not_theirs() -> Refused:
    return Refused(
        "It is signed by somebody else than who is signed in.",
        code="HY-2503",
        effect="Nothing was changed.",
        next_step="each officer signs in and signs themselves",
    )
