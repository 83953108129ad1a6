"""What the installation's own key seals, over one worker's vaults."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tests.unit.custody.test_custodian import CLASSES

from hyok.custody.cases import CaseReader
from hyok.custody.officers import OfficerRegister
from hyok.custody.sealed_rows import SealedRows
from hyok.custody.secret_box import HsmSecretBox
from hyok.objects.mirror import StoreMirror
from hyok.objects.registration_renewal import Registrations
from hyok.objects.registry import BucketKeeper, BucketRegistry
from hyok.secret_rows import COLUMNS

if TYPE_CHECKING:
    from tests.unit.objects.vaults import Vaults


def own_rows(vaults: Vaults) -> SealedRows:
    house = vaults.house
    box = HsmSecretBox(house.hsm, house.keks, secrets.token_bytes)
    registry = BucketRegistry(house.database, CLASSES, lambda: house.now[0])
    mirror = StoreMirror({"local": vaults.store})
    keeper = BucketKeeper(
        registry=registry,
        custodian=house.custodian,
        classifications=CLASSES,
        places=vaults.vault.places,
        mirror=mirror,
        box=box,
    )
    register = OfficerRegister(house.database, box, lambda: house.now[0])
    return SealedRows(
        house.database,
        box,
        COLUMNS,
        CaseReader(house.database, box, register),
        Registrations(registry, keeper, mirror),
    )
