"""Every column that holds what the installation's own key seals: the only place that knows all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.break_glass import EPOCH as GRANTS_EPOCH
from hyok.custody.break_glass import grant_purpose, review_purpose
from hyok.custody.cases import CaseReader
from hyok.custody.officers import register_purpose
from hyok.custody.sealed_rows import SealedColumn, SealedRows
from hyok.custody.shadow_book import EPOCH as SHADOW_EPOCH
from hyok.custody.shadow_book import PURPOSE as SHADOW_PURPOSE
from hyok.database.tables import (
    access_keys,
    adoptions,
    break_glass,
    officer_register,
    officer_sessions,
    policy_shadow,
    session_keys,
)
from hyok.identity.access_keys import secret_purpose
from hyok.identity.apps import EPOCH as CREDENTIALS_EPOCH
from hyok.identity.sessions import session_key_purpose
from hyok.objects.inventory import inventory_purpose
from hyok.objects.registration_renewal import Registrations
from hyok.officer.sessions import session_purpose

if TYPE_CHECKING:
    from hyok.wiring import Core

COLUMNS = (
    SealedColumn(
        access_keys.c.sealed_secret,
        lambda row: secret_purpose(row["app_id"], row["access_key"]),
        CREDENTIALS_EPOCH,
    ),
    SealedColumn(
        session_keys.c.sealed_key, lambda row: session_key_purpose(row["key_id"]), CREDENTIALS_EPOCH
    ),
    SealedColumn(adoptions.c.sealed_key, lambda row: inventory_purpose(row["bucket_id"])),
    SealedColumn(officer_register.c.sealed, lambda row: register_purpose(row["number"])),
    SealedColumn(officer_sessions.c.sealed, lambda row: session_purpose(row["session_id"])),
    SealedColumn(break_glass.c.sealed, lambda row: grant_purpose(row["grant_id"]), GRANTS_EPOCH),
    SealedColumn(
        break_glass.c.sealed_review, lambda row: review_purpose(row["grant_id"]), GRANTS_EPOCH
    ),
    SealedColumn(policy_shadow.c.sealed, lambda _row: SHADOW_PURPOSE, SHADOW_EPOCH),
)
"""All but those of proposals, which `CaseReader` renews with the signatures that they bind.

`stores.sealed_credentials` is of a later version: nothing writes it, and a test sees that nothing
else is forgotten here.
"""


def sealed_rows(core: Core) -> SealedRows:
    """Return what renews and counts the rows of the installation's own key."""
    return SealedRows(
        core.database,
        core.box,
        COLUMNS,
        CaseReader(core.database, core.box, core.register),
        Registrations(core.registry, core.keeper, core.mirror),
    )
