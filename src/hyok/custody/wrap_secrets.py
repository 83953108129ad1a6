"""WrapSecrets: under which secret a data key is wrapped, by the classification's key mode.

Source: docs/format.md, sections 7 and 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hyok.custody.intermediate_key import Lifetime
from hyok.custody.key_states import ALLOWED_USES, Use, check_use
from hyok.custody.secrets_cache import ByteSecrets
from hyok.envelope.block import Envelope, Mode, check_scope
from hyok.envelope.keys import KEY_BYTES
from hyok.envelope.profiles import PROFILES
from hyok.errors import Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.failing_tokens import FailingTokens
    from hyok.custody.fixed_keys import FixedKeys
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.keyring import Keyring
    from hyok.custody.port import RecoveredKey
    from hyok.custody.upload_secrets import UploadSecrets
    from hyok.custody.watch import HsmWatch
    from hyok.envelope.profiles import Profile
    from hyok.hsm.port import Hsm
    from hyok.policy.classifications import Classification, Classifications
    from hyok.vocabulary import Ask

DIRECT_SCOPE = "object"
_MODE_WORDS = {mode: mode.name.lower() for mode in Mode}


class WrapSecret(NamedTuple):
    """A secret and what the envelope says of it."""

    mode: Mode
    profile: Profile
    kek_id: str
    scope: str
    token: bytes
    secret: bytes


class WrapSecrets:
    """Secrets of the HSM and of the keyring, remembered as long as the classification says."""

    def __init__(
        self,
        *,
        classifications: Classifications,
        hsm: Hsm,
        tokens: FailingTokens,
        watch: HsmWatch,
        keks: KekCatalog,
        keyring: Keyring,
        fixed: FixedKeys,
        uploads: UploadSecrets,
        clock_ms: Callable[[], int],
    ) -> None:
        self._classifications = classifications
        self._hsm = hsm
        self._tokens = tokens
        self._watch = watch
        self._keks = keks
        self._keyring = keyring
        self._fixed = fixed
        self._uploads = uploads
        self._embedded = ByteSecrets(clock_ms)
        self._read_secrets = ByteSecrets(clock_ms)

    async def scope(self, ask: Ask, rule: Classification) -> str:
        """Return the scope of a new object."""
        assert ask.bucket is not None
        if rule.keys.mode == "direct":
            return DIRECT_SCOPE
        if rule.keys.scope == "subject" and ask.scope_label:
            return await self._fixed.subject_scope(ask.bucket.tenant, ask.scope_label)
        return f"bucket:{ask.bucket.bucket_id}"

    async def current(self, ask: Ask, rule: Classification, scope: str) -> WrapSecret:
        """Return the secret that wraps new objects of this scope.

        Raises:
            Unavailable: HSM, database or mirror do not answer.
        """
        assert ask.bucket is not None
        assert ask.classification is not None
        tenant = ask.bucket.tenant
        if rule.keys.mode == "keyring":
            self._watch.check_memory_serves(rule)
            ik = await self._keyring.current(
                ask.bucket,
                tenant,
                ask.classification,
                scope,
                _lifetime(rule),
                mirrored=not rule.keys.shreddable,
            )
            return WrapSecret(
                Mode.KEYRING, ik.profile, ik.kek_id, scope, ik.ik_id, bytes(ik.secret)
            )
        kek = await self._keks.active(tenant, ask.classification)
        check_use(kek.state, Use.WRAP)
        profile = PROFILES[kek.spec.profile]
        if rule.keys.mode == "direct":
            token, secret = await self._hsm.new_token(kek.spec, scope)
            return WrapSecret(Mode.DIRECT, profile, kek.kek_id, scope, token, secret)
        self._watch.check_memory_serves(rule)

        async def joined() -> bytes:
            token, secret = await self._hsm.new_token(kek.spec, scope)
            return secret + token

        both = await self._embedded.copy_of((kek.kek_id, scope), _lifetime(rule).write_ms, joined)
        secret, token = both[:KEY_BYTES], both[KEY_BYTES:]
        return WrapSecret(Mode.EMBEDDED, profile, kek.kek_id, scope, token, secret)

    async def wrapping_kek(self, ask: Ask) -> Kek:
        """Return the key version under which new objects of this classification are kept.

        Raises:
            Unavailable: there is none.
        """
        assert ask.bucket is not None
        assert ask.classification is not None
        return await self._keks.active(ask.bucket.tenant, ask.classification)

    async def check_renewable(self, key: RecoveredKey) -> None:
        """Return quietly if a new wrapping of this key is worth anything.

        Raises:
            Refused: whoever had the old key may have had this one (code HY-2308).
        """
        kek = await self._keks.find(key.kek_id)
        if kek is None or Use.CONTINUE not in ALLOWED_USES[kek.state]:
            raise Refused(
                "The key of this object was compromised: a new wrapping of it would not help.",
                reason="AccessDenied",
                code="HY-2308",
                next_step="seal the object anew: hyok jobs reseal BUCKET",
            )

    async def of_stored(
        self, ask: Ask, kek: Kek, found: Envelope, upload_id: str = ""
    ) -> tuple[Kek, bytes]:
        """Return the secret of a stored object, and the KEK under which it is kept now.

        ``kek`` is what `kek_named` returned for this envelope; ``upload_id`` names the upload of
        ours, still open, that it belongs to.
        """
        use = Use.CONTINUE if upload_id else Use.UNWRAP
        if found.mode is Mode.KEYRING:
            return await self._of_record(ask, kek, found, use)
        check_use(kek.state, use)
        if found.mode is Mode.EMBEDDED:
            return kek, await self._of_shared_token(ask, kek, found)
        if not upload_id:
            return kek, await self._of_token(ask, kek, found)
        self._watch.check_memory_serves(self._classifications.get(kek.classification))
        secret = await self._uploads.get(
            ask, upload_id, found, lambda: self._of_token(ask, kek, found)
        )
        return kek, secret

    async def kek_named(self, ask: Ask, found: Envelope) -> Kek:
        """Return the KEK that an envelope names, if it may serve this object (format.md §7)."""
        assert ask.bucket is not None
        check_scope(found.scope, ask.bucket.bucket_id)
        if (found.scope == DIRECT_SCOPE) is not (found.mode is Mode.DIRECT):
            raise Tampered("the envelope's scope does not fit its mode")
        kek = await self._keks.find(found.kek_id)
        if kek is None or kek.tenant != ask.bucket.tenant:
            raise Refused("The object's key is not one of ours.", reason="AccessDenied")
        # In mode keyring the record decides, and it may have been rewritten under another profile.
        if found.mode is not Mode.KEYRING and kek.spec.profile != found.profile:
            raise Tampered("the envelope names another profile than its key has")
        self._rule_of(ask, kek, found.mode)
        return kek

    async def _of_record(
        self, ask: Ask, decided: Kek, found: Envelope, use: Use
    ) -> tuple[Kek, bytes]:
        """Return the IK and the KEK of its record, which was judged like the envelope's."""
        assert ask.bucket is not None
        named: list[Kek] = []

        def judge(kek: Kek) -> int:
            rule = self._rule_of(ask, kek, Mode.KEYRING)
            if kek.classification != decided.classification:
                # A record never changes its classification, and the other one was decided about.
                raise Tampered("the envelope names another classification than its key's")
            check_use(kek.state, use)
            self._watch.check_memory_serves(rule)
            named[:] = [kek]
            return _lifetime(rule).read_ms

        ik = await self._keyring.recover(
            found.token, ask.bucket.tenant, found.scope, ask.bucket, judge
        )
        return named[0], bytes(ik.secret)

    async def _of_token(self, ask: Ask, kek: Kek, found: Envelope) -> bytes:
        return await self._tokens.secret(ask.ref.bucket_id, kek.spec, found.scope, found.token)

    async def _of_shared_token(self, ask: Ask, kek: Kek, found: Envelope) -> bytes:
        rule = self._classifications.get(kek.classification)
        ttl_ms = _lifetime(rule).read_ms
        if ttl_ms:
            self._watch.check_memory_serves(rule)
        return await self._read_secrets.copy_of(
            (found.profile, found.kek_id, found.scope, found.token),
            ttl_ms,
            lambda: self._of_token(ask, kek, found),
        )

    def sweep(self) -> None:
        """Drop what is past its time."""
        self._embedded.sweep()
        self._read_secrets.sweep()

    def _rule_of(self, ask: Ask, kek: Kek, mode: Mode) -> Classification:
        """Return the rule of the KEK's classification, if it may stand in this bucket.

        One of the checks of format.md §7 that come before any key is asked for.

        Raises:
            Refused: it may not, or objects of it are not kept in this mode.
        """
        bucket = ask.bucket
        assert bucket is not None
        if kek.tenant != bucket.tenant:
            raise Refused("The object's key is not one of ours.", reason="AccessDenied")
        if kek.classification not in bucket.allowed:
            raise Refused(
                "The object's classification is not allowed in this bucket.",
                reason="AccessDenied",
                code="HY-2305",
            )
        rule = self._classifications.get(kek.classification)
        if rule.keys.mode != _MODE_WORDS[mode]:
            raise Refused(
                "Objects of this classification do not keep their keys this way.",
                reason="AccessDenied",
                code="HY-2306",
            )
        return rule


def _lifetime(rule: Classification) -> Lifetime:
    return Lifetime(
        write_ms=rule.keys.write_ttl_ms,
        writes_max=1 << 20,
        read_ms=rule.keys.read_cache_ms,
    )
