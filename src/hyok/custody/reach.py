"""Can the officers who are left still change who the officers are?

Before somebody leaves, or a key of theirs is taken away, two others must be left who can bring in
a third: else one officer could make themselves the last one, and everybody else for ever a guest.

Source: docs/officers.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.quorum import ACTS, Act
from hyok.custody.signing import DEVELOPMENT, ED25519, WEBAUTHN
from hyok.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hyok.custody.quorum import Officer

TOGETHER = 2
"""An author and one who approves."""


def check_reach(
    officers: Iterable[Officer], identities: Mapping[str, str], *, development: bool
) -> None:
    """Return quietly if these officers can register another one, each by their own hand.

    A login at an identity provider is no hand of anybody's: who runs the provider has it too.

    Args:
        officers: as they would be.
        identities: whose each is; as they would be.
        development: whether development logins count.

    Raises:
        Conflict: they could not (code HY-2510).
    """
    hands = {ED25519, WEBAUTHN} | ({DEVELOPMENT} if development else set())
    able = {who for word, who in identities.items() if word.partition(":")[0] in hands}
    rule = ACTS[Act.ADD_OFFICER]
    left = [one for one in officers if one.active and one.person in able]
    approving = [one for one in left if one.roles & rule.approve]
    if len(approving) < TOGETHER or not any(one.roles & rule.propose for one in approving):
        raise Conflict(
            f"Fewer than {TOGETHER} officers would be left who can register another one with a "
            "key or authenticator of their own.",
            code="HY-2510",
            effect="Nothing was changed.",
            next_step="hyok officers add, or hyok officers add-identity, first",
        )
