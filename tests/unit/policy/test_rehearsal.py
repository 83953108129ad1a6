"""A rehearsal names what would change of what is registered, and counts what stands in clear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hyok.policy.bundle import load
from hyok.policy.decision import StoreFacts
from hyok.policy.exceptions import FILE
from hyok.policy.matrix import World
from hyok.policy.rehearsal import GONE, Barred, Reclassed, rehearse
from hyok.vocabulary import Bucket, ClassificationName, Principal
from hyok.wiring import policy_files

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
CASELESS = FILES | {"cases/gateway.yaml": "[]"}
NOW = load(FILES)


def changed(name: str, *pairs: tuple[str, str]) -> dict[str, str]:
    text = FILES[f"classifications/{name}.yaml"]
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    return CASELESS | {f"classifications/{name}.yaml": text}


def bucket(name: str, **more: object) -> Bucket:
    known = NOW.classifications.at_least(name)
    made = Bucket(
        name, "gemeente", "ierland", name, ClassificationName(name), "sealed", allowed=known
    )
    return replace(made, **more)  # type: ignore[arg-type]


WORLD = World(
    principals=[
        Principal("lezer", "gemeente", clearance=30, purpose="werk", grants=frozenset({"read"}))
    ],
    buckets=[bucket("intern"), bucket("vertrouwelijk")],
    stores={"ierland": StoreFacts("IE", "US", "UC1")},
    zone="municipality",
)


def test_the_same_policy_changes_nothing() -> None:
    found = rehearse(NOW, NOW, WORLD)
    assert (found.lost, found.illegal, found.labels, found.unknown_stores) == ([], [], {}, [])
    assert Barred(
        "ierland", "vertrouwelijk", "geheim", "guardrail-jurisdiction", by_itself=False
    ) in (found.illegal_already)


def test_stores_that_become_illegal_are_named_with_bucket_class_and_rule() -> None:
    stricter = load(changed("vertrouwelijk", ("control: any", "control: EU")))
    found = rehearse(NOW, stricter, WORLD)
    assert found.stores_that_become_illegal == ["ierland"]
    assert found.illegal == [
        Barred("ierland", "intern", "vertrouwelijk", "guardrail-control", by_itself=False),
        Barred("ierland", "vertrouwelijk", "vertrouwelijk", "guardrail-control", by_itself=True),
    ]


def test_apps_lose_access_only_where_the_bucket_takes_the_class() -> None:
    higher = load(changed("vertrouwelijk", ("level: 30", "level: 35")))
    found = rehearse(NOW, higher, WORLD)
    assert found.apps_that_lose == ["lezer"]
    assert {(cell.bucket, cell.classification) for cell in found.lost} == {
        ("intern", "vertrouwelijk"),
        ("vertrouwelijk", "vertrouwelijk"),
    }
    lower = load(changed("openbaar", ("level: 10", "level: 31")))
    assert rehearse(NOW, lower, WORLD).lost == [], "neither bucket takes what is openbaar"


def test_labels_that_would_mean_another_class_are_named() -> None:
    files = changed("intern", ("[beperkt_openbaar]", "[]"))
    assert rehearse(NOW, load(files), WORLD).labels == {"beperkt_openbaar": ("intern", GONE)}


def test_a_store_that_is_not_in_the_settings_is_said() -> None:
    away = replace(WORLD, buckets=[bucket("intern", store="weg")])
    assert rehearse(NOW, NOW, away).unknown_stores == ["weg"]


def test_objects_change_class_where_levels_change_places() -> None:
    here = bucket("intern", prefix_rules={"jeugd/": "vertrouwelijk", "jeugd/open/": "openbaar"})
    after = load(changed("vertrouwelijk", ("level: 30", "level: 15")))
    counted = Reclassed(NOW, after, here)
    assert not counted.is_settled
    for name in ("brief", "jeugd/a", "jeugd/b", "jeugd/open/c"):
        counted.count(name)
    assert counted.looked_at == 4
    assert counted.changed == {("vertrouwelijk", "intern"): 3}


def test_an_object_whose_class_is_gone_has_none() -> None:
    without = load({n: t for n, t in CASELESS.items() if "/intern." not in n})
    counted = Reclassed(NOW, without, bucket("intern"))
    assert not counted.is_settled
    counted.count("brief")
    assert counted.changed == {("intern", GONE): 1}


def test_where_no_name_matters_none_has_to_be_read() -> None:
    assert Reclassed(NOW, NOW, bucket("intern")).is_settled
    with_rules = bucket("intern", prefix_rules={"a/": "geheim"})
    assert not Reclassed(NOW, NOW, with_rules).is_settled


def test_what_an_exception_lets_stand_is_legal_as_long_as_it_holds() -> None:
    files = changed("vertrouwelijk", ("control: any", "control: EU"))
    files[FILE] = (
        "- {id: leverancier, owner: chris, until: 2027-05-31, reason: tot de verhuizing klaar is,\n"
        "   lifts: {kind: store, guardrail: control, classification: vertrouwelijk, "
        "bucket: vertrouwelijk}}"
    )
    after = load(files)
    ends_ms = after.exceptions[0].ends_ms
    holding = rehearse(NOW, after, replace(WORLD, now_ms=ends_ms - 1))
    assert [one.bucket for one in holding.illegal] == ["intern"]
    ended = rehearse(NOW, after, replace(WORLD, now_ms=ends_ms))
    assert [one.bucket for one in ended.illegal] == ["intern", "vertrouwelijk"]
