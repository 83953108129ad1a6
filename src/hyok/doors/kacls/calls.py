"""Calls: what every call to the key service shares: who asks, may they, and what the HSM does.

Source: Google "Client-side encryption API"; docs/keyservices/kacls.md; docs/adr/0034.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from hyok.custody.break_glass import PrivilegedCall
from hyok.custody.doors import Opening, Sealing, not_openable
from hyok.custody.key_states import ALLOWED_USES, Use
from hyok.doors.kacls import jws
from hyok.doors.kacls.blob import (
    FORM,
    Content,
    encode_content,
    head_of,
    parse_blob,
    parse_content,
)
from hyok.doors.kacls.rules import (
    Method,
    address,
    check_administrator,
    check_call,
    check_perimeter,
    check_resource,
    check_same_perimeter,
    check_user,
    folded,
    no,
)
from hyok.doors.serving_app import principal_of
from hyok.errors import NotFound, Refused
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.custody.door_uses import DoorUses
    from hyok.doors.kacls.blob import Blob
    from hyok.doors.kacls.claims import Authentication, Authorization
    from hyok.doors.kacls.config import KaclsSettings, ServiceSettings
    from hyok.doors.kacls.quotas import Quotas
    from hyok.doors.kacls.tokens import TokenJudge
    from hyok.doors.kacls.wire import Asked
    from hyok.doors.port import Apps
    from hyok.vocabulary import Principal

    Unwrap = Callable[[ServiceSettings, Mapping[str, str], float], Awaitable[bytes]]

DOOR = "kacls"
DELEGATED_SECONDS = 900
MIGRATION_SECONDS = 120
ENCRYPT, DECRYPT, SIGN = "key:encrypt", "key:decrypt", "key:sign"


class Grants(Protocol):
    """What officers approved; `hyok.custody.break_glass` has it."""

    async def covering_call(self, call: PrivilegedCall) -> str:
        """Return the id of a grant that covers this call now, or nothing."""
        ...


@dataclass(slots=True)
class Call:
    """One call on its way, and what has become known of it for the log."""

    method: Method
    request_id: str
    origin: str
    seconds: Callable[[], float]
    resource_name: str = ""
    reason: str = ""


class Calls:
    """One in each process.

    Args:
        settings: what this service is.
        tokens: says what a token says, and whether it counts.
        apps: finds the app in whose name the door uses keys.
        custody: the keys.
        grants: which privileged calls officers approved.
        quotas: how often a user may ask, and all together.
        unwrap: has another key service unwrap a key.
        check_reachable: raises while the HSM is known to be away.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self,
        settings: KaclsSettings,
        *,
        tokens: TokenJudge,
        apps: Apps,
        custody: DoorUses,
        grants: Grants,
        quotas: Quotas,
        unwrap: Unwrap,
        check_reachable: Callable[[], None],
        clock_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._own = settings.own
        self._tokens = tokens
        self._apps = apps
        self._custody = custody
        self._grants = grants
        self._quotas = quotas
        self._unwrap = unwrap
        self._check_reachable = check_reachable
        self._clock_ms = clock_ms

    async def _approved(self, call: Call, asked: Asked, action: str, key: str) -> Ask:
        """Return the ask of a privileged call, with what officers approved.

        Raises:
            NotAuthenticated: the token is not good (code HY-2680).
            Refused: neither administrator nor another service that may (code HY-2685, HY-2687), or
                officers did not approve it (HY-2685); it is on record.
        """
        call.resource_name = asked.resource_name
        moves = call.method is Method.PRIVILEGED_UNWRAP
        via = _via("", asked.perimeter_id)
        if moves and self._tokens.is_of_a_service(asked.authentication):
            said = await self._tokens.migration(asked.authentication)
            person = address(said.service)
            self._quotas.take(person)
            ask = await self._asked(call, action, key, person, via)
            async with self._refusals(ask):
                service = self._settings.service(said.service)
                if service is None or not service.may_unwrap:
                    raise not_listed(said.service)
                if address(said.kacls_url) != address(self._own.url):
                    raise no("the token is for another key service")
                check_resource(said.resource_name, asked.resource_name)
        else:
            who = await self._tokens.authentication(asked.authentication)
            person = folded(who.email)
            self._quotas.take(person)
            ask = await self._asked(call, action, key, person, via)
            async with self._refusals(ask):
                check_administrator(who, self._own)
        async with self._refusals(ask):
            grant = await self._grants.covering_call(
                PrivilegedCall(
                    app=ask.principal.id,
                    tenant=ask.principal.tenant,
                    door=DOOR,
                    key=key,
                    operation=str(call.method),
                    person=person,
                    resource=asked.resource_name,
                )
            )
            if not grant:
                raise Refused(
                    "No approval of officers covers this call.",
                    reason="AccessDenied",
                    code="HY-2685",
                    effect="Nothing was opened or wrapped.",
                    next_step="hyok break-glass request-door …",
                )
        return replace(ask, approval=grant)

    async def _both(self, call: Call, asked: Asked) -> tuple[Authorization, Authentication]:
        may = await self._tokens.authorization(asked.authorization)
        who = await self._tokens.authentication(asked.authentication)
        call.resource_name = may.resource_name
        self._quotas.take(folded(who.email))
        return may, who

    async def _authorization(self, call: Call, asked: Asked) -> Authorization:
        may = await self._tokens.authorization(asked.authorization)
        call.resource_name = may.resource_name
        self._quotas.take("")
        return may

    async def _check(
        self, call: Call, ask: Ask, may: Authorization, who: Authentication | None
    ) -> None:
        async with self._refusals(ask):
            if who is not None:
                check_user(call.method, who, may)
            check_call(call.method, may, self._own)
            check_perimeter(may.perimeter_id, self._own, who, call.origin)

    @asynccontextmanager
    async def _refusals(self, ask: Ask) -> AsyncIterator[None]:
        """Put on record what is refused inside."""
        try:
            yield
        except Refused as error:
            await self._custody.refused(ask, error)
            raise

    async def _seal(self, call: Call, ask: Ask, content: Content) -> bytes:
        return await self._sealed(call, ask, encode_content(content), FORM)

    async def _sealed(self, call: Call, ask: Ask, plain: bytes, form: int) -> bytes:
        self._check_reachable()
        name = self._settings.key
        # The wrapped key is the only copy of what is in it: the HSM opens it before it goes out.
        sealing = Sealing(plain, lambda version: head_of(name, version, form), lambda _: None)
        made = await self._custody.encrypt(ask, sealing, call.seconds())
        return head_of(name, made.version, form) + made.iv + made.ciphertext + made.tag

    async def _open(
        self,
        call: Call,
        ask: Ask,
        asked: Asked,
        perimeter_id: str | None,
        who: Authentication | None,
    ) -> Content:
        """Return what is in a wrapped key, if it is of this resource and its perimeter lets it out.

        ``perimeter_id``: under which it is asked for; None: the caller names none.
        """
        self._check_reachable()
        blob = parse_blob(asked.wrapped_key)
        if blob is None:
            await self._custody.refused(ask, error := not_openable())
            raise error
        content = parse_content(await self._decrypt(call, ask, blob))
        if content is None:
            await self._custody.refused(ask, error := not_openable())
            raise error
        async with self._refusals(ask):
            check_resource(content.resource_name, call.resource_name)
        await self._check_held(call, ask, content.perimeter_id, perimeter_id, who)
        return content

    async def _check_held(
        self, call: Call, ask: Ask, held: str, asked: str | None, who: Authentication | None
    ) -> None:
        """Return quietly if the perimeter that is inside a wrapped key lets it out.

        Raises:
            Refused: it does not (code HY-2681), or policy does not.
        """
        async with self._refusals(ask):
            if asked is not None:
                check_same_perimeter(held, asked, self._own)
            check_perimeter(held, self._own, who, call.origin)
        if held != (asked or ""):
            # Policy was asked about another one than it turned out to be.
            assert ask.use is not None
            application = ask.use.via.partition("/")[0]
            via = _via(application, held)
            await self._custody.describe(replace(ask, use=replace(ask.use, via=via)))

    async def _decrypt(self, call: Call, ask: Ask, blob: Blob, form: int = FORM) -> bytes:
        assert ask.use is not None
        ask = replace(ask, use=replace(ask.use, name=blob.key_name))
        data = head_of(blob.key_name, blob.version, form)
        opening = Opening(blob.version, blob.iv, blob.ciphertext, blob.tag, data)
        try:
            return await self._custody.decrypt(ask, opening, call.seconds())
        except NotFound:
            if blob.key_name == self._settings.key:
                raise
            # The caller chose that name: it is their bytes that are wrong, not our settings.
            raise not_openable() from None

    async def _signed(
        self, call: Call, ask: Ask, claims: Mapping[str, object], seconds: int
    ) -> str:
        """Return a token of this service, signed in the HSM."""
        self._check_reachable()
        now = self._clock_ms() // 1000
        newest = (await self._pair(ask.principal)).newest
        whole = {"iss": self._own.url, **claims, "iat": now, "exp": now + seconds}
        text = jws.signing_input(newest.key_id, whole)
        signature = await self._custody.sign_rsa(
            ask, jws.digest_of(text), call.seconds(), newest.number
        )
        return jws.joined(text, signature)

    async def certs(self) -> bytes:
        """Return the key set by which others verify what this service signs."""
        return jws.key_set(await self.public_keys())

    async def public_keys(self) -> Sequence[tuple[str, bytes]]:
        """Return ids and public keys of the signing key's versions; of one that is stopped none.

        Raises:
            NotFound: there is no such pair, or it serves another app (code HY-2601).
            Refused: the app is not there (code HY-2684).
        """
        pair = await self._pair(await self._principal())
        if Use.UNWRAP not in ALLOWED_USES[pair.state]:
            return ()
        versions: Sequence[DoorVersion] = pair.living
        return [(one.key_id, one.spec.public_key) for one in versions]

    async def _pair(self, principal: Principal) -> DoorKey:
        return await self._custody.signing_pair(
            principal.tenant, self._settings.signing_key, principal.id
        )

    async def _ask(
        self, call: Call, action: str, caller: str, may: Authorization, key: str = ""
    ) -> Ask:
        via = _via(may.application, may.perimeter_id)
        return await self._asked(call, action, key or self._settings.key, caller, via)

    async def _asked(self, call: Call, action: str, key: str, caller: str, via: str) -> Ask:
        principal = await self._principal()
        return Ask(
            principal=principal,
            action=action,
            bucket=None,
            key="",
            request_id=call.request_id,
            origin=call.origin,
            at_ms=self._clock_ms(),
            use=KeyUse(
                door=DOOR,
                tenant=principal.tenant,
                name=key,
                operation=str(call.method),
                caller=caller,
                via=via,
                resource=call.resource_name,
            ),
        )

    async def _principal(self) -> Principal:
        """Return the app in whose name keys are used.

        Raises:
            Refused: it was revoked, or is for more than keys (code HY-2684).
        """
        return await principal_of(
            self._apps,
            self._settings.app,
            code="HY-2684",
            effect="Nobody opens or encrypts anything through this door.",
        )


def _via(application: str, perimeter_id: str) -> str:
    return f"{application}/{perimeter_id}" if perimeter_id else application


def not_listed(url: str) -> Refused:
    return Refused(
        f"The key service {url[:200]!r} is not on the list for this.",
        reason="AccessDenied",
        code="HY-2687",
        effect="It was not asked, and nothing was unwrapped for it.",
        next_step="[[doors.kacls.services]]",
    )
