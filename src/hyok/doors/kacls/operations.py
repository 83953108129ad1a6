"""Operations: what the key service does for a call, after everything that it has to check.

In this order, which is what a caller sees refused: tokens, rate, app, user, role and service,
perimeter, approval, the key's state, policy, and last what the wrapped key itself says.

Source: Google "Client-side encryption API"; docs/keyservices/kacls.md; docs/adr/0034.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from hyok.doors.kacls import wire
from hyok.doors.kacls.blob import (
    Content,
    parse_blob,
    resource_key_hash,
)
from hyok.doors.kacls.calls import (
    DECRYPT,
    DELEGATED_SECONDS,
    ENCRYPT,
    MIGRATION_SECONDS,
    SIGN,
    Call,
    Calls,
    not_listed,
)
from hyok.doors.kacls.claims import GUEST_CLAIM
from hyok.doors.kacls.config import MIGRATION_AUDIENCE
from hyok.doors.kacls.rules import (
    Method,
    check_perimeter,
)
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.doors.kacls.config import KaclsSettings, ServiceSettings
    from hyok.doors.kacls.wire import Asked

    Unwrap = Callable[[ServiceSettings, Mapping[str, str], float], Awaitable[bytes]]


class Operations(Calls):
    """One in each process."""

    async def perform(self, call: Call, asked: Asked) -> bytes:
        """Return the answer to a call of a method that is served.

        Raises:
            HyokError: it is refused, or cannot be done; `faults` says how that is told.
        """
        match call.method:
            case Method.WRAP:
                return await self._wrap(call, asked)
            case Method.UNWRAP:
                return await self._unwrap_key(call, asked)
            case Method.DIGEST:
                return await self._digest(call, asked)
            case Method.REWRAP:
                return await self._rewrap(call, asked)
            case Method.DELEGATE:
                return await self._delegate(call, asked)
            case Method.PRIVILEGED_WRAP:
                return await self._privileged_wrap(call, asked)
            case _:
                assert call.method is Method.PRIVILEGED_UNWRAP
                return await self._privileged_unwrap(call, asked)

    # -- with an authorization of Google's ---------------------------------------------------------

    async def _wrap(self, call: Call, asked: Asked) -> bytes:
        may, who = await self._both(call, asked)
        ask = await self._ask(call, ENCRYPT, who.email, may)
        await self._check(call, ask, may, who)
        content = Content(asked.key, may.resource_name, may.perimeter_id)
        return wire.render_wrapped(await self._seal(call, ask, content))

    async def _unwrap_key(self, call: Call, asked: Asked) -> bytes:
        may, who = await self._both(call, asked)
        ask = await self._ask(call, DECRYPT, who.email, may)
        await self._check(call, ask, may, who)
        content = await self._open(call, ask, asked, may.perimeter_id, who)
        return wire.render_key(content.data_key)

    async def _digest(self, call: Call, asked: Asked) -> bytes:
        may = await self._authorization(call, asked)
        ask = await self._ask(call, DECRYPT, "", may)
        await self._check(call, ask, may, None)
        content = await self._open(call, ask, asked, may.perimeter_id, None)
        return wire.render_digest(resource_key_hash(content))

    async def _rewrap(self, call: Call, asked: Asked) -> bytes:
        may = await self._authorization(call, asked)
        ask = await self._ask(call, ENCRYPT, "", may)
        await self._check(call, ask, may, None)
        service = self._settings.service(asked.original_kacls_url)
        async with self._refusals(ask):
            if service is None or not service.rewrap_from:
                raise not_listed(asked.original_kacls_url)
        assert service is not None
        token = await self._signed(
            call,
            await self._ask(call, SIGN, "", may, self._settings.signing_key),
            {
                "aud": MIGRATION_AUDIENCE,
                "kacls_url": asked.original_kacls_url,
                "resource_name": may.resource_name,
            },
            MIGRATION_SECONDS,
        )
        body = {
            "authentication": token,
            "reason": asked.reason,
            "resource_name": may.resource_name,
            "wrapped_key": b64encode(asked.wrapped_key).decode("ascii"),
        }
        try:
            key = await self._unwrap(service, body, call.seconds())
        except HyokError as error:
            await self._custody.refused(ask, error)
            raise
        content = Content(key, may.resource_name, may.perimeter_id)
        blob = await self._seal(call, ask, content)
        return wire.render_rewrapped(blob, resource_key_hash(content))

    async def _delegate(self, call: Call, asked: Asked) -> bytes:
        may, who = await self._both(call, asked)
        ask = await self._ask(call, SIGN, who.email, may, self._settings.signing_key)
        await self._check(call, ask, may, who)
        names = ("email", "google_email")
        said = {name: who.claims[name] for name in names if name in who.claims}
        guest: Mapping[str, object] = {GUEST_CLAIM: True} if who.guest else {}
        claims = {
            **said,
            **guest,
            "aud": self._settings.delegated_audience,
            "delegated_to": may.delegated_to,
            "resource_name": may.resource_name,
        }
        return wire.render_delegated(await self._signed(call, ask, claims, DELEGATED_SECONDS))

    # -- with an approval of officers --------------------------------------------------------------

    async def _privileged_wrap(self, call: Call, asked: Asked) -> bytes:
        ask = await self._approved(call, asked, ENCRYPT, self._settings.key)
        async with self._refusals(ask):
            check_perimeter(asked.perimeter_id, self._own, None, call.origin)
        content = Content(asked.key, asked.resource_name, asked.perimeter_id)
        return wire.render_wrapped(await self._seal(call, ask, content))

    async def _privileged_unwrap(self, call: Call, asked: Asked) -> bytes:
        blob = parse_blob(asked.wrapped_key)
        name = blob.key_name if blob is not None else self._settings.key
        ask = await self._approved(call, asked, DECRYPT, name)
        content = await self._open(call, ask, asked, None, None)
        return wire.render_key(content.data_key)


def served_by(settings: KaclsSettings) -> tuple[Method, ...]:
    """Return the methods that these settings have served."""
    found = [Method.STATUS, Method.WRAP, Method.UNWRAP, Method.DIGEST]
    if settings.signing_key:
        found += [Method.CERTS, Method.DELEGATE]
    if any(one.rewrap_from for one in settings.services):
        found.append(Method.REWRAP)
    if settings.administrators:
        found.append(Method.PRIVILEGED_WRAP)
    if settings.private_key:
        found += [Method.PRIVATE_KEY_DECRYPT, Method.PRIVATE_KEY_SIGN]
    if settings.private_key and settings.administrators:
        found += [Method.PRIVILEGED_PRIVATE_KEY_DECRYPT, Method.WRAP_PRIVATE_KEY]
    if settings.administrators or any(one.may_unwrap for one in settings.services):
        found.append(Method.PRIVILEGED_UNWRAP)
    return tuple(found)
