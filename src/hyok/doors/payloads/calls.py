"""Calls: a request that was proven to come from an app, and the questions that it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.doors.payloads.jwe import Kid
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.door_key import DoorVersion
    from hyok.vocabulary import Principal

DOOR = "payloads"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, proven to come from an app."""

    principal: Principal
    via: str  # how it proved itself: token, kubernetes
    operation: str
    body: bytes
    request_id: str
    origin: str
    at_ms: int
    seconds: Callable[[], float]  # what is left for the HSM
    owe: Callable[[int], None]  # told how many values it is about

    def ask(self, action: str, key: str) -> Ask:
        """Return the question to custody about a key of the caller's tenant."""
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
                name=key,
                operation=self.operation,
                via=self.via,
            ),
        )

    def kid(self, version: DoorVersion, name: str) -> Kid:
        return Kid(self.principal.tenant, name, version.number)
