"""Frames between a gateway process and an HSM agent.  Pure; both sides use it.

    frame    = u32 length || body                   length counts the body, 1..1 MiB
    question = u32 number || u8 verb    || field*
    answer   = u32 number || u8 outcome || u64 generation || field*
    field    = u16 length || bytes

``generation`` changes whenever the agent logs in anew, so that its caller knows when to ask for
check values again (format.md §10).  The socket is local and of one user; still nothing here is
taken on trust, since a wrong length must not become a large allocation.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from hyok.errors import Malformed

QUESTION_BYTES_MAX = 16 << 10
ANSWER_BYTES_MAX = 1 << 20
PROVE_PREFIX = "hyok-prove/"
BENCH_PREFIX = "hyok-bench/"
"""Names of keys that live in one session of the agent, for measurements; none is ever stored."""

SIGNING_PREFIX = "hyok-audit/"
"""Names of keys that sign checkpoints of the audit log; no KEK may have one."""

DOOR_PREFIX = "hyok-door/"
"""Names of the keys that doors use for others; no KEK may have one, and no KEK serves a door."""

LENGTH = struct.Struct(">I")
_QUESTION = struct.Struct(">IB")
_ANSWER = struct.Struct(">IBQ")
_FIELD_LENGTH = 2


class Verb(IntEnum):
    """What an agent can be asked.  None takes ready-made HMAC input of a KEK (format.md §13.6)."""

    HMAC = 1  # kek_id, scope, token -> secret
    HMAC_CHECK = 2  # kek_id -> check value
    OPEN = 3  # profile, kek_id, scope, token of the store's -> seed
    OPEN_TRUSTED = 4  # the same of a token of the configuration's: a failure is the device's
    SEAL = 5  # profile (2 or 3), kek_id, scope -> token, seed
    CREATE = 6  # profile, kek_id -> profile 1: check value; 4: modulus, exponent
    FIND = 7  # -> (kek_id, check value)*
    STATUS = 8  # -> state, token label, calls, family
    RESET = 9  # forget that the PIN was refused; one login is tried again
    PROBE = 10  # -> mechanism numbers (u32 each), what the self-test showed
    DISCARD = 11  # kek_id with PROVE_PREFIX or BENCH_PREFIX: destroy what a proof made
    CREATE_SIGNING = 12  # name that begins with SIGNING_PREFIX -> public point
    SIGNING_KEY = 13  # name -> public point
    SIGN_CHECKPOINT = 14  # name, origin, size (u64), root hash, further line* -> r ‖ s
    DESTROY = 15  # kek_id: the key of this name is no more
    SAME_KEY = 16  # profile (1 to 3), kek_id, kek_id -> 01 if both names stand for one key
    ABOUT = 17  # -> JSON: names and versions of library and token
    DESCRIBE = 18  # name -> JSON: the module, the token, and the key's attributes read back
    # Of keys whose names begin with DOOR_PREFIX, AES-256 in GCM; 19 to 39 are left free.
    DOOR_CREATE = 40  # name -> check token
    DOOR_SEAL = 41  # name, plaintext, associated data -> IV, ciphertext ‖ tag
    DOOR_OPEN = 42  # name, IV, ciphertext ‖ tag, associated data -> plaintext
    DOOR_CHECK = 43  # name, check token -> plaintext
    DOOR_PROBE = 44  # -> what a trial with a key of one session showed just now
    # Of pairs whose names begin so, RSA-OAEP with SHA-256.
    PAIR_CREATE = 60  # name, bits (u16) -> modulus, exponent
    PAIR_OPEN = 61  # name, ciphertext -> plaintext
    PAIR_CHECK = 62  # name, check token -> plaintext, modulus, exponent
    PAIR_PROBE = 63  # -> how a trial with a pair of one session was opened just now
    # Generic secrets for HMAC-SHA256, and what needs no key.
    DOOR_MAC_CREATE = 70  # name -> check value
    DOOR_MAC = 71  # name, data -> HMAC-SHA256
    DOOR_MAC_CHECK = 72  # name -> check value
    DOOR_RANDOM = 73  # how many (u16) -> bytes of the module's own generator
    # Pairs of P-256 that sign.
    DOOR_SIGN_CREATE = 74  # name -> public point
    DOOR_SIGN = 75  # name, SHA-256 digest -> r ‖ s
    # RSA pairs that sign tokens of a door's own.
    RSA_SIGN_CREATE = 80  # name, bits (u16) -> modulus, exponent
    RSA_SIGN = 81  # name, SHA-256 digest -> signature of PKCS #1 v1.5
    # Keys that wrap private keys of others, which come in for one use.
    PRIVATE_CREATE = 82  # name -> check token
    PRIVATE_CHECK = 83  # name, check token -> what is in it
    PRIVATE_WRAP = 84  # name, private key -> wrapped private key
    PRIVATE_SIGN = 85  # name, wrapped, SHA-256 of SPKI, padding, hash, digest, salt (u16)
    PRIVATE_DECRYPT = 86  # name, wrapped, SHA-256 of SPKI, padding, hash, label, ciphertext
    PRIVATE_PROBE = 87  # -> what a trial with a pair of one session showed just now
    # AES-256 keys that wrap, RFC 3394 or (padded: 01) RFC 5649; and OAEP with SHA-1 of a pair.
    WRAP_CREATE = 90  # name -> check value
    WRAP = 91  # name, padded, value -> wrapped
    UNWRAP = 92  # name, padded, wrapped -> value
    WRAP_CHECK = 93  # name -> check value
    WRAP_PROBE = 94  # -> in which way a trial with keys of one session was done just now
    PAIR_OPEN_SHA1 = 95  # name, ciphertext -> plaintext
    # Many short values under one key of DOOR_SEAL, without associated data.
    DOOR_SEAL_MANY = 100  # name, plaintext* -> (IV, ciphertext ‖ tag)*
    DOOR_OPEN_MANY = 101  # name, (IV, ciphertext ‖ tag)* -> plaintext*
    DOOR_MAC_MANY = 102  # name, data* -> HMAC-SHA256*


class Outcome(IntEnum):
    """How a question ended.  All but DONE carry a cause and a return value's name."""

    DONE = 0
    UNAVAILABLE = 1  # this token, at this moment
    PIN_REFUSED = 2
    NOT_FOUND = 3
    CONFLICT = 4
    BAD_BYTES = 5  # the token does not open, as far as the module's word goes
    REFUSED = 6  # the module cannot do this
    MALFORMED = 7


# By number: a look-up costs a fifth of what an enumeration's own call does.
_VERBS = {int(verb): verb for verb in Verb}
_OUTCOMES = {int(outcome): outcome for outcome in Outcome}


class Question(NamedTuple):
    number: int
    verb: Verb
    fields: tuple[bytes, ...]


class Answer(NamedTuple):
    number: int
    outcome: Outcome
    generation: int
    fields: tuple[bytes, ...]


def encode_question(question: Question) -> bytes:
    """Return the frame of a question."""
    return _framed(
        _QUESTION.pack(question.number, question.verb), question.fields, QUESTION_BYTES_MAX
    )


def encode_answer(answer: Answer) -> bytes:
    """Return the frame of an answer."""
    head = _ANSWER.pack(answer.number, answer.outcome, answer.generation)
    return _framed(head, answer.fields, ANSWER_BYTES_MAX)


def decode_question(body: bytes) -> Question:
    """Return the question of a frame's body.

    Raises:
        Malformed: unknown verb, or fields that do not fill the body exactly.
    """
    if len(body) < _QUESTION.size:
        raise Malformed("the frame is shorter than a question")
    number, verb = _QUESTION.unpack_from(body)
    known = _VERBS.get(verb)
    if known is None:
        raise Malformed(f"no verb has the number {verb}")
    return Question(number, known, _fields(body, _QUESTION.size))


def decode_answer(body: bytes) -> Answer:
    """Return the answer of a frame's body.

    Raises:
        Malformed: unknown outcome, or fields that do not fill the body exactly.
    """
    if len(body) < _ANSWER.size:
        raise Malformed("the frame is shorter than an answer")
    number, outcome, generation = _ANSWER.unpack_from(body)
    known = _OUTCOMES.get(outcome)
    if known is None:
        raise Malformed(f"no outcome has the number {outcome}")
    return Answer(number, known, generation, _fields(body, _ANSWER.size))


def body_bytes(head: bytes, bytes_max: int) -> int:
    """Return the length of the body that follows the four bytes ``head``.

    Raises:
        Malformed: nothing, or more than ``bytes_max``, would follow.
    """
    (length,) = LENGTH.unpack(head)
    if not 0 < length <= bytes_max:
        raise Malformed(f"a frame of {length} bytes is outside 1 to {bytes_max}")
    return int(length)


def _framed(head: bytes, fields: tuple[bytes, ...], bytes_max: int) -> bytes:
    pieces = [head]
    for field in fields:
        pieces += (len(field).to_bytes(_FIELD_LENGTH, "big"), field)
    body = b"".join(pieces)
    assert len(body) <= bytes_max, "a frame that its reader would refuse"
    return LENGTH.pack(len(body)) + body


def _fields(body: bytes, at: int) -> tuple[bytes, ...]:
    fields = []
    while at < len(body):
        start = at + _FIELD_LENGTH
        if start > len(body):
            raise Malformed("a field's length is cut off")
        at = start + int.from_bytes(body[at:start], "big")
        if at > len(body):
            raise Malformed("a field is cut off")
        fields.append(body[start:at])
    return tuple(fields)
