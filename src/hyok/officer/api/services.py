"""What the officers' door stands on: built by others, handed in whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.audit.port import Journal
    from hyok.custody.authenticators import AuthenticatorBook
    from hyok.custody.keks import KekCatalog
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.identity.access_keys import AccessKeys
    from hyok.identity.guesses import FailureLimit
    from hyok.identity.oidc import Attempt, OidcSignIn
    from hyok.identity.passkeys import Site
    from hyok.objects.registry import BucketRegistry
    from hyok.officer.actions import OfficerActions
    from hyok.officer.break_glass import BreakGlassDesk
    from hyok.officer.challenges import Challenges, Waiting
    from hyok.officer.sessions import SessionBook
    from hyok.policy.classifications import Classifications


@dataclass(frozen=True, slots=True)
class Services:
    """Made once in each process; `app.state.services`."""

    actions: OfficerActions
    break_glass: BreakGlassDesk
    authenticators: AuthenticatorBook
    challenges: Challenges
    attempts: Waiting[Attempt]
    sessions: SessionBook
    sign_in: OidcSignIn | None  # None: no identity provider in the settings
    box: HsmSecretBox
    registry: BucketRegistry
    access_keys: AccessKeys
    keks: KekCatalog
    classifications: Classifications
    records: Callable[[str], Sequence[Mapping[str, object]]]  # of a request id; blocking
    journal: Journal
    failures: FailureLimit
    site: Site
    development: bool
    clock_ms: Callable[[], int]
    entropy: Callable[[int], bytes]
