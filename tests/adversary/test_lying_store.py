"""A store that changes, swaps, cuts and lies: not one wrong byte of plaintext reaches a client.

What a client received is always a prefix of the truth, and the transfer fails.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random  # noqa: TID251 - repeatable by its seed
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.adversary.stage import (
    BUCKETS,
    FRONTS,
    LIED_TO,
    LONG,
    STORES,
    FileShelf,
    Held,
    Stage,
    noise,
    reading,
    seed,
    stage_in,
    upload,
)
from tests.peers.liar import Told, truth

from hyok.envelope.layout import LAYOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PART = 5 << 20
FLIPS = 1000 if LONG else 40
WHOLE = (0, 1, 1000, 300_000, 3_000_000)
THREE = [(1, noise(PART, 1)), (2, noise(PART, 2)), (3, noise(1000, 3))]

every_front = pytest.mark.parametrize("front", FRONTS)
every_store = pytest.mark.parametrize("store", STORES)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage_in(tmp_path_factory.mktemp("lying")) as made:
        yield made


class Scene:
    """One store in hostile hands, and a client before it."""

    def __init__(self, stage: Stage, store: str, front: str) -> None:
        self.shelf = stage.shelf(store)
        self.client = stage.client(front)
        self.bucket = BUCKETS[store]

    def made(self, act: Callable[[], object]) -> str:
        """Return the stored name of the one object that ``act`` makes."""
        before = self.shelf.names()
        act()
        new = self.shelf.names() - before
        assert len(new) == 1, new
        return new.pop()

    def put(self, key: str, body: bytes) -> str:
        self.client.delete_object(Bucket=self.bucket, Key=key)
        return self.made(lambda: self.client.put_object(Bucket=self.bucket, Key=key, Body=body))

    def upload(self, key: str, bodies: list[tuple[int, bytes]]) -> str:
        self.client.delete_object(Bucket=self.bucket, Key=key)
        return self.made(lambda: upload(self.client, self.bucket, key, bodies))

    def refused(self, key: str, body: bytes) -> bool:
        """Read all of it; return whether it failed.  Never may a byte of it be wrong."""
        got, ended = reading(self.client, self.bucket, key)
        assert body.startswith(got), "a wrong byte came through"
        assert not ended or got == body
        return not ended

    def never_wrong(self, key: str, body: bytes, first: int, last: int) -> None:
        """Read a range; it may be right or fail, and must not be wrong."""
        got, ended = reading(self.client, self.bucket, key, f"{first}-{last}")
        wanted = body[first : last + 1]
        assert wanted.startswith(got), "a wrong byte came through"
        assert not ended or got == wanted

    def good(self, key: str, body: bytes) -> bool:
        return reading(self.client, self.bucket, key) == (body, True)


@pytest.fixture
def scene(stage: Stage, store: str, front: str) -> Scene:
    return Scene(stage, store, front)


def flipped(raw: bytes, at: int, bit: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]


@every_store
@every_front
def test_a_flipped_bit_anywhere_in_the_body_is_noticed(scene: Scene) -> None:
    choose = Random(seed())
    multipart = b"".join(body for _, body in THREE)
    for size in (*WHOLE, len(multipart)):
        body, key = noise(size, 9), f"bit/{size}"
        if size == len(multipart):
            body = multipart
            name = scene.upload(key, THREE)
        else:
            name = scene.put(key, body)
        held = scene.shelf.read(name)
        assert scene.good(key, body)
        spots = {0, 39, 40, len(held.body) - 1, len(held.body) - 17, len(held.body) // 2}
        heavy = FLIPS // 5 if size > 1_000_000 else FLIPS
        spots |= {choose.randrange(len(held.body)) for _ in range(heavy)}
        for at in sorted(spot for spot in spots if 0 <= spot < len(held.body)):
            scene.shelf.write(name, replace(held, body=flipped(held.body, at, choose.randrange(8))))
            assert scene.refused(key, body), (size, at)
            if size:
                scene.never_wrong(key, body, size // 3, size // 3 + min(500, size // 3))
        scene.shelf.write(name, held)
        assert scene.good(key, body)


@every_store
@every_front
def test_a_change_anywhere_in_the_envelope_is_noticed(scene: Scene) -> None:
    choose = Random(seed())
    body = noise(5000, 4)
    name = scene.put("envelop", body)
    held = scene.shelf.read(name)
    text = held.envelope.encode()
    spots = {0, 7, 11, len(text) - 1} | {choose.randrange(len(text)) for _ in range(FLIPS)}
    for at in sorted(spots):
        other = choose.choice([letter for letter in ALPHABET if letter != text[at]])
        bad = (text[:at] + bytes([other]) + text[at + 1 :]).decode()
        if at == len(text) - 1 and isinstance(scene.shelf, FileShelf):
            continue  # there the envelope is bytes, and the last letter has bits of none
        scene.shelf.write(name, replace(held, envelope=bad))
        assert scene.refused("envelop", body), at
        scene.never_wrong("envelop", body, 10, 20)
    for bad in ("", text[:-8].decode(), text[: len(text) // 8 * 4].decode()):
        scene.shelf.write(name, replace(held, envelope=bad))
        assert scene.refused("envelop", body), bad
    scene.shelf.write(name, held)
    assert scene.good("envelop", body)


@every_store
@every_front
@pytest.mark.parametrize("size", [0, 1000, 3_000_000])
def test_a_cut_or_extended_object_is_noticed(scene: Scene, size: int) -> None:
    body, key = noise(size, 5), f"lengte/{size}"
    name = scene.put(key, body)
    held = scene.shelf.read(name)
    long = len(held.body)
    lengths = {0, 1, 39, 40, long // 2, long - 256, long - 17, long - 16, long - 1}
    bad = [held.body[:length] for length in sorted(lengths) if 0 <= length < long]
    bad += [held.body + b"\0", held.body + held.body, held.body + held.body[-256:], b""]
    for one in bad:
        scene.shelf.write(name, replace(held, body=one))
        assert scene.refused(key, body), len(one)
        scene.never_wrong(key, body, 0, 9)
        scene.never_wrong(key, body, size // 2, size // 2 + 9)
    scene.shelf.write(name, held)
    assert scene.good(key, body)


@every_front
def test_a_length_that_is_not_the_files_is_noticed(stage: Stage, front: str) -> None:
    scene = Scene(stage, "files", front)
    shelf = scene.shelf
    assert isinstance(shelf, FileShelf)
    for size in (1000, 3_000_000):
        body, key = noise(size, 6), f"bewering/{size}"
        name = scene.put(key, body)
        held = shelf.read(name)
        for claimed in (0, 1, 256, len(held.body) - 1, len(held.body) + 1, 1 << 40):
            shelf.claim_size(name, claimed)
            assert scene.refused(key, body), claimed
            scene.never_wrong(key, body, 5, 15)
            listed = scene.client.list_objects_v2(Bucket=scene.bucket, Prefix=key)["Contents"]
            assert [entry["Key"] for entry in listed] == [key]
        shelf.write(name, held)
        raw = shelf.path(name).read_bytes()
        for bad in (b"", raw[:100], raw[:4096], raw[: len(raw) // 2], raw[:-1]):
            shelf.write_raw(name, bad)
            assert scene.refused(key, body), len(bad)
        shelf.write(name, held)
        assert scene.good(key, body)


@every_store
@every_front
def test_objects_bodies_and_envelopes_do_not_change_places(scene: Scene) -> None:
    for size in (1000, 400_000, 3_000_000):
        bodies = {f"plaats/een/{size}": noise(size, 1), f"plaats/twee/{size}": noise(size, 2)}
        one, two = bodies
        names = {key: scene.put(key, body) for key, body in bodies.items()}
        held = {key: scene.shelf.read(name) for key, name in names.items()}
        swaps = [
            (held[two], held[one]),
            (replace(held[one], body=held[two].body), replace(held[two], body=held[one].body)),
            (held[two], held[two]),
            (Held(held[one].envelope, bodies[one]), Held("", bodies[two])),
        ]
        for first, second in swaps:
            scene.shelf.write(names[one], first)
            scene.shelf.write(names[two], second)
            assert scene.refused(one, bodies[one])
            scene.never_wrong(one, bodies[one], 10, 20)
            scene.never_wrong(two, bodies[two], size // 2, size // 2 + 20)
            if second is not held[two]:
                assert scene.refused(two, bodies[two])
        for key, name in names.items():
            scene.shelf.write(name, held[key])
            assert scene.good(key, bodies[key])


@every_store
@every_front
def test_parts_stay_where_they_are(scene: Scene) -> None:
    body = b"".join(part for _, part in THREE)
    name = scene.upload("delen", THREE)
    held = scene.shelf.read(name)
    sealed = LAYOUT.part_sealed_size(PART)
    one, two = held.body[:sealed], held.body[sealed : 2 * sealed]
    rest = held.body[2 * sealed :]
    segment = 262_144
    swapped = one[:segment] + one[2 * segment : 3 * segment] + one[segment : 2 * segment]
    for bad in (
        two + one + rest,
        one + one + rest,
        two + two + rest,
        swapped + one[3 * segment :] + two + rest,
    ):
        scene.shelf.write(name, replace(held, body=bad))
        assert scene.refused("delen", body)
        for first in (5, segment * 2, PART - 5, PART + 5, 2 * PART - 5, 2 * PART + 5):
            scene.never_wrong("delen", body, first, first + 50)
    scene.shelf.write(name, held)
    assert scene.good("delen", body)


def body_of(sent: bytes, mark: bytes) -> bytes:
    """Return the body of the recorded request whose head holds ``mark``, its framing taken off."""
    start = sent.index(mark)
    end = sent.index(b"\r\n\r\n", start)
    rest = sent[end + 4 :]
    if b"aws-chunked" not in sent[start:end]:
        return rest
    whole = bytearray()
    while size := int(rest[: rest.index(b"\r\n")].partition(b";")[0], 16):
        at = rest.index(b"\r\n") + 2
        whole += rest[at : at + size]
        rest = rest[at + size + 2 :]
    return bytes(whole)


@every_store
@every_front
def test_an_old_attempt_of_a_part_is_not_put_back(stage: Stage, scene: Scene, store: str) -> None:
    """The same upload, number and length: only the trailer knows which attempt was meant."""
    old, new, last = noise(PART, 11), noise(PART, 12), noise(1000, 13)
    scene.client.delete_object(Bucket=scene.bucket, Key="poging")
    made = scene.client.create_multipart_upload(Bucket=scene.bucket, Key="poging")
    here = {"Bucket": scene.bucket, "Key": "poging", "UploadId": made["UploadId"]}
    sealed = LAYOUT.part_sealed_size(PART)
    data = stage.home / "store" / "data"
    before = {path for path in data.rglob("*") if path.is_file()}
    stage.recorder.clear()
    scene.client.upload_part(**here, PartNumber=1, Body=old)
    if store == "files":
        found = [path for path in data.rglob("*") if path.is_file() and path not in before]
        assert len(found) == 1
        attempt = found[0].read_bytes()[-sealed:]
    else:
        attempt = body_of(stage.recorder.sent(), b"partNumber=1")[:sealed]
    assert attempt[0] == 40
    parts = [
        {
            "PartNumber": number,
            "ETag": scene.client.upload_part(**here, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, new), (2, last))
    ]
    finish = {"MultipartUpload": {"Parts": parts}}
    name = scene.made(lambda: scene.client.complete_multipart_upload(**here, **finish))
    held = scene.shelf.read(name)
    assert held.body[:sealed] != attempt
    assert scene.good("poging", new + last)
    scene.shelf.write(name, replace(held, body=attempt + held.body[sealed:]))
    assert scene.refused("poging", new + last)
    for first in (0, 1_000_000, PART - 20):
        scene.never_wrong("poging", new + last, first, first + 100)
        got, ended = reading(scene.client, scene.bucket, "poging", f"{first}-{first + 10}")
        assert (got, ended) == (b"", False)


def of_objects(lie: Callable[[Told], Told]) -> Callable[[Told], Told]:
    """Lie about reads of clients' objects only."""

    def maybe(told: Told) -> Told:
        reads = told.method in ("GET", "HEAD") and told.status in (200, 206)
        return (
            lie(told) if reads and "?" not in told.target and ".hyok" not in told.target else told
        )

    return maybe


def _shorter(told: Told) -> Told:
    return told.saying(content_length=str(max(int(told.headers["content-length"]) - 1, 0)))


def _longer(told: Told) -> Told:
    return told.saying(content_length=str(int(told.headers["content-length"]) + 1000))


def _total(told: Told, change: int) -> Told:
    span = told.headers.get("content-range", "")
    if not span:
        return told.saying(content_length=str(int(told.headers["content-length"]) + change))
    front, _, total = span.rpartition("/")
    return told.saying(content_range=f"{front}/{int(total) + change}")


LIES: dict[str, Callable[[Told], Told]] = {
    "a content-length below the body's": _shorter,
    "a content-length above the body's": _longer,
    "half a body under its whole length": lambda t: replace(t, body=t.body[: len(t.body) // 2]),
    "half a body under its own length": lambda t: t.bringing(t.body[: len(t.body) // 2]),
    "no body": lambda t: t.bringing(b""),
    "a total that is one more": lambda t: _total(t, 1),
    "a total that is one less": lambda t: _total(t, -1),
    "a total of a longer object": lambda t: _total(t, 1 << 20),
    "a body that begins one byte later": lambda t: t.bringing(t.body[1:] + b"\0"),
    "a flipped byte": lambda t: t.bringing(flipped(t.body, len(t.body) // 2, 3)) if t.body else t,
    "an error document inside the answer": lambda t: t.bringing(
        b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"
    ),
    "no envelope": lambda t: t.saying(x_amz_meta_hyok=None),
    "half an envelope": lambda t: t.saying(
        x_amz_meta_hyok=t.headers.get("x-amz-meta-hyok", "")[:200]
    ),
    "an envelope that is no text of one": lambda t: t.saying(x_amz_meta_hyok="=?&%"),
}
"""Each of them must make a whole read fail."""

HARMLESS: dict[str, Callable[[Told], Told]] = {
    "another etag": lambda t: t.saying(etag='"0123456789abcdef0123456789abcdef"'),
    "another range": lambda t: (
        t.saying(content_range="bytes 7-9/" + t.headers["content-range"].rpartition("/")[2])
        if "content-range" in t.headers
        else t
    ),
    "200 for 206": lambda t: replace(t, status=200).saying(content_range=None),
    "another content type and metadata": lambda t: t.saying(
        content_type="text/html", x_amz_meta_soort="nep"
    ),
    "another time": lambda t: t.saying(last_modified="Thu, 01 Jan 1970 00:00:00 GMT"),
}
"""What a store may say without a byte being wrong; whether the read fails is its own affair."""

SHAPES = {"klein": 1000, "middel": 400_000, "groot": 3_000_000, "delen": 2 * PART + 1000}


@pytest.fixture(scope="module")
def told_objects(stage: Stage) -> dict[str, bytes]:
    """Honestly written objects in the bucket whose store lies."""
    stage.liar.tell(truth)
    client = stage.client("http")
    bodies = {key: noise(size, 21) for key, size in SHAPES.items() if key != "delen"}
    for key, body in bodies.items():
        client.put_object(Bucket=LIED_TO, Key=key, Body=body)
    upload(client, LIED_TO, "delen", THREE)
    return {**bodies, "delen": b"".join(body for _, body in THREE)}


@every_front
@pytest.mark.parametrize("lie", [*LIES, *HARMLESS])
def test_no_lie_in_an_answer_lets_a_wrong_byte_through(
    stage: Stage, told_objects: dict[str, bytes], front: str, lie: str
) -> None:
    client: Any = stage.client(front)
    must_fail = lie in LIES
    try:
        for key, body in told_objects.items():
            stage.liar.tell(of_objects({**LIES, **HARMLESS}[lie]))
            got, ended = reading(client, LIED_TO, key)
            assert stage.liar.lies or lie == "another range"
            assert body.startswith(got), key
            assert not ended or got == body, key
            assert not (must_fail and ended), key
            for first in (0, 10, len(body) // 2, len(body) - 100):
                got, ended = reading(client, LIED_TO, key, f"{first}-{first + 60}")
                wanted = body[first : first + 61]
                assert wanted.startswith(got), (key, first)
                assert not ended or got == wanted, (key, first)
            try:
                told = client.head_object(Bucket=LIED_TO, Key=key)
            except ClientError:
                continue
            if key != "delen":  # the length of one put at once is sealed in its envelope
                assert told["ContentLength"] == len(body)
            assert "soort" not in told["Metadata"]
            assert told["ContentType"] != "text/html"
    finally:
        stage.liar.tell(truth)
    for key, body in told_objects.items():
        assert reading(client, LIED_TO, key) == (body, True)


@every_front
def test_another_object_in_an_answer_is_refused(
    stage: Stage, told_objects: dict[str, bytes], front: str
) -> None:
    client = stage.client(front)
    client.put_object(Bucket=LIED_TO, Key="ander", Body=noise(400_000, 22))
    kept: list[Told] = []

    def keep(told: Told) -> Told:
        kept.append(told)
        return told

    def swap(told: Told) -> Told:
        return replace(kept[0], method=told.method)

    try:
        stage.liar.tell(of_objects(keep))
        assert reading(client, LIED_TO, "ander")[1]
        stage.liar.tell(of_objects(swap))
        assert reading(client, LIED_TO, "middel") == (b"", False)
    finally:
        stage.liar.tell(truth)
        client.delete_object(Bucket=LIED_TO, Key="ander")


@every_front
def test_stale_sizes_in_a_listing_change_no_object(
    stage: Stage, told_objects: dict[str, bytes], front: str
) -> None:
    client = stage.client(front)

    def stale(told: Told) -> Told:
        if told.method != "GET" or "list-type=2" not in told.target:
            return told
        size = LAYOUT.object_sealed_size(1000)
        return told.bringing(told.body.replace(f"<Size>{size}<".encode(), b"<Size>999999<"))

    try:
        stage.liar.tell(stale)
        listed = client.list_objects_v2(Bucket=LIED_TO)["Contents"]
        assert {entry["Key"] for entry in listed} >= set(told_objects)
        assert stage.liar.lies
        for key, body in told_objects.items():
            assert client.head_object(Bucket=LIED_TO, Key=key)["ContentLength"] == len(body)
            assert reading(client, LIED_TO, key) == (body, True)
    finally:
        stage.liar.tell(truth)


@every_front
def test_a_completion_or_copy_with_an_error_inside_its_200_is_no_success(
    stage: Stage, told_objects: dict[str, bytes], front: str
) -> None:
    client = stage.client(front)
    document = b"<?xml version='1.0'?><Error><Code>InternalError</Code></Error>"

    def fail(told: Told) -> Told:
        if told.method == "POST" and "uploadId=" in told.target:
            return told.bringing(document)
        return told

    try:
        stage.liar.tell(fail)
        with pytest.raises(ClientError):
            upload(client, LIED_TO, "nooit", [(1, noise(PART, 1)), (2, b"2")])
        assert stage.liar.lies == 1
    finally:
        stage.liar.tell(truth)
        client.delete_object(Bucket=LIED_TO, Key="nooit")
    assert told_objects


@every_front
def test_an_upload_that_the_store_refuses_late_is_no_success(
    stage: Stage, told_objects: dict[str, bytes], front: str
) -> None:
    client = stage.client(front)

    def refuse(told: Told) -> Told:
        return replace(told, status=500) if told.method == "PUT" else told

    try:
        stage.liar.tell(refuse)
        for size in (10, 3_000_000):
            with pytest.raises(ClientError) as caught:
                client.put_object(Bucket=LIED_TO, Key="laat", Body=noise(size))
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        stage.liar.tell(truth)
        client.delete_object(Bucket=LIED_TO, Key="laat")
    assert told_objects
