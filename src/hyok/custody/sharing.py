"""When a copy may share its source's data key, so that the store copies the sealed bytes itself.

Two objects with one data key live and die together: whoever may open one has what opens the other,
and destroying the key of one alone would leave the other's bytes readable.  So a copy shares only
where both are destroyed by the same act anyway: one classification and one KEK version (which name
the tenant as well), one shred scope, and never where each object must have a key of its own.

Source: docs/format.md, section 9; docs/adr/0015-copies-that-share-a-data-key.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.envelope.block import Mode

if TYPE_CHECKING:
    from hyok.custody.port import RecoveredKey
    from hyok.custody.wrap_secrets import WrapSecret
    from hyok.envelope.block import Envelope
    from hyok.policy.classifications import Classification


def may_share_mode(rule: Classification, found: Envelope) -> bool:
    """Say whether objects of this classification share keys at all, the stored one included."""
    return found.mode is not Mode.DIRECT and rule.keys.mode == found.mode.name.lower()


def may_share(key: RecoveredKey, wrap: WrapSecret, rule: Classification) -> bool:
    """Say whether a copy that would be wrapped with ``wrap`` may have this object's data key."""
    return may_share_mode(rule, key.envelope) and (
        key.classification,
        key.kek_id,
        key.envelope.scope,
    ) == (rule.classification, wrap.kek_id, wrap.scope)
