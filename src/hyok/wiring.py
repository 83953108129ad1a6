"""Settings in, services out: the only place that knows every class.

Plain code, no container: read it from top to bottom to see what an installation is made of.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from os import urandom
from typing import TYPE_CHECKING

import structlog

from hyok.audit.client import JournalClient
from hyok.connections import build_hsm, build_store
from hyok.custody.approvals import Approvals
from hyok.custody.break_glass import GrantBook
from hyok.custody.bundles import PolicyBook, PolicyKeeper
from hyok.custody.custodian import KeyCustodian
from hyok.custody.door_catalog import DoorCatalog
from hyok.custody.door_wraps import DoorWraps
from hyok.custody.exceptions import ExceptionWatch
from hyok.custody.exposure import Exposures
from hyok.custody.failing_tokens import FailingTokens
from hyok.custody.freezes import Freezes
from hyok.custody.keks import KekCatalog
from hyok.custody.keyring import Keyring
from hyok.custody.keyring_rows import KeyringRows
from hyok.custody.officers import OfficerRegister
from hyok.custody.rotation import KeyRotation
from hyok.custody.secret_box import HsmSecretBox
from hyok.custody.shadow_book import ShadowBook
from hyok.custody.shadowing import ShadowWatch
from hyok.custody.told import ToldOnce
from hyok.custody.watch import HsmWatch
from hyok.database.engine import Database
from hyok.database.leases import Leases
from hyok.errors import Malformed
from hyok.http1.pump import PumpPool
from hyok.identity.access_keys import AccessKeys
from hyok.identity.door_tokens import DoorTokens
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.sessions import Sessions
from hyok.identity.web_identity import WebIdentities
from hyok.objects.adopting import Adopter
from hyok.objects.adoption import Adoptions
from hyok.objects.asides import Asides
from hyok.objects.inventory import Inventories
from hyok.objects.listing import Listings
from hyok.objects.mirror import StoreMirror
from hyok.objects.multipart import MultipartVault
from hyok.objects.places import Places
from hyok.objects.plain_versions import PlainVersions
from hyok.objects.registry import BucketKeeper, BucketRegistry
from hyok.objects.replacing import Replacements
from hyok.objects.streams import Rooms
from hyok.objects.uploads import UploadLedger
from hyok.objects.vault import ObjectVault
from hyok.officer.break_glass import BreakGlassDesk
from hyok.officer.hooks import Hooks
from hyok.policy.bundle import Bundle
from hyok.policy.bundle import load as load_policy
from hyok.policy.decision import CachedEngine, StoreFacts
from hyok.policy.shadow import ShadowNotes
from hyok.sockets import journal_socket

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.backends.port import ObjectStore
    from hyok.hsm.port import WrapHsm
    from hyok.policy.classifications import Classifications
    from hyok.settings import Settings

log = structlog.get_logger("hyok.wiring")

DECISIONS_REMEMBERED_MS = 30_000


def clock_ms() -> int:
    """Return unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def policy_files(directory: Path) -> dict[str, str]:
    """Return the files of a policies folder by their names in it.

    Raises:
        Malformed: there is no such folder.
    """
    patterns = (
        *("classifications/*.yaml", "rules/*.cedar", "cases/*.yaml"),
        *("schema.cedarschema", "exceptions.yaml"),
    )
    found = [path for pattern in patterns for path in sorted(directory.glob(pattern))]
    if not found:
        raise Malformed(
            f"{directory} holds no policy",
            code="HY-1101",
            next_step="name a folder with classifications/, rules/ and schema.cedarschema",
        )
    return {
        path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8") for path in found
    }


@dataclass(slots=True)
class Core:
    """Everything below the doors.  `close` it."""

    settings: Settings
    database: Database
    hsm: WrapHsm
    watch: HsmWatch
    journal: JournalClient
    classifications: Classifications
    keks: KekCatalog
    keyring: Keyring
    rotation: KeyRotation
    exposures: Exposures
    custodian: KeyCustodian
    doors: DoorWraps
    access_keys: AccessKeys
    door_tokens: DoorTokens
    sessions: Sessions
    identities: WebIdentities
    stores: dict[str, ObjectStore]
    mirror: StoreMirror
    places: Places
    registry: BucketRegistry
    keeper: BucketKeeper
    box: HsmSecretBox
    vault: ObjectVault
    multipart: MultipartVault
    listings: Listings
    pump: PumpPool
    inventories: Inventories
    adopter: Adopter
    plain_versions: PlainVersions
    leases: Leases
    register: OfficerRegister
    break_glass: BreakGlassDesk
    hooks: Hooks
    freezes: Freezes
    approvals: Approvals
    policies: PolicyBook
    policy: PolicyKeeper
    shadows: ShadowBook
    shadow: ShadowWatch
    exceptions: ExceptionWatch
    facts: dict[str, StoreFacts]

    async def close(self) -> None:
        """Let go of everything, in the order that loses nothing."""
        await self.hooks.close()
        await self.journal.close()
        await self.vault.ahead.close()
        for store in self.stores.values():
            await store.close()
        await self.hsm.close()
        self.pump.close()
        self.database.close()


def build_identities(settings: Settings, database: Database, sessions: Sessions) -> WebIdentities:
    """Return what judges tokens of the issuers in the settings."""
    wanted = settings.web_identity
    issuers: dict[str, IssuerKeys] = {}
    if wanted.issuers:
        # Half a second of imports that an installation without token issuers does not need.
        from hyok.identity.issuer_fetch import source_of  # noqa: PLC0415

        times = KeyTimes(
            refresh=wanted.keys_refresh_seconds,
            age_max=wanted.keys_age_seconds_max,
            pause=wanted.fetch_pause_seconds,
        )
        for issuer in wanted.issuers:
            fetch = source_of(issuer, wanted.fetch_seconds_max)
            issuers[issuer.issuer] = IssuerKeys(issuer.issuer, issuer.algorithms, fetch, times)
    return WebIdentities(database, sessions, issuers, skew_seconds=wanted.clock_skew_seconds)


def open_core(settings: Settings) -> Core:
    """Build everything below the doors.  On the loop that will use it.

    Raises:
        Malformed: settings or policies cannot stand.
        Unavailable: the database does not answer.
    """
    files = policy_files(settings.policies.directory)
    folder = load_policy(files)
    classifications = folder.classifications
    engine = CachedEngine(folder.engine, clock_ms=clock_ms, ttl_ms=DECISIONS_REMEMBERED_MS)
    database = Database(settings.database.url)
    database.migrate()
    pump = PumpPool(settings.gateway.pump_threads)
    hsm = build_hsm(settings)
    keks = KekCatalog(database, clock_ms)
    tokens = FailingTokens(hsm, clock_ms)
    watch = HsmWatch(hsm, keks)
    journal = JournalClient(journal_socket(settings))
    trials = settings.installation.run_directory / "stores"
    stores = {store.name: build_store(store, trials) for store in settings.stores}
    facts = {
        store.name: StoreFacts(
            jurisdiction=store.jurisdiction, control=store.control, use_case=store.use_case
        )
        for store in settings.stores
    }
    mirror = StoreMirror(stores)
    keyring = Keyring(
        database=database,
        hsm=hsm,
        tokens=tokens,
        keks=keks,
        mirror=mirror,
        entropy=urandom,
        clock_ms=clock_ms,
    )
    box = HsmSecretBox(hsm, keks, urandom)
    development = settings.installation.mode == "development"
    register = OfficerRegister(database, box, clock_ms, development=development)
    approvals = Approvals(database, box, register, development=development, clock_ms=clock_ms)
    book = PolicyBook(database, clock_ms)
    policy = PolicyKeeper(
        database=database,
        book=book,
        approvals=approvals,
        classifications=classifications,
        engine=engine,
        folder_digest=Bundle(0, files).digest,
        journal=journal,
        clock_ms=clock_ms,
    )
    parents = {store.name: store.parent for store in settings.stores}
    freezes = Freezes(database, clock_ms, parents)
    grants = GrantBook(database, box, journal, clock_ms)
    notes = ShadowNotes()
    custodian = KeyCustodian(
        classifications=classifications,
        engine=engine,
        store_facts=facts,
        zone=settings.installation.gateway_zone,
        journal=journal,
        hsm=hsm,
        tokens=tokens,
        watch=watch,
        keks=keks,
        keyring=keyring,
        entropy=urandom,
        clock_ms=clock_ms,
        freezes=freezes,
        policy=policy,
        grants=grants,
        every_decision=any(export.format == "adl" for export in settings.audit.exports),
        shadow=notes,
    )
    shadows = ShadowBook(database, box, clock_ms)
    told = ToldOnce(database, journal, clock_ms)
    access_keys = AccessKeys(database, box)
    issuers = [issuer.issuer for issuer in settings.web_identity.issuers]
    sessions = Sessions(database, box, issuers=issuers)
    registry = BucketRegistry(database, classifications, clock_ms)
    places = Places(stores, custodian)
    rooms = Rooms()
    leases = Leases(database, urandom, clock_ms)
    inventories = Inventories(database, box, urandom)
    adoptions = Adoptions(
        inventories=inventories,
        places=places,
        custodian=custodian,
        classifications=classifications,
        rooms=rooms,
    )
    vault = ObjectVault(
        places=places,
        custodian=custodian,
        classifications=classifications,
        rooms=rooms,
        pump=pump,
        entropy=urandom,
        adoptions=adoptions,
        replacements=Replacements(adoptions, leases),
    )
    keeper = BucketKeeper(
        registry=registry,
        custodian=custodian,
        classifications=classifications,
        places=places,
        mirror=mirror,
        box=box,
    )
    hooks = Hooks(settings.officers)
    return Core(
        approvals=approvals,
        policies=book,
        policy=policy,
        shadows=shadows,
        shadow=ShadowWatch(
            database=database,
            book=shadows,
            notes=notes,
            version=lambda: policy.version,
            journal=journal,
            told=told,
            opaque=custodian.opaque,
            clock_ms=clock_ms,
        ),
        exceptions=ExceptionWatch(policy, told, clock_ms),
        facts=facts,
        box=box,
        register=register,
        break_glass=BreakGlassDesk(grants, register, journal, hooks, clock_ms),
        hooks=hooks,
        freezes=freezes,
        settings=settings,
        database=database,
        hsm=hsm,
        watch=watch,
        journal=journal,
        classifications=classifications,
        keks=keks,
        keyring=keyring,
        rotation=KeyRotation(
            database=database,
            hsm=hsm,
            keks=keks,
            mirror=mirror,
            entropy=urandom,
            clock_ms=clock_ms,
        ),
        exposures=Exposures(keks, KeyringRows(database)),
        custodian=custodian,
        doors=DoorWraps(
            hsm=hsm,
            catalog=DoorCatalog(database, clock_ms),
            decisions=custodian.decisions,
            opaque_id=custodian.opaque_id,
            entropy=urandom,
        ),
        access_keys=access_keys,
        door_tokens=DoorTokens(database),
        sessions=sessions,
        identities=build_identities(settings, database, sessions),
        stores=stores,
        mirror=mirror,
        places=places,
        registry=registry,
        keeper=keeper,
        vault=vault,
        multipart=MultipartVault(vault, UploadLedger(database), Asides(database)),
        listings=Listings(places, custodian, urandom, inventories),
        pump=pump,
        inventories=inventories,
        adopter=Adopter(
            registry=registry,
            keeper=keeper,
            inventories=inventories,
            mirror=mirror,
            places=places,
            custodian=custodian,
            leases=leases,
        ),
        plain_versions=PlainVersions(places, inventories, custodian, clock_ms),
        leases=leases,
    )
