"""The acts of one officer about the policy in shadow: begin one, end it, and propose exactly it.

One officer is enough: a shadow opens and closes nothing, and it is what the second officer looks at
before they approve.  Both acts are on the audit log before they happen and again when they have.

Source: docs/adr/0020-a-shadow-answers-nobody.md.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.custody.exceptions import first_approved
from hyok.custody.quorum import Role
from hyok.custody.shadow_book import no_shadow
from hyok.errors import Conflict, HyokError, Malformed, Refused
from hyok.officer.policy_acts import SYSTEM, fit
from hyok.policy.bundle import Bundle
from hyok.policy.exceptions import check_terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from hyok.audit.port import Journal
    from hyok.custody.bundles import PolicyBook
    from hyok.custody.officers import OfficerRegister
    from hyok.custody.shadow_book import Shadow, ShadowBook
    from hyok.custody.signing import Signer

REASON_CHARS_MAX = 2_000


class ShadowDesk:
    """Made where an officer acts.

    Args:
        used: returns the classifications under which something is kept.
    """

    def __init__(
        self,
        *,
        register: OfficerRegister,
        policies: PolicyBook,
        shadows: ShadowBook,
        used: Callable[[], Awaitable[frozenset[str]]],
        journal: Journal,
        clock_ms: Callable[[], int],
    ) -> None:
        self._register = register
        self._policies = policies
        self._shadows = shadows
        self._used = used
        self._journal = journal
        self._clock_ms = clock_ms

    async def begin(self, signer: Signer, files: Mapping[str, str], reason: str) -> Shadow:
        """Have every gateway decide these files beside its policy, instead of a shadow before.

        Raises:
            NotAuthenticated, Refused: it is no security officer who asks (HY-2501, HY-2502).
            Malformed: no reason; or it could never be in force.
        """
        person = await self._person(signer)
        if not reason.strip() or len(reason) > REASON_CHARS_MAX:
            raise Malformed(
                f"a reason of 1 to {REASON_CHARS_MAX} characters is wanted",
                effect="No policy was put in shadow.",
                next_step="--reason TEXT",
            )
        policy = fit(files, await self._used())
        check_terms(policy.exceptions, self._clock_ms(), await first_approved(self._policies))
        bundle = Bundle(await self._policies.next_version(), files)
        async with self._recorded("policy:shadow", person, bundle.digest):
            return await self._shadows.put(bundle, f"officer:{person}", reason)

    async def stop(self, signer: Signer) -> None:
        """End the shadow; nothing else changes.

        Raises:
            NotAuthenticated, Refused: it is no security officer who asks.
            NotFound: there is none (code HY-2404).
        """
        person = await self._person(signer)
        async with self._recorded("policy:shadow-stop", person):
            await self._shadows.stop()

    async def to_enforce(self) -> Bundle:
        """Return the bundle in shadow, kept, so that exactly its bytes can be proposed.

        Raises:
            NotFound: none is in shadow (code HY-2404).
            Conflict: another policy came in force since it began (code HY-2405).
            Tampered: its row is not genuine.
        """
        found = await self._shadows.current()
        if found is None:
            raise no_shadow()
        _, bundle = found
        if bundle.version != await self._policies.next_version():
            raise Conflict(
                "Another policy came in force since this one went into shadow.",
                code="HY-2405",
                effect="Nothing was proposed.",
                next_step="hyok policy shadow FOLDER, to see it beside the policy of now",
            )
        await self._policies.keep(bundle)
        return bundle

    async def _person(self, signer: Signer) -> str:
        officer = (await self._register.read()).person_of(signer.identity)
        if Role.SECURITY not in officer.roles:
            raise Refused(
                "A security officer decides what is in shadow.",
                code="HY-2502",
                effect="Nothing was changed.",
                next_step="ask one: hyok officers list",
            )
        return officer.person

    @asynccontextmanager
    async def _recorded(self, action: str, person: str, digest: str = "") -> AsyncIterator[None]:
        """Have an act on the log before it happens, and what came of it after."""
        await self._record(action, person, digest, "pending")
        try:
            yield
        except HyokError as error:
            word = f"{type(error).__name__}:{error.code or error.reason}"
            await self._record(action, person, digest, "failed", word)
            raise
        await self._record(action, person, digest, "done")

    async def _record(
        self, action: str, person: str, digest: str, outcome: str, error: str = ""
    ) -> None:
        now = self._clock_ms()
        await self._journal.record(
            AuditRecord(
                at_ms=now,
                phase="intend" if outcome == "pending" else "conclude",
                action=action,
                outcome=outcome,
                actor=f"officer:{person}",
                tenant=SYSTEM,
                origin="local",
                request_id=f"{now:016X}",
                reasons=(f"bundle-sha256:{digest}",) if digest else (),
                error=error,
            ),
            durable=True,
        )
