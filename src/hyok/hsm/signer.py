"""TokenSigner: one signing key behind the agents of a group of tokens.  Blocking.

Asked now and then by the audit writer, in a thread of its own: the first token that answers is good
enough, and what fails is tried again at the next checkpoint.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hyok.errors import Conflict, Malformed, NotFound, Refused, Unavailable
from hyok.hsm.supervise import ask
from hyok.hsm.wire import Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.hsm.wire import Answer
    from hyok.vocabulary import TreeHead

SIGN_SECONDS = 5.5
CREATE_SECONDS = 30.0
_HALF = 32


class TokenSigner:
    """The pair of this name in the tokens whose agents listen at these sockets.

    Raises, from every method:
        Unavailable: no agent answers, or none can reach its token now.
        NotFound: the token has no such key.
    """

    software = False

    def __init__(self, sockets: Sequence[str], name: str, *, seconds: float = SIGN_SECONDS) -> None:
        self._sockets, self._name, self._seconds = sockets, name, seconds

    def create(self) -> bytes:
        """Generate the pair; return its SubjectPublicKeyInfo, DER.

        Raises:
            Conflict: a key of this name exists.
        """
        # In the first token alone: the vendor's replication brings it to the others.
        answer = ask(self._sockets[0], Verb.CREATE_SIGNING, CREATE_SECONDS, (self._name.encode(),))
        return _der(_done(answer)[0])

    def public_key(self) -> bytes:
        """Return the SubjectPublicKeyInfo, DER."""
        return _der(self._somewhere(Verb.SIGNING_KEY, ())[0])

    def sign(self, head: TreeHead) -> bytes:
        """Return the signature over the checkpoint with this head, DER."""
        fields = (head.origin.encode(), struct.pack(">Q", head.size), head.root)
        extensions = tuple(line.encode() for line in head.extensions)
        (raw,) = self._somewhere(Verb.SIGN_CHECKPOINT, fields + extensions)
        numbers = int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big")
        return encode_dss_signature(*numbers)

    def _somewhere(self, verb: Verb, fields: tuple[bytes, ...]) -> tuple[bytes, ...]:
        failed: Unavailable | NotFound | None = None
        for socket_path in self._sockets:
            try:
                answer = ask(socket_path, verb, self._seconds, (self._name.encode(), *fields))
                return _done(answer)
            except (Unavailable, NotFound) as error:  # perhaps not copied to this token yet
                failed = failed or error
        assert failed is not None, "a group has at least one token"
        raise failed


def _der(point: bytes) -> bytes:
    try:
        key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError as error:
        raise Malformed("the HSM's public key is no point of P-256") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _done(answer: Answer) -> tuple[bytes, ...]:
    cause = answer.fields[0].decode("utf-8", "replace") if answer.fields else "no cause given"
    match answer.outcome:
        case Outcome.DONE:
            return answer.fields
        case Outcome.UNAVAILABLE:
            raise Unavailable(cause, code="HY-2101")
        case Outcome.PIN_REFUSED:
            raise Unavailable(cause, code="HY-2102", next_step="hyok hsm reset-pin")
        case Outcome.NOT_FOUND:
            raise NotFound(cause, code="HY-2103")
        case Outcome.CONFLICT:
            raise Conflict(cause, code="HY-2107")
        case Outcome.MALFORMED:
            raise Malformed(cause)
        case _:
            raise Refused(f"the HSM does not sign: {cause}", code="HY-2109")
