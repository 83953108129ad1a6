"""DoorCustody: keys that doors use for others.  Decide, record, use, record, in that order.

The intent is durable before the HSM is asked where the classification is write-ahead, so that no
use goes unseen; the closing record goes out with the next group, since a door's caller waits a
quarter of a second in all.

Source: docs/keyservices/xks.md; docs/adr/0028.
"""

from __future__ import annotations

import asyncio
import hmac
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.custody.door_key import PAIR, SECRETS, Usage, check_serves, check_state, check_usage
from hyok.custody.door_records import DoorRecords
from hyok.custody.key_states import Use
from hyok.errors import HyokError, Malformed, Tampered, Unavailable
from hyok.hsm.door_pool import bad_ciphertext
from hyok.hsm.port import BAD_CIPHERTEXT
from hyok.vocabulary import ObjectRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from hyok.custody.decisions import Decisions
    from hyok.custody.door_catalog import DoorCatalog
    from hyok.custody.door_key import DoorKey, DoorVersion, Sort
    from hyok.hsm.port import WrapHsm
    from hyok.policy.decision import Decision
    from hyok.vocabulary import Ask, KeyUse

PLAIN_BYTES_MAX = 4300
DATA_BYTES_MAX = 8192 + 32
"""Together with their names they fit one question to an agent."""

TOO_LARGE = "TooLarge"
IV_BYTES, TAG_BYTES = 12, 16


@dataclass(frozen=True, slots=True)
class Sealed:
    """What came of an encryption, and the version that did it."""

    version: int
    iv: bytes
    ciphertext: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class Sealing:
    """What to encrypt.

    ``data``: what is authenticated beside it, by the version that will encrypt.
    ``prove``: called with the result before it is opened again in the HSM; None: it is not.
    """

    plain: bytes
    data: Callable[[int], bytes]
    prove: Callable[[Sealed], None] | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """What to decrypt; ``version``: which one sealed it, as the ciphertext's own data says."""

    version: int
    iv: bytes
    ciphertext: bytes
    tag: bytes
    data: bytes


class DoorCustody:
    """Made once in each process by wiring.

    ``opaque_id`` gives the id by which the log names on whose behalf a caller came.
    """

    def __init__(
        self,
        *,
        hsm: WrapHsm,
        catalog: DoorCatalog,
        decisions: Decisions,
        opaque_id: Callable[[ObjectRef], Awaitable[str]],
    ) -> None:
        self._hsm = hsm
        self.catalog = catalog
        self._decisions = decisions
        self._records = DoorRecords(decisions)
        self._opaque_id = opaque_id

    async def describe(self, ask: Ask, fits: Callable[[DoorKey], None] | None = None) -> DoorKey:
        """Return a key that serves this app, whatever its state.

        ``fits`` raises what speaks against this key.

        Raises:
            NotFound: no such key serves it (code HY-2601).
            Refused: policy says no, or ``fits``.
        """
        ask, key = await self._find(ask)
        await self._permit(ask, key)
        if fits is not None:
            try:
                fits(key)
            except HyokError as error:
                await self._records.failed(ask, key, key.newest, error)
                raise
        return key

    async def encrypt(self, ask: Ask, sealing: Sealing, seconds: float) -> Sealed:
        """Encrypt in the HSM, under the newest version.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no; or it has
                encrypted as often as it may (HY-2604).
            Malformed: more than one call takes (code HY-2605).
            Tampered: the HSM did not open what it sealed (code HY-2606).
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask)
        version = key.newest
        wanted = [Usage.ENCRYPT] + ([Usage.DECRYPT] if sealing.prove is not None else [])
        data = sealing.data(version.number)
        decision = await self._judge(ask, key, version, Use.WRAP, wanted, sealing.plain, data)
        record = self._records.of_use(ask, key, version, decision, len(sealing.plain))
        async with record, within(seconds):
            return await self._seal(key, version, sealing, data, seconds)

    async def _seal(
        self, key: DoorKey, version: DoorVersion, sealing: Sealing, data: bytes, seconds: float
    ) -> Sealed:
        await self.catalog.count_use(key, version)
        iv, whole = await self._hsm.door_seal(version.spec, sealing.plain, data, seconds)
        made = Sealed(version.number, iv, whole[:-TAG_BYTES], whole[-TAG_BYTES:])
        if sealing.prove is not None:
            sealing.prove(made)
            await self._check_opens(version, iv, whole, data, sealing.plain, seconds)
        return made

    async def _check_opens(
        self,
        version: DoorVersion,
        iv: bytes,
        whole: bytes,
        data: bytes,
        plain: bytes,
        seconds: float,
    ) -> None:
        try:
            opened = await self._hsm.door_open(version.spec, iv, whole, data, seconds)
        except Tampered as error:
            raise _not_opened() from error
        if not hmac.compare_digest(opened, plain):
            raise _not_opened()

    async def decrypt(self, ask: Ask, opening: Opening, seconds: float) -> bytes:
        """Decrypt in the HSM.

        Raises:
            NotFound: no such key serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no.
            Malformed: more than one call takes (code HY-2605).
            Tampered: it does not open, for whatever cause (reason ``BadCiphertext``).
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask)
        # A version that never was is judged as the newest is: whoever asks learns no more of it
        # than of a ciphertext that does not open.
        version = key.version(opening.version)
        judged = version or key.newest
        wanted = [Usage.DECRYPT]
        decision = await self._judge(
            ask, key, judged, Use.UNWRAP, wanted, opening.ciphertext, opening.data
        )
        size = len(opening.ciphertext)
        async with self._records.of_use(ask, key, judged, decision, size) as ending:
            if version is None or len(opening.iv) != IV_BYTES or len(opening.tag) != TAG_BYTES:
                raise bad_ciphertext()
            whole = opening.ciphertext + opening.tag
            async with within(seconds):
                plain = await self._hsm.door_open(
                    version.spec, opening.iv, whole, opening.data, seconds
                )
            ending.size = len(plain)
        return plain

    async def public_key(
        self, ask: Ask, fits: Callable[[DoorKey], None], seconds: float
    ) -> DoorVersion:
        """Return the version of a pair to which others seal now, shown to be the HSM's.

        ``fits`` raises what speaks against this key.

        Raises:
            NotFound: no such pair serves this app (code HY-2601).
            Refused: its state (HY-2602) or policy says no, or ``fits``.
            Tampered: the HSM holds another key (code HY-2106).
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask, (PAIR,))
        await self._check(ask, key, key.newest, fits, Use.WRAP)
        await self._permit(ask, key, key.newest.spec.kek_id)
        try:
            async with within(seconds):
                await self._hsm.pair_public(key.newest.spec, seconds)
        except HyokError as error:
            await self._records.failed(ask, key, key.newest, error)
            raise
        return key.newest

    async def open(
        self, ask: Ask, key_id: str, sealed: bytes, fits: Callable[[DoorKey], None], seconds: float
    ) -> bytes:
        """Open with the private half what somebody sealed to a pair's public key.

        Raises:
            NotFound: no such pair serves this app (code HY-2601).
            Refused: its state (HY-2602), policy, or its purpose (HY-2603) says no, or ``fits``.
            Tampered: it does not open, for whatever cause (reason ``BadCiphertext``).
            Unavailable: HSM, database or log do not answer.
        """
        ask, key = await self._find(ask, (PAIR,))
        # As of a version of another key: whoever asks learns nothing of one that never was.
        version = next((one for one in key.versions if one.key_id == key_id), None)
        judged = version or key.newest
        await self._check(ask, key, judged, fits, Use.UNWRAP)
        wanted = [Usage.DECRYPT]
        decision = await self._judge(ask, key, judged, Use.UNWRAP, wanted, sealed, b"")
        async with self._records.of_use(ask, key, judged, decision, len(sealed)) as ending:
            if version is None:
                raise bad_ciphertext()
            async with within(seconds):
                plain = await self._hsm.pair_open(version.spec, sealed, seconds)
            ending.size = len(plain)
        return plain

    async def _check(
        self,
        ask: Ask,
        key: DoorKey,
        version: DoorVersion,
        fits: Callable[[DoorKey], None],
        use: Use,
    ) -> None:
        try:
            fits(key)
            check_state(key, version, use)
        except HyokError as error:
            await self._records.failed(ask, key, version, error)
            raise

    async def refused(self, ask: Ask, error: HyokError) -> None:
        """Record that a door refused what policy was not asked about; the caller raises it."""
        assert ask.use is not None
        ask = replace(ask, use=await self._named(ask.use))
        await self._decisions.failed(ask, "", b"", error)

    async def probe_pairs(self, seconds: float) -> Mapping[str, str]:
        """Return what fails in each token when it opens a message with a pair of the moment."""
        return await self._hsm.probe_pairs(seconds)

    async def probe(self, seconds: float) -> Mapping[str, str]:
        """Return what fails in each token when it seals and opens with a key of the moment."""
        return await self._hsm.probe_doors(seconds)

    async def _find(
        self, ask: Ask, sorts: Collection[Sort] | None = SECRETS
    ) -> tuple[Ask, DoorKey]:
        assert ask.use is not None
        ask = replace(ask, use=await self._named(ask.use))
        assert ask.use is not None
        try:
            found = await self.catalog.find(ask.use.tenant, ask.use.name)
            key = check_serves(found, ask.use, ask.principal.id, sorts)
        except HyokError as error:
            await self._decisions.failed(ask, "", b"", error)
            raise
        return ask, key

    async def _named(self, use: KeyUse) -> KeyUse:
        """Return it with the opaque id of whom it is for; without, where that cannot be had now."""
        if not use.caller:
            return use
        try:
            ref = ObjectRef(use.tenant, f"door:{use.door}", use.caller)
            return replace(use, caller_id=await self._opaque_id(ref))
        except HyokError:
            return use

    async def _permit(self, ask: Ask, key: DoorKey, label: str = "") -> Decision:
        return await self._decisions.permit(ask, key.classification, b"", label)

    async def _judge(
        self,
        ask: Ask,
        key: DoorKey,
        version: DoorVersion,
        use: Use,
        wanted: list[Usage],
        bytes_: bytes,
        data: bytes,
    ) -> Decision:
        """State, policy, size, purpose: in the order in which callers may see them refused."""
        try:
            check_state(key, version, use)
        except HyokError as error:
            await self._records.failed(ask, key, version, error)
            raise
        decision = await self._permit(ask, key, version.spec.kek_id)
        try:
            if len(bytes_) > PLAIN_BYTES_MAX or len(data) > DATA_BYTES_MAX:
                raise Malformed(
                    f"At most {PLAIN_BYTES_MAX} bytes are encrypted in one call, with 8192 beside.",
                    reason=TOO_LARGE,
                    code="HY-2605",
                )
            check_usage(key, *wanted)
        except HyokError as error:
            await self._records.failed(ask, key, version, error)
            raise
        return decision


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Bound what happens inside, waiting for a free line to the HSM included.

    Raises:
        Unavailable: it took longer (code HY-2608).
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(
            "The HSM did not answer in the time that this door has.",
            reason="Timeout",
            code="HY-2608",
            effect="Nothing was given out.",
            next_step="hyok hsm status shows each token and its last error.",
        ) from error


def not_openable() -> Tampered:
    """Return the one error of whatever does not open, for a door that sees so before the HSM."""
    return bad_ciphertext()


def is_bad_ciphertext(error: HyokError) -> bool:
    """Say whether an error blames what the caller sent, and nothing of ours."""
    return isinstance(error, Tampered) and error.reason == BAD_CIPHERTEXT


def _not_opened() -> Tampered:
    return Tampered(
        "The HSM does not open what it sealed a moment before.",
        code="HY-2606",
        effect="Nothing was given out.",
        next_step="hyok hsm prove; take this token out of service",
    )
