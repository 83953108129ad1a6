"""Operations: what the door does with tokens and documents.

Source: docs/keyservices/payloads.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from hyok.custody.content_keys import AT, Wrapped, not_opened
from hyok.custody.door_key import KEY_UNKNOWN
from hyok.doors.payloads import bsn, fields, jwe, wire
from hyok.doors.payloads.jwe import Alg
from hyok.doors.payloads.literal_json import parse
from hyok.doors.payloads.refusals import (
    POINTER,
    context_mismatch,
    foreign_token,
    invalid_document,
    switched_off,
    too_large,
)
from hyok.doors.payloads.wire import PREFIX
from hyok.errors import HyokError, Malformed, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.custody.content_keys import ContentKey, ContentKeys
    from hyok.custody.door_key import DoorVersion
    from hyok.doors.payloads.calls import Call
    from hyok.doors.payloads.fields import Chosen, Found
    from hyok.doors.payloads.jwe import Kid, Token
    from hyok.doors.payloads.literal_json import Json

T = TypeVar("T")

ON_LOOP_BYTES = 64 << 10
"""Bodies up to this length are read and sealed on the loop."""


class Work(Protocol):
    """Runs what takes long beside the loop; `hyok.http1.pump` does."""

    async def run(self, work: Callable[[], T]) -> T: ...


class Operations:
    """What the door does.

    Args:
        custody: keys in the HSM.
        beside: runs what takes long.
        entropy: fresh random bytes.
        values_max: of one document.
        bytes_max: of one request with a document.
        equality_index: does this installation make them?
        bsn_tokens: keys for BSNs, as `tenant/name`, and whether their tokens pass the elfproef.
    """

    def __init__(
        self,
        custody: ContentKeys,
        *,
        beside: Work,
        entropy: Callable[[int], bytes],
        values_max: int,
        bytes_max: int,
        equality_index: bool,
        bsn_tokens: Mapping[str, bool],
    ) -> None:
        self._custody = custody
        self._beside = beside
        self._entropy = entropy
        self._values_max = values_max
        self._bytes_max = bytes_max
        self._equality_index = equality_index
        self._bsn_tokens = bsn_tokens

    async def _run(self, call: Call, work: Callable[[], T]) -> T:
        if len(call.body) <= ON_LOOP_BYTES:
            return work()
        return await self._beside.run(work)

    async def encrypt(self, call: Call) -> bytes:
        """Answer `/v1/encrypt`.

        Raises:
            HyokError: nothing was encrypted; `fault_of` says what is told.
        """
        asked = wire.parse_encrypt(call.body)

        async def finish(version: DoorVersion, keys: Sequence[ContentKey]) -> bytes:
            (made,) = keys
            kid = call.kid(version, asked.key)
            token = self._write(kid, asked.context, made, asked.plain)
            return wire.answer(token=token, key=asked.key, version=wire.whole(version.number))

        ask = call.ask("key:encrypt", asked.key)
        return await self._custody.wrap(ask, 1, len(asked.plain), finish, call.seconds())

    def _write(self, kid: Kid, context: Mapping[str, str], made: ContentKey, plain: bytes) -> str:
        key = jwe.Key(made.sealed, made.iv, made.tag)
        return jwe.write(kid, context, key, made.key, self._entropy(jwe.IV_BYTES), plain)

    async def decrypt(self, call: Call) -> bytes:
        """Answer `/v1/decrypt`.

        Raises:
            HyokError: nothing was opened; `fault_of` says what is told.
        """
        asked = wire.parse_decrypt(call.body)
        token = await self._read(call, asked.token)

        def fits() -> None:
            if token.context != asked.context:
                raise context_mismatch()

        async def finish(plain: bytes) -> bytes:
            kid = token.kid
            plaintext, version = wire.base64_of(plain), wire.whole(kid.version)
            return wire.answer(plaintext=plaintext, key=kid.name, version=version)

        return await finish(await self._open(call, token, fits))

    async def _read(self, call: Call, text: str) -> Token:
        token = jwe.read(text.removeprefix(PREFIX))
        if token.kid.tenant != call.principal.tenant:
            error = foreign_token()
            await self._custody.note(call.ask("key:decrypt", token.kid.name), error)
            raise error
        return token

    async def _open(self, call: Call, token: Token, fits: Callable[[], None]) -> bytes:
        async def finish(keys: Sequence[bytes]) -> bytes:
            plain = jwe.open_content(token, keys[0])
            if plain is None:
                raise not_opened(0)
            return plain

        return await self._custody.unwrap(
            call.ask("key:decrypt", token.kid.name),
            [_wrapped(token)],
            finish,
            call.seconds(),
            fits=fits,
            pairs=token.alg is Alg.OAEP,
        )

    async def rewrap(self, call: Call) -> bytes:
        """Answer `/v1/rewrap`: whoever may do only this never sees what is inside.

        The content is sealed anew under a fresh key: its authentication covers the header, which
        changes, and two headers over one ciphertext, key and IV would give away the key that
        authenticates.

        Raises:
            HyokError: nothing was rewrapped; `fault_of` says what is told.
        """
        asked = wire.parse_rewrap(call.body)
        call.owe(2)  # one call to open, and one to seal
        token = await self._read(call, asked)
        plain = await self._open(call, token, lambda: None)
        name, ask = token.kid.name, call.ask("key:encrypt", token.kid.name)
        prefix = PREFIX if asked.startswith(PREFIX) else ""

        def told(version: DoorVersion, text: str) -> bytes:
            return wire.answer(token=prefix + text, key=name, version=wire.whole(version.number))

        async def finish(version: DoorVersion, keys: Sequence[ContentKey]) -> bytes:
            kid = call.kid(version, name)
            return told(version, self._write(kid, token.context, keys[0], plain))

        async def to_pair(version: DoorVersion, key: bytes, sealed: bytes) -> bytes:
            kid, iv = call.kid(version, name), self._entropy(jwe.IV_BYTES)
            return told(version, jwe.write(kid, token.context, jwe.Key(sealed), key, iv, plain))

        if token.alg is Alg.OAEP:
            return await self._custody.wrap_to_pair(ask, to_pair, call.seconds())
        return await self._custody.wrap(ask, 1, len(plain), finish, call.seconds())

    async def encrypt_json(self, call: Call) -> bytes:
        """Answer `/v1/encrypt-json`.

        Raises:
            HyokError: nothing was encrypted; `fault_of` says what is told.
        """
        asked = await self._run(call, lambda: wire.parse_encrypt_json(call.body))
        if not self._equality_index and any(one.index for one in asked.fields):
            raise switched_off("An index of equal values", "doors.payloads.equality_index")
        chosen = await self._run(
            call,
            lambda: fields.choose(asked.document, asked.fields, asked.context, self._values_max),
        )
        call.owe(len(chosen))
        indexes = await self._indexes(call, chosen, asked.context)

        async def finish(version: DoorVersion, keys: Sequence[ContentKey]) -> bytes:
            kid = call.kid(version, asked.key)

            def work() -> bytes:
                tokens = [
                    self._write(kid, one.context, key, one.plain)
                    for one, key in zip(chosen, keys, strict=True)
                ]
                fields.put(chosen, tokens)
                for one, text in indexes:
                    assert isinstance(one.place.holder, dict)
                    assert one.field.index is not None
                    one.place.holder[one.field.index.member] = text
                told = wire.answer(
                    document=asked.document,
                    key=asked.key,
                    version=wire.whole(version.number),
                    encrypted=wire.whole(len(chosen)),
                )
                # What comes back to be decrypted has the context beside it.
                if len(told) > self._bytes_max - jwe.HEADER_CHARS_MAX:
                    raise too_large(
                        "The document would be longer with its tokens than is decrypted at once."
                    )
                return told

            return await self._run(call, work)

        ask, size = call.ask("key:encrypt", asked.key), sum(len(one.plain) for one in chosen)
        return await self._custody.wrap(ask, len(chosen), size, finish, call.seconds())

    async def _indexes(
        self, call: Call, chosen: Sequence[Chosen], context: Mapping[str, str]
    ) -> Sequence[tuple[Chosen, str]]:
        """Return the indexes of those values that have one."""
        wanted: dict[str, list[tuple[Chosen, bytes]]] = {}
        for one in chosen:
            if (index := one.field.index) is None or not isinstance(one.place.holder, dict):
                continue
            text = fields.index_text(one.place.value, context, one.place.canonical, index.over)
            if text is not None:
                wanted.setdefault(index.key, []).append((one, text))
        made: list[tuple[Chosen, str]] = []
        for name, group in wanted.items():
            call.owe(len(group))
            ask = call.ask("key:mac", name)
            _, macs = await self._custody.macs(ask, [text for _, text in group], call.seconds())
            pairs = zip(group, macs, strict=True)
            made += [(one, fields.index_of(mac)) for (one, _), mac in pairs]
        return made

    async def index(self, call: Call) -> bytes:
        """Answer `/v1/index`: the index of a value to look for.

        Raises:
            HyokError: nothing was computed; `fault_of` says what is told.
        """
        asked = wire.parse_index(call.body)
        if not self._equality_index:
            raise switched_off("An index of equal values", "doors.payloads.equality_index")
        text = fields.index_text(asked.value, asked.context, asked.pointer, None)
        if text is None:
            return wire.answer(index=None, key=asked.key)
        ask = call.ask("key:mac", asked.key)
        version, (mac,) = await self._custody.macs(ask, [text], call.seconds())
        return wire.answer(index=fields.index_of(mac), key=asked.key, version=wire.whole(version))

    async def decrypt_json(self, call: Call) -> bytes:
        """Answer `/v1/decrypt-json`: all tokens of known keys, or nothing.

        Raises:
            HyokError: nothing was opened; `fault_of` says what is told.
        """
        asked = await self._run(call, lambda: wire.parse_decrypt_json(call.body))
        tenant = call.principal.tenant
        try:
            found = await self._run(
                call, lambda: fields.recognise(asked.document, tenant, self._values_max)
            )
        except Malformed as error:
            await self._custody.note(call.ask("key:decrypt", ""), error)
            raise
        call.owe(sum(map(len, found.groups.values())))
        opened: list[tuple[Found, Json]] = []
        left = found.strange
        for (name, alg), group in found.groups.items():
            try:
                opened += await self._open_group(call, name, alg, group, asked.context)
            except NotFound as error:
                if error.reason != KEY_UNKNOWN:
                    raise
                left += len(group)

        def work() -> bytes:
            for one, value in opened:
                one.place.replace(value)
            counts = {"decrypted": wire.whole(len(opened)), "left": wire.whole(left)}
            return wire.answer(document=asked.document, **counts)

        return await self._run(call, work)

    async def _open_group(
        self, call: Call, name: str, alg: Alg, group: Sequence[Found], context: Mapping[str, str]
    ) -> Sequence[tuple[Found, Json]]:
        async def finish(keys: Sequence[bytes]) -> Sequence[tuple[Found, Json]]:
            return await self._run(
                call,
                lambda: [
                    (one, _value(place, one, key))
                    for place, (one, key) in enumerate(zip(group, keys, strict=True))
                ],
            )

        try:
            return await self._custody.unwrap(
                call.ask("key:decrypt", name),
                [_wrapped(one.token) for one in group],
                finish,
                call.seconds(),
                fits=lambda: fields.check_contexts(group, context),
                pairs=alg is Alg.OAEP,
            )
        except Tampered as error:
            raise _at_its_pointer(error, group) from error

    def _passes(self, call: Call, key: str) -> bool:
        """Say whether tokens of this key pass the elfproef.

        Raises:
            Refused: it makes none (code HY-2711).
        """
        passes = self._bsn_tokens.get(f"{call.principal.tenant}/{key}")
        if passes is None:
            raise switched_off("A token of nine digits", "doors.payloads.bsn_tokens")
        return passes

    async def encrypt_bsn(self, call: Call) -> bytes:
        """Answer `/v1/encrypt-bsn`.

        Raises:
            HyokError: there is no token; `fault_of` says what is told.
        """
        asked = wire.parse_encrypt_bsn(call.body)
        passes = self._passes(call, asked.key)
        bsn.check_bsn(asked.digits)

        async def finish(version: DoorVersion, key: bytes) -> bytes:
            tweak = bsn.tweak_of(asked.context)
            token = bsn.token_of(key, tweak, asked.digits, passes=passes)
            return wire.answer(token=token, key=asked.key, version=wire.whole(version.number))

        ask, label = call.ask("key:encrypt", asked.key), bsn.LABEL
        return await self._custody.derive(ask, label, finish, call.seconds())

    async def decrypt_bsn(self, call: Call) -> bytes:
        """Answer `/v1/decrypt-bsn`.

        Raises:
            HyokError: there is no BSN; `fault_of` says what is told.
        """
        asked = wire.parse_decrypt_bsn(call.body)
        passes = self._passes(call, asked.key)
        bsn.check_token(asked.digits, passes=passes)

        async def finish(version: DoorVersion, key: bytes) -> bytes:
            found = bsn.bsn_of(key, bsn.tweak_of(asked.context), asked.digits, passes=passes)
            if found is None:
                raise not_opened(0)
            return wire.answer(bsn=found, key=asked.key, version=wire.whole(version.number))

        ask, label = call.ask("key:decrypt", asked.key), bsn.LABEL
        return await self._custody.derive(ask, label, finish, call.seconds(), asked.version)

    async def public_key(self, call: Call, name: str) -> bytes:
        """Answer `/v1/public-keys/NAME`: what others encrypt to.

        Raises:
            HyokError: there is no such pair, or it may not be used.
        """
        ask = call.ask("key:describe", name)
        version = await self._custody.public_key(ask, lambda _: None, call.seconds())
        return wire.public_key(str(call.kid(version, name)), version.spec.public_key)


def _wrapped(token: Token) -> Wrapped:
    return Wrapped(token.kid.version, token.key.wrapped, token.key.iv, token.key.tag)


def _value(place: int, one: Found, key: bytes) -> Json:
    plain = jwe.open_content(one.token, key)
    if plain is None:
        raise not_opened(place)
    try:
        return parse(plain)
    except HyokError as error:
        # It was made by somebody who has the public key, or for `/v1/decrypt`.
        raise invalid_document(
            "What the token holds is no JSON value.", one.place.pointer
        ) from error


def _at_its_pointer(error: Tampered, group: Sequence[Found]) -> Tampered:
    """Return the error with the pointer of the token that does not open."""
    if AT not in error.facts:
        return error
    pointer = group[int(error.facts[AT])].place.pointer
    return Tampered(error.cause, reason=error.reason, code=error.code, facts={POINTER: pointer})
