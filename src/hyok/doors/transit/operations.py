"""Operations: what the mount does with keys, one item at a time or many.

Source: HashiCorp Vault and OpenBao, "Transit secrets engine (API)".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hyok.custody.door_key import BSN, MAC, Usage
from hyok.custody.doors import Opening, Sealing
from hyok.doors.transit import ciphertext, signatures, wire
from hyok.doors.transit.ciphertext import IV_BYTES, TAG_BYTES, Binding
from hyok.doors.transit.faults import fault_of, is_of_item
from hyok.doors.transit.wire import Operation, malformed
from hyok.errors import HyokError
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.custody.door_uses import DoorUses
    from hyok.custody.doors import Sealed
    from hyok.vocabulary import Principal

    Members = Mapping[str, object]
    One = Callable[["Call", Members], Awaitable[dict[str, object]]]

DOOR = "transit"
KEY_BITS = frozenset({128, 256, 512})
MAC_ALGORITHM = "sha2-256"
_SOURCES = frozenset({"platform", "seal", "all"})
_SHARED = ("algorithm", "hash_algorithm", "prehashed", "marshaling_algorithm")
"""Members that a batch has once, beside its items."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, proven to come from an app."""

    principal: Principal
    via: str  # how it proved itself: token, kubernetes
    operation: Operation
    rest: tuple[str, ...]  # of the path, after the operation
    request_id: str
    origin: str
    at_ms: int
    seconds: Callable[[], float]  # what is left for the HSM

    @property
    def key(self) -> str:
        """The key that the path names."""
        if self.operation is Operation.DATAKEY:
            return self.rest[1]
        return self.rest[0] if self.operation is not Operation.RANDOM and self.rest else ""

    def ask(self, action: str, operation: str = "") -> Ask:
        """Return the question to custody; ``operation`` is what a rule may read of it."""
        return Ask(
            principal=self.principal,
            action=action,
            bucket=None,
            key="",
            request_id=self.request_id,
            origin=self.origin,
            at_ms=self.at_ms,
            use=KeyUse(
                door=DOOR,
                tenant=self.principal.tenant,
                name=self.key,
                operation=operation or str(self.operation),
                via=self.via,
            ),
        )


class Operations:
    """What the mount of this name does; ``mount`` is authenticated with every ciphertext."""

    def __init__(self, custody: DoorUses, mount: str) -> None:
        self._custody = custody
        self._mount = mount
        self._ones: Mapping[Operation, One] = {
            Operation.ENCRYPT: self._encrypt,
            Operation.DECRYPT: self._decrypt,
            Operation.REWRAP: self._rewrap,
            Operation.HMAC: self._mac,
            Operation.SIGN: self._sign,
            Operation.VERIFY: self._verify,
        }

    async def perform(self, call: Call, body: Members) -> tuple[int, Mapping[str, object]]:
        """Return status and data of the answer.

        Raises:
            HyokError: nothing was done, or not all of it; `fault_of` says what is told.
        """
        if call.operation is Operation.DATAKEY:
            return 200, await self._data_key(call, body)
        if call.operation is Operation.RANDOM:
            return 200, await self._random(call, body)
        one = self._ones[call.operation]
        batch = wire.parse_batch(body)
        if batch is None:
            return 200, await one(call, body)
        return await self._all(call, body, batch, one)

    async def _all(
        self, call: Call, body: Members, batch: Sequence[Members], one: One
    ) -> tuple[int, Mapping[str, object]]:
        results, failed = [], 0
        shared = {name: body[name] for name in _SHARED if name in body}
        for item in batch:
            try:
                result = await one(call, {**shared, **item})
            except HyokError as error:
                if not is_of_item(error):
                    raise
                result = {"error": fault_of(error).message}
                failed += 1
            if reference := wire.text_of(item, "reference"):
                result["reference"] = reference
            results.append(result)
        status = 400 if failed else 200
        if 0 < failed < len(results):
            status = wire.number_of(body, "partial_failure_response_code", 400)
            if not 200 <= status < 600 or status == 204:
                raise malformed("partial_failure_response_code is no status that has a body")
        return status, {"batch_results": results}

    def _binding(self, call: Call, members: Members) -> Binding:
        context = wire.bytes_of(members, "context") or b""
        if len(context) > ciphertext.CONTEXT_BYTES_MAX:
            raise malformed(f"a context has at most {ciphertext.CONTEXT_BYTES_MAX} bytes")
        associated = wire.bytes_of(members, "associated_data") or b""
        return Binding(f"{self._mount}/{call.key}", context, associated)

    async def _encrypt(self, call: Call, members: Members) -> dict[str, object]:
        wire.refuse_members(members)
        plain = wire.bytes_of(members, "plaintext")
        if plain is None:
            raise malformed("missing plaintext")
        data = self._binding(call, members).data_of(wire.number_of(members, "key_version"))
        ask = call.ask("key:encrypt")
        return _told(await self._custody.encrypt(ask, Sealing(plain, data), call.seconds()))

    async def _decrypt(self, call: Call, members: Members) -> dict[str, object]:
        return {"plaintext": wire.base64_of(await self._open(call, members))}

    async def _open(self, call: Call, members: Members) -> bytes:
        wire.refuse_members(members)
        blob = ciphertext.read(wire.text_of(members, "ciphertext"))
        opening = Opening(
            blob.version,
            blob.raw[:IV_BYTES],
            blob.raw[IV_BYTES:-TAG_BYTES],
            blob.raw[IV_BYTES:][-TAG_BYTES:],
            self._binding(call, members).data(blob.version),
        )
        return await self._custody.decrypt(call.ask("key:decrypt"), opening, call.seconds())

    async def _rewrap(self, call: Call, members: Members) -> dict[str, object]:
        """Open and encrypt anew; whoever may do only this never sees what is inside."""
        wanted = wire.number_of(members, "key_version")
        data = self._binding(call, members).data_of(wanted)
        ask = call.ask("key:encrypt")
        if wanted:  # one that does not encrypt is refused before anything is opened
            data((await self._custody.describe(ask)).newest.number)
        plain = await self._open(call, members)
        return _told(await self._custody.encrypt(ask, Sealing(plain, data), call.seconds()))

    async def _data_key(self, call: Call, body: Members) -> dict[str, object]:
        wire.refuse_members(body)
        kind = call.rest[0]
        if kind not in {"plaintext", "wrapped"}:
            raise malformed("Invalid path, must be 'plaintext' or 'wrapped'")
        bits = wire.number_of(body, "bits", 256)
        if bits not in KEY_BITS:
            raise malformed("invalid bit length")
        ask = call.ask("key:encrypt", f"datakey/{kind}")
        data = self._binding(call, body).data_of(wire.number_of(body, "key_version"))
        plain, made = await self._custody.data_key(ask, bits // 8, data, call.seconds())
        told = _told(made)
        return told if kind == "wrapped" else told | {"plaintext": wire.base64_of(plain)}

    async def _random(self, call: Call, body: Members) -> dict[str, object]:
        words: dict[str, object] = dict(body)
        rest = list(call.rest)
        if rest and rest[0] in _SOURCES:
            rest.pop(0)
        if rest:
            words["bytes"] = rest.pop(0)
        if rest:
            raise malformed("unsupported source of random bytes")
        form = wire.text_of(words, "format", "base64")
        if form not in {"base64", "hex"}:
            raise malformed('unsupported encoding format; must be "hex" or "base64"')
        size = wire.number_of(words, "bytes", 32)
        made = await self._custody.random(call.ask("key:random"), size, call.seconds())
        return {"random_bytes": made.hex() if form == "hex" else wire.base64_of(made)}

    async def _mac(self, call: Call, members: Members) -> dict[str, object]:
        _check_algorithm(call, members)
        text = _input(members)
        wanted = wire.number_of(members, "key_version")
        ask = call.ask("key:mac")
        version, made = await self._custody.mac(ask, text, call.seconds(), wanted)
        return {"hmac": ciphertext.write(version, made)}

    async def _verify(self, call: Call, members: Members) -> dict[str, object]:
        _check_algorithm(call, members)
        if members.get("signature"):
            return {"valid": await self._verify_signature(call, members)}
        claimed = ciphertext.read(wire.text_of(members, "hmac"), "HMAC")
        text = _input(members)
        ask = call.ask("key:verify")
        valid = await self._custody.is_mac(ask, text, claimed.version, claimed.raw, call.seconds())
        return {"valid": valid}

    async def _sign(self, call: Call, members: Members) -> dict[str, object]:
        _check_algorithm(call, members)
        digest, form = signatures.digest_of(members), signatures.form_of(members)
        wanted = wire.number_of(members, "key_version")
        ask = call.ask("key:sign")
        version, made = await self._custody.sign(ask, digest, call.seconds(), wanted)
        return {"signature": signatures.write(version, made, form), "key_version": version}

    async def _verify_signature(self, call: Call, members: Members) -> bool:
        digest, form = signatures.digest_of(members), signatures.form_of(members)
        claimed = signatures.read(wire.text_of(members, "signature"), form)
        ask = call.ask("key:verify")
        return await self._custody.is_signature(ask, digest, claimed.version, claimed.raw)

    async def names(self, call: Call) -> Sequence[str]:
        """Return the names of the keys that serve this app."""
        return await self._custody.names(call.ask("key:describe", "list"))

    async def describe(self, call: Call) -> Mapping[str, object]:
        """Return a key as Vault shows it.

        Raises:
            HyokError: there is none, or policy says no.
        """
        return _shown(await self._custody.describe(call.ask("key:describe", "read")))


def _told(made: Sealed) -> dict[str, object]:
    text = ciphertext.write(made.version, made.iv + made.ciphertext + made.tag)
    return {"ciphertext": text, "key_version": made.version}


def _input(members: Members) -> bytes:
    found = wire.bytes_of(members, "input")
    if found is None:
        raise malformed("missing input")
    return found


def _check_algorithm(call: Call, members: Members) -> None:
    """Return quietly if HMAC-SHA256 is asked for, in the path or in a member.

    Raises:
        Malformed: it is another one.
    """
    told = [wire.text_of(members, name) for name in ("algorithm", "hash_algorithm")]
    for word in (*call.rest[1:], *told):
        if word and word != MAC_ALGORITHM:
            raise malformed(f"the one algorithm served is {MAC_ALGORITHM}")


def _shown(key: DoorKey) -> Mapping[str, object]:
    return {
        "name": key.name,
        "type": _type_of(key),
        "deletion_allowed": False,
        "derived": False,
        "exportable": False,
        "allow_plaintext_backup": False,
        "imported_key": False,
        "keys": {str(one.number): _version_shown(one) for one in key.versions},
        "latest_version": key.newest.number,
        "min_available_version": 0,
        "min_decryption_version": 1,
        "min_encryption_version": 0,
        "auto_rotate_period": 0,
        "supports_encryption": Usage.ENCRYPT in key.usage,
        "supports_decryption": Usage.DECRYPT in key.usage,
        "supports_derivation": False,
        "supports_signing": Usage.SIGN in key.usage,
    }


def _type_of(key: DoorKey) -> str:
    if Usage.SIGN in key.usage:
        return "ecdsa-p256"
    return "hmac" if key.sort in {MAC, BSN} else "aes256-gcm96"


def _version_shown(version: DoorVersion) -> object:
    """Return a version as Vault shows it: its time alone, or with the public key."""
    if not version.spec.public_key:
        return version.created_ms // 1000
    return {
        "name": "P-256",
        "public_key": signatures.pem_of(version.spec.public_key),
        "creation_time": datetime.fromtimestamp(version.created_ms / 1000, UTC).isoformat(),
    }
