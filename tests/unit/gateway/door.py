"""A door with fakes behind it: signed requests in, answers out, no socket and no key."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import md5, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hyok.backends.port import Deleted
from hyok.errors import Conflict, HyokError, Malformed, NotFound
from hyok.gateway.admission import Admission
from hyok.gateway.app import Gateway
from hyok.gateway.call import NewBuckets, Services
from hyok.objects.facts import ObjectFacts, PutFacts
from hyok.objects.listing import Page
from hyok.objects.streams import Rooms
from hyok.objects.upload_answers import Begun, Completed, Listed
from hyok.objects.uploads import Upload, UploadPart
from hyok.objects.vault import PutResult
from hyok.objects.version_listing import Versions
from hyok.policy.classifications import Classifications
from hyok.s3.answers import Entries, Entry
from hyok.s3.checksums import Algorithm, encode
from hyok.s3.locks import LockAsked, LockConfiguration, no_configuration
from hyok.s3.names import part_etag_out
from hyok.s3.versions import Versioning
from hyok.sigv4.canonical import render_query
from hyok.sigv4.sign import Signer
from hyok.vocabulary import Bucket, ClassificationName, MemorySource, Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.objects.conditions import Condition
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
AKID, SECRET = "HYOKTESTACCESSKEY", "test-secret"
WHOLE = 1 << 20
POLICIES = Path(__file__).parents[3] / "policies" / "classifications"


def load_classifications() -> Classifications:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in POLICIES.glob("*.yaml")}
    return Classifications.load(texts)


# --- the wire ------------------------------------------------------------------------------------


@dataclass
class FakeHead:
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    peer: str = "192.0.2.7"


class FakeSink:
    def __init__(self) -> None:
        self.body = bytearray()

    def write(self, view: memoryview) -> None:
        self.body += view


class FakeWire:
    def __init__(self, exchange: FakeExchange) -> None:
        self.source = MemorySource(exchange.body[exchange.at :])
        self._exchange = exchange

    def start(
        self, status: int, headers: Sequence[tuple[str, str]], content_length: int
    ) -> FakeSink:
        answer = self._exchange.answer
        answer.status, answer.headers = status, dict(headers)
        answer.headers["content-length"] = str(content_length)
        answer.sink = FakeSink()
        return answer.sink

    def finish(self) -> None:
        self._exchange.answer.finished = True


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    aborted: bool = False
    finished: bool = False
    body_was_read: bool = False
    sink: FakeSink | None = None

    @property
    def code(self) -> str:
        text = self.body.decode()
        return text.partition("<Code>")[2].partition("</Code>")[0]


class FakePieces:
    """An answer whose length nobody knows yet."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    async def write(self, piece: bytes) -> None:
        self.answer.body += piece

    async def end(self, piece: bytes) -> None:
        self.answer.body += piece
        self.answer.finished = True


class FakeExchange:
    def __init__(self, head: FakeHead, body: bytes, *, length: int | None) -> None:
        self.head = head
        self.body = body
        self.content_length = length
        self.has_body = bool(body)
        self.answer = Answer()
        self.at = 0  # what `read_some` took
        self.some = 1 << 20  # what it takes at once, at most
        self.takes_chunks = True

    async def read_whole(self, limit: int) -> memoryview:
        self.answer.body_was_read = True
        if len(self.body) - self.at > limit:
            raise Malformed("too long", reason="EntityTooLarge")
        return memoryview(self.body)[self.at :]

    async def read_some(self, most: int) -> memoryview:
        self.answer.body_was_read = True
        piece = memoryview(self.body)[self.at : self.at + min(most, self.some)]
        self.at += len(piece)
        return piece

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None:
        assert self.answer.status == 0, "an exchange is answered once"
        names = [name for name, _ in headers]
        assert len(names) == len(set(names)), f"a header twice: {names}"
        self.answer.status, self.answer.headers = status, dict(headers)
        self.answer.body = bytes(body)

    async def respond_in_pieces(
        self, status: int, headers: Sequence[tuple[str, str]]
    ) -> FakePieces | None:
        if not self.takes_chunks:
            return None
        await self.respond(status, headers)
        return FakePieces(self.answer)

    async def pump(self, work: Callable[[Any], Any]) -> Any:
        self.answer.body_was_read = True
        return work(FakeWire(self))

    def abort(self) -> None:
        self.answer.aborted = True


# --- what stands behind the door -----------------------------------------------------------------


@dataclass
class Kept:
    plain: bytes
    facts: ObjectFacts


class FakeOpened:
    def __init__(self, kept: Kept, start: int, stop: int, damage: int | None) -> None:
        self.facts, self.start, self.stop = kept.facts, start, stop
        self.size = stop - start
        self.at_hand = self.size <= WHOLE // 2
        self._plain = kept.plain[start:stop]
        self._damage = damage
        self.closed = False

    def whole(self) -> bytearray:
        sink = FakeSink()
        self.pour(lambda: sink)
        return sink.body

    def pour(self, begin: Callable[[], Any]) -> None:
        from hyok.errors import Tampered

        if self._damage == 0:
            raise Tampered("a tag is wrong: secret detail", reason="NoSuchKey")
        sink = begin()
        cut = len(self._plain) if self._damage is None else self._damage
        sink.write(memoryview(self._plain)[:cut])
        if self._damage is not None:
            raise Tampered("a tag is wrong")

    async def close(self) -> None:
        self.closed = True


class FakeCustodian:
    def __init__(self) -> None:
        self.decided: list[Ask] = []
        self.concluded: list[tuple[str, str]] = []
        self.refuse: HyokError | None = None

    async def decide(self, ask: Ask) -> None:
        self.decided.append(ask)
        if self.refuse:
            raise self.refuse

    async def conclude(self, ask: Ask, outcome: str, **_: object) -> None:
        self.concluded.append((ask.action, outcome))


class FakePump:
    def __init__(self) -> None:
        self.ran = 0

    async def run(self, work: Callable[[], Any]) -> Any:
        self.ran += 1
        return work()


class FakeVault:
    """Keeps plaintext; obeys conditions; notes the asks."""

    def __init__(self) -> None:
        self.custodian = FakeCustodian()
        self.pump = FakePump()
        self.rooms = Rooms()
        self.kept: dict[tuple[str, str], Kept] = {}
        self.asks: list[Ask] = []
        self.opened: list[FakeOpened] = []
        self.damage: int | None = None
        self.fail: BaseException | None = None
        self.version_id = ""  # what a write is told, and what it is kept under
        self.told: dict[str, str] = {}  # facts of a key that is not there
        self.deleted = Deleted()
        self.deletes: list[tuple[str, str, bool]] = []
        self.locked = False
        self.locks: list[tuple[LockAsked, str, bool]] = []

    def _enter(self, ask: Ask) -> tuple[str, str]:
        self.asks.append(ask)
        if self.fail is not None:
            raise self.fail
        assert ask.bucket is not None
        return ask.bucket.bucket_id, ask.key

    def _find(self, place: tuple[str, str], version_id: str = "") -> Kept:
        """A version is asked for by the one id that there is; all of it else is `objects`'."""
        if place not in self.kept:
            raise NotFound("The specified key does not exist.", reason="NoSuchKey", facts=self.told)
        kept = self.kept[place]
        if version_id and version_id != kept.facts.version_id:
            raise NotFound("The specified version does not exist.", reason="NoSuchVersion")
        return kept

    async def put(
        self, ask: Ask, body: Any, facts: PutFacts, condition: Condition | None = None
    ) -> PutResult:
        place = self._enter(ask)
        held = self.kept.get(place)
        if condition is not None and condition.absent and held:
            raise Conflict("exists", reason="PreconditionFailed")
        if body.size <= WHOLE:
            plain = bytes(await body.whole())
        else:
            plain = await body.pump(drain)
        proofs = body.proofs()
        etag = md5(plain).hexdigest() + "-h"
        found = ObjectFacts(
            size=len(plain),
            etag=etag,
            modified_ms=NOW_MS - 5000,
            headers=facts.headers,
            user_metadata=facts.user_metadata,
            tags=facts.tags,
            classification=str(ask.classification),
            kek_id="kek-1",
            object_id=sha256(plain).hexdigest()[:32],
            checksums=facts.checksums
            or {Algorithm(proofs.checksum_algorithm).name: encode(proofs.checksum)},
            version_id=self.version_id,
            lock=facts.lock,
        )
        self.kept[place] = Kept(plain, found)
        return PutResult(etag, NOW_MS, "kek-1", self.version_id)

    async def has_object_lock(self, bucket: Bucket) -> bool:
        del bucket
        return self.locked

    async def set_lock(
        self, ask: Ask, lock: LockAsked, version_id: str, *, bypass_governance: bool = False
    ) -> None:
        self._enter(ask)
        self.locks.append((lock, version_id, bypass_governance))

    async def head(
        self,
        ask: Ask,
        check: Any = None,
        *,
        checksums: bool = False,
        tags: bool = False,
        version_id: str = "",
    ) -> ObjectFacts:
        del tags
        facts = self._find(self._enter(ask), version_id).facts
        if check:
            check(facts)
        return facts if checksums else replace(facts, checksums={})

    async def open(
        self,
        ask: Ask,
        asked: Any,
        check: Any = None,
        *,
        checksums: bool = False,
        part_number: int | None = None,
        version_id: str = "",
        tags: bool = False,
    ) -> FakeOpened:
        del tags
        kept = self._find(self._enter(ask), version_id)
        if check:
            check(kept.facts)
        start, stop = asked.resolve(kept.facts.size) if asked else (0, kept.facts.size)
        if part_number is not None:
            kept = replace(kept, facts=replace(kept.facts, parts_count=3))
            start, stop = 2, 5
        opened = FakeOpened(kept, start, stop, self.damage)
        self.opened.append(opened)
        return opened

    async def delete(
        self,
        ask: Ask,
        condition: Condition | None = None,
        *,
        version_id: str = "",
        bypass_governance: bool = False,
    ) -> Deleted:
        self.deletes.append((ask.key, version_id, bypass_governance))
        place = self._enter(ask)
        held = self.kept.get(place)
        wanted = condition.if_match if condition is not None else ""
        if wanted and held and held.facts.etag != wanted + "-h":
            raise Conflict("changed", reason="PreconditionFailed")
        self.kept.pop(place, None)
        return self.deleted


def drain(source: Any) -> bytes:
    buffer = bytearray(70_000)
    plain = bytearray()
    while count := source.read_into(memoryview(buffer)):
        plain += buffer[:count]
    return bytes(plain)


class FakeMultipart:
    def __init__(self) -> None:
        self.uploads: dict[str, Upload] = {}
        self.parts: dict[str, dict[int, UploadPart]] = {}
        self.asks: list[Ask] = []
        self.completed: dict[str, object] = {}

    async def create(
        self, ask: Ask, facts: PutFacts, *, checksum_algorithm: int = 0, checksum_type: str = ""
    ) -> Begun:
        del facts
        self.asks.append(ask)
        assert ask.bucket is not None
        upload_id = f"up{len(self.uploads)}"
        self.uploads[upload_id] = Upload(
            upload_id, ask.bucket.tenant, ask.bucket.bucket_id, ask.key, "s", b"o" * 16, b"",
            str(ask.classification), checksum_algorithm, checksum_type, NOW_MS,
        )  # fmt: skip
        self.parts[upload_id] = {}
        return Begun(upload_id, "kek-1")

    async def find(self, bucket: Bucket, key: str, upload_id: str) -> Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or (upload.bucket_id, upload.key) != (bucket.bucket_id, key):
            raise NotFound("no upload", reason="NoSuchUpload")
        return upload

    async def upload_part(
        self, ask: Ask, upload_id: str, number: int, body: Any
    ) -> tuple[str, str]:
        self.asks.append(ask)
        await body.whole()
        proofs = body.proofs()
        part_id = bytes([number]) * 16
        self.parts[upload_id][number] = UploadPart(
            number, "e" * 32, part_id, body.size, proofs.checksum_algorithm, proofs.checksum,
            "", NOW_MS,
        )  # fmt: skip
        return part_etag_out("e" * 32, part_id), "kek-1"

    async def complete(
        self, ask: Ask, upload_id: str, wanted: Any, condition: Any = None, **said: object
    ) -> Completed:
        self.asks.append(ask)
        self.completed = {"wanted": wanted, "condition": condition, **said}
        upload = self.uploads[upload_id]
        return Completed(
            PutResult("f" * 32 + "-2", NOW_MS, "kek-1"),
            upload.checksum_algorithm,
            upload.checksum_type,
            "AAAAAA==-2" if upload.checksum_algorithm else "",
        )

    async def abort(self, ask: Ask, upload_id: str) -> None:
        assert ask.bucket is not None
        await self.find(ask.bucket, ask.key, upload_id)
        del self.uploads[upload_id]

    async def list_parts(self, ask: Ask, upload_id: str, after: int, limit: int) -> Listed:
        assert ask.bucket is not None
        upload = await self.find(ask.bucket, ask.key, upload_id)
        parts = [part for number, part in self.parts[upload_id].items() if number > after]
        return Listed(upload, parts[:limit], len(parts) > limit)

    async def list_uploads(self, ask: Ask, prefix: str) -> Sequence[Upload]:
        del ask
        return [upload for upload in self.uploads.values() if upload.key.startswith(prefix)]


class FakeListings:
    def __init__(self, vault: FakeVault) -> None:
        self._vault = vault
        self.asked: dict[str, object] = {}

    async def page(self, ask: Ask, **asked: Any) -> Page:
        assert ask.bucket is not None
        self.asked = asked
        keys = sorted(
            key
            for bucket, key in self._vault.kept
            if bucket == ask.bucket.bucket_id and key > (asked["token"] or asked["after"])
        )
        page = keys[: asked["limit"]]
        more = len(keys) > len(page)
        rows = [
            Entry(key, len(self._vault.kept[ask.bucket.bucket_id, key].plain), "e-1", NOW_MS)
            for key in page
        ]
        return Page(Entries.of(rows), [], page[-1] if more else "", page[-1] if more else "")


class FakeVersions:
    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.page_is = Versions([], [])

    async def page(self, ask: Ask, **asked: Any) -> Versions:
        del ask
        self.asked = asked
        return self.page_is


class FakeStates:
    def __init__(self) -> None:
        self.state = Versioning.NEVER
        self.lock: LockConfiguration | None = None

    async def versioning(self, ask: Ask) -> Versioning:
        assert ask.action == "bucket:list"
        return self.state

    async def set_versioning(self, ask: Ask, state: Versioning) -> None:
        assert ask.action == "bucket:configure"
        self.state = state

    async def lock_configuration(self, ask: Ask) -> LockConfiguration:
        assert ask.action == "bucket:list"
        if self.lock is None:
            raise no_configuration()
        return self.lock

    async def set_lock_configuration(self, ask: Ask, configuration: LockConfiguration) -> None:
        assert ask.action == "bucket:configure"
        self.lock = configuration


class FakeRegistry:
    def __init__(self, *buckets: Bucket) -> None:
        self.buckets = {bucket.bucket_id: bucket for bucket in buckets}

    async def get(self, bucket_id: str) -> Bucket:
        if bucket_id not in self.buckets:
            raise NotFound("The specified bucket does not exist", reason="NoSuchBucket")
        return self.buckets[bucket_id]

    async def of_tenant(self, tenant: str) -> Sequence[Bucket]:
        return [bucket for bucket in self.buckets.values() if bucket.tenant == tenant]


class FakeKeeper:
    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry
        self.wanted: Any = None
        self.asked: list[str] = []  # what policy was asked about a document

    async def create(self, ask: Ask, wanted: Any) -> Bucket:
        del ask
        self.wanted = wanted
        if wanted.bucket_id in self._registry.buckets:
            raise Conflict("taken", reason="BucketAlreadyOwnedByYou")
        bucket = Bucket(
            wanted.bucket_id, wanted.tenant, wanted.store, "b", wanted.classification, "sealed"
        )
        self._registry.buckets[bucket.bucket_id] = bucket
        return bucket

    async def delete(self, ask: Ask) -> None:
        assert ask.bucket is not None
        del self._registry.buckets[ask.bucket.bucket_id]

    async def set_document(self, ask: Ask, kind: str, text: str) -> None:
        assert ask.bucket is not None
        self.asked.append(ask.action)
        kept = {**ask.bucket.documents, kind: text}
        self._registry.buckets[ask.bucket.bucket_id] = replace(
            ask.bucket, documents={name: held for name, held in kept.items() if held}
        )


# --- who asks ------------------------------------------------------------------------------------


class FakeSecret:
    def get_secret_value(self) -> str:
        return SECRET


@dataclass
class FakeCredential:
    access_key: str
    secret: FakeSecret
    principal: Principal


class FakeCredentials:
    def __init__(self, principal: Principal) -> None:
        self._principal = principal
        self.used: list[str] = []

    async def find(self, access_key: str) -> FakeCredential | None:
        if access_key != AKID:
            return None
        return FakeCredential(AKID, FakeSecret(), self._principal)

    def note_use(self, access_key: str) -> None:
        self.used.append(access_key)


class Metered:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def request(
        self, operation: str, status: int, seconds: float, bytes_in: int, bytes_out: int
    ) -> None:
        del seconds, bytes_in, bytes_out
        self.seen.append((operation, status))


class Door:
    """A gateway and everything behind it."""

    def __init__(
        self,
        *,
        vault: ObjectVault | None = None,
        here: Sequence[Bucket] = (),
        patience_seconds: float = 30.0,
        **principal: Any,
    ) -> None:
        """Open a door; ``vault`` takes the place of the fake, with the buckets ``here``."""
        self.vault = FakeVault()
        self.multipart = FakeMultipart()
        self.listings = FakeListings(self.vault)
        self.versions = FakeVersions()
        self.states = FakeStates()
        self.registry = FakeRegistry(
            Bucket("bucket", "ours", "store", "b", ClassificationName("intern"), "clear"),
            # Elsewhere, so that a copy to it is read and sealed again.
            Bucket("second", "ours", "elsewhere", "c", ClassificationName("intern"), "clear"),
            Bucket("theirs", "others", "store", "d", ClassificationName("intern"), "clear"),
            *here,
        )
        self.keeper = FakeKeeper(self.registry)
        self.meter = Metered()
        who = Principal(**{"id": "app-1", "tenant": "ours", **principal})
        behind: Any = {
            "vault": vault or self.vault,
            "multipart": self.multipart,
            "listings": self.listings,
            "versions": self.versions,
            "states": self.states,
            "buckets": self.registry,
            "keeper": self.keeper,
        }
        admission = Admission(
            credentials=FakeCredentials(who),
            buckets=behind["buckets"],
            classifications=load_classifications(),
            regions=("us-east-1", "eu-west-1"),
        )
        services = Services(
            admission=admission,
            new_buckets=NewBuckets("store", ClassificationName("onbekend")),
            region="us-east-1",
            patience_seconds=patience_seconds,
            **behind,
        )
        self.gateway = Gateway(
            services,
            base_domains=("s3.example",),
            clock_ms=lambda: NOW_MS,
            entropy=bytes,
            meter=self.meter,
        )

    async def send(
        self,
        line: str,
        body: bytes = b"",
        *,
        query: Sequence[tuple[str, str]] = (),
        payload: str | None = None,
        secret: str = SECRET,
        access_key: str = AKID,
        signed: bool = True,
        length: int | None = -1,
        host: str = "h:9000",
        **headers: str,
    ) -> Answer:
        """Send ``GET /bucket/key`` with headers given as ``x_amz_meta_a="1"``."""
        method, _, clear_path = line.partition(" ")
        path = quote(clear_path, safe="/~")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = list(query)
        if signed:
            digest = sha256(body).hexdigest() if payload is None else payload
            signer = Signer(access_key, secret, "us-east-1")
            sent |= signer.sign(method, host, path, pairs, sent, digest, NOW)
        raw = [(b"host", host.encode())]
        raw += [(name.encode(), value.encode()) for name, value in sent.items()]
        target = path + ("?" + render_query(pairs) if pairs else "")
        return await self.exchange(FakeHead(method, target.encode(), raw), body, length=length)

    async def exchange(
        self, head: FakeHead, body: bytes, *, length: int | None = -1, some: int = 1 << 20
    ) -> Answer:
        told = len(body) if body or head.method in ("PUT", "POST") else None
        exchange = FakeExchange(head, body, length=told if length == -1 else length)
        exchange.some = some
        await self.gateway.handle(exchange)
        answer = exchange.answer
        if answer.sink is not None:
            answer.body = bytes(answer.sink.body)
        return answer
