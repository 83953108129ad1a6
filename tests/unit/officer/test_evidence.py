"""Evidence follows the state: what is switched off, missing or unproven is not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hyok.audit.statistics import count
from hyok.custody.door_key import CIPHER, DoorKey, DoorVersion, Usage
from hyok.custody.kek import Kek
from hyok.custody.key_states import KeyState
from hyok.errors import Malformed
from hyok.hsm.port import KekSpec
from hyok.officer.crypto_inventory import ALGORITHMS, inventory
from hyok.officer.evidence import ASPECTS, Fact, as_rows, judge, parse_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT = (Path(__file__).resolve().parents[3] / "policies" / "norms" / "bio2.yaml").read_text()
NORM = parse_norm(TEXT)
NAMES = {
    name for measure in NORM.measures for aspect in ASPECTS for name in getattr(measure, aspect)
}


def facts(**results: str) -> dict[str, Fact]:
    return {name: Fact(name, results.get(name.replace(" ", "_"), "ok"), "gezien") for name in NAMES}


def words(measure: str, given: dict[str, Fact]) -> tuple[str, str, str]:
    (row,) = [one for one in judge(NORM, given) if one.measure.id == measure]
    found = tuple(row.findings[aspect].word for aspect in ASPECTS)
    assert len(found) == 3
    return found  # type: ignore[return-value]


def test_a_measure_is_shown_when_every_fact_of_it_is_well() -> None:
    assert words("8.24.01", facts()) == ("shown", "shown", "shown")


@pytest.mark.parametrize(
    ("off", "measure", "expected"),
    [
        ({"tokens": "FAIL"}, "8.24.01", ("shown", "not shown", "shown")),
        ({"tokens": "warn"}, "8.24.01", ("shown", "partly", "shown")),
        ({"rotation": "warn", "key_age": "warn"}, "8.24.01", ("shown", "shown", "not shown")),
        ({"log_verified": "FAIL"}, "8.15.06", ("shown", "shown", "not shown")),
        ({"policy_in_force": "warn"}, "8.03.01", ("shown", "partly", "shown")),
    ],
)
def test_what_is_switched_off_is_not_shown(
    off: dict[str, str], measure: str, expected: tuple[str, str, str]
) -> None:
    assert words(measure, facts(**off)) == expected


def test_a_fact_that_is_missing_shows_nothing_and_is_named() -> None:
    given = facts()
    del given["log fields"]
    (row,) = [one for one in judge(NORM, given) if one.measure.id == "8.15.01"]
    assert row.findings["exists"].word == "not shown"
    assert row.findings["exists"].missing == ["log fields"]
    (told,) = as_rows([row])
    assert told["exists"] == {"result": "not shown", "facts": [], "missing": ["log fields"]}


def test_an_aspect_without_facts_is_never_shown() -> None:
    text = TEXT.replace("works: [restore drill]", "works: []")
    assert text != TEXT
    (row,) = [one for one in judge(parse_norm(text), facts()) if one.measure.id == "8.13.01"]
    assert row.findings["works"].word == "not shown"


def test_a_backup_works_once_a_restore_was_tried() -> None:
    assert words("8.13.01", facts()) == ("shown", "shown", "shown")
    assert words("8.13.01", facts(restore_drill="warn"))[2] == "not shown"


@pytest.mark.parametrize(
    "text",
    ["", "norm: x", TEXT.replace("exists:", "bestaat:"), TEXT.replace('"8.24.02"', '"8.24.01"')],
)
def test_a_file_that_is_no_norm_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_norm(text)


def kek(number: int, state: KeyState, profile: int = 1) -> Kek:
    spec = KekSpec(f"t/intern/{number}", profile, bytes(8))
    return Kek(spec, "t", "intern", number, state, 1)


def bom(*keks: Kek, doors: Sequence[DoorKey] = ()) -> dict[str, Any]:
    made = inventory(
        installation="proef",
        version="0.1.0",
        serial="00000000-0000-0000-0000-000000000000",
        made="2026-11-28T00:00:00+00:00",
        keks=keks,
        records={"t/intern/2": 7},
        signing={"hyok-audit/proef/1": "-----BEGIN PUBLIC KEY-----"},
        ciphers=["TLS_AES_256_GCM_SHA384"],
        token="HSM",
        doors=doors,
    )
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found


def test_the_inventory_names_every_key_with_its_state_and_what_it_leans_on() -> None:
    document = bom(kek(1, KeyState.DESTROYED), kek(2, KeyState.ACTIVE))
    by_ref = {one["bom-ref"]: one for one in document["components"]}
    assert len(by_ref) == len(document["components"])
    states = {
        ref: one["cryptoProperties"]["relatedCryptoMaterialProperties"]["state"]
        for ref, one in by_ref.items()
        if ref.startswith("key:t/")
    }
    assert states == {"key:t/intern/1": "destroyed", "key:t/intern/2": "active"}
    for one in by_ref.values():
        material = one["cryptoProperties"].get("relatedCryptoMaterialProperties", {})
        assert material.get("algorithmRef", "alg:sha-256") in by_ref
    assert "alg:rsa-3072-oaep-sha256" not in by_ref, "only what is in use"
    assert "alg:rsa-3072-oaep-sha256" in {
        one["bom-ref"] for one in bom(kek(1, KeyState.ACTIVE, 4))["components"]
    }
    assert {str(one["bom-ref"]) for one in ALGORITHMS} >= {
        ref for ref in by_ref if ref.startswith("alg:")
    }


def test_the_log_is_counted_in_its_period_and_a_line_that_lacks_something_is_seen(
    tmp_path: Path,
) -> None:
    log = tmp_path / "audit.jsonl"
    whole = {
        "seq": 1,
        "at_ms": 1_000,
        "phase": "conclude",
        "action": "object:get",
        "outcome": "done",
        "actor": "app",
        "origin": "192.0.2.1",
    }
    rows = [
        whole | {"at_ms": 10},
        whole,
        whole | {"outcome": "denied"},
        whole | {"action": "approval:execute", "actor": "officer:anna", "origin": "local"},
        {key: value for key, value in whole.items() if key != "origin"},
        {"seq": 6, "at_ms": 1_001, "phase": "conclude", "action": "audit:gap", "outcome": "done"},
    ]
    lines = [
        json.dumps(row | {"seq": number}, sort_keys=True, separators=(",", ":"))
        for number, row in enumerate(rows, 1)
    ]
    log.write_text("\n".join(lines) + "\n")
    found = count(log, since_ms=500)
    assert (found.records, found.denied, found.gaps, found.incomplete) == (5, 1, 1, 1)
    assert (found.done["object:get"], found.done["approval:execute"]) == (2, 1)
    assert found.actors == {"officer:anna"}


@pytest.mark.parametrize(
    ("whole", "states"),
    [
        (KeyState.ACTIVE, ["destroyed", "deactivated", "active"]),
        (KeyState.SUSPENDED, ["destroyed", "suspended", "suspended"]),
        (KeyState.DESTROYED, ["destroyed", "destroyed", "destroyed"]),
    ],
)
def test_the_inventory_names_each_version_of_a_doors_key(
    whole: KeyState, states: list[str]
) -> None:
    each = (KeyState.DESTROYED, KeyState.DEACTIVATED, KeyState.ACTIVE)
    versions = tuple(
        DoorVersion(number, KekSpec(f"hyok-door/t/kms/{number}", 0, bytes(16)), state, 4096)
        for number, state in enumerate(each, 1)
    )
    apps, usage = frozenset({"aws-kms"}), CIPHER
    key = DoorKey("t", "kms", "vertrouwelijk", apps, usage, whole, versions, 1)
    found = [one for one in bom(doors=[key])["components"] if "hyok-door/" in one["bom-ref"]]
    material = [one["cryptoProperties"]["relatedCryptoMaterialProperties"] for one in found]
    assert [one["state"] for one in material] == states
    assert {(one["algorithmRef"], one["size"]) for one in material} == {("alg:aes-256-gcm", 256)}
    properties = {one["name"]: one["value"] for one in found[0]["properties"]}
    assert properties["hyok:encryptions-at-most"] == "4096"
    assert properties["hyok:usage"] == "decrypt,encrypt"


@pytest.mark.parametrize(
    ("use", "algorithm"),
    [
        (Usage.WRAP, "alg:aes-256-kwp"),
        (Usage.HMAC, "alg:hmac-sha256"),
        (Usage.SIGN, "alg:ecdsa-p256-sha256"),
    ],
)
def test_the_inventory_tells_what_each_sort_of_key_does(use: Usage, algorithm: str) -> None:
    version = DoorVersion(1, KekSpec("hyok-door/t/kek/1", 0, bytes(8)), KeyState.ACTIVE, 0)
    apps, usage = frozenset({"azure"}), frozenset({use})
    key = DoorKey("t", "kek", "intern", apps, usage, KeyState.ACTIVE, (version,), 1)
    by_ref = {one["bom-ref"]: one for one in bom(doors=[key])["components"]}
    found = by_ref["key:hyok-door/t/kek/1"]["cryptoProperties"]
    assert found["relatedCryptoMaterialProperties"]["algorithmRef"] == algorithm
    assert algorithm in by_ref


@pytest.mark.parametrize(("kind", "bits"), [("rsa-2048", 2048), ("rsa-4096", 4096)])
def test_the_inventory_names_pairs_of_doors(kind: str, bits: int) -> None:
    spec = KekSpec("hyok-door/t/geheim/1", 128, bytes(16), public_key=b"DER")
    version = DoorVersion(1, spec, KeyState.ACTIVE, 0)
    apps, usage = frozenset({"office"}), frozenset({Usage.DECRYPT})
    key = DoorKey("t", "geheim", "geheim", apps, usage, KeyState.ACTIVE, (version,), 1, kind)
    by_ref = {one["bom-ref"]: one for one in bom(doors=[key])["components"]}
    found = by_ref["key:hyok-door/t/geheim/1"]["cryptoProperties"]
    material = found["relatedCryptoMaterialProperties"]
    assert (material["type"], material["size"]) == ("private-key", bits)
    assert material["id"] == version.key_id
    assert material["algorithmRef"] in by_ref
