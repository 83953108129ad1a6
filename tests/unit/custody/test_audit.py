"""The log shows what was refused, what failed and what was about to change, without a name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.custody.test_custodian import READ, House, asking, house, issue

from hyok.envelope.block import parse, render
from hyok.errors import HyokError, Refused, Tampered, Unavailable

__all__ = ["house"]


async def test_an_envelope_that_does_not_open_is_recorded_after_its_intent(house: House) -> None:
    envelope = await issue(house, asking("intern"))
    house.journal.entries.clear()
    with pytest.raises(Tampered):
        await house.custodian.recover(replace(READ, key="ander"), envelope)
    assert [(r.phase, r.outcome, r.error, durable) for r, durable in house.journal.entries] == [
        ("intend", "pending", "", False),
        ("conclude", "failed", "Tampered:", True),
    ]
    assert house.journal.records[-1].object_id == parse(envelope).object_id.hex()


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"kek_id": "ander/intern/1"}, "denied"),
        ({"kek_id": "t/geheim/1"}, "denied"),
        ({"scope": "bucket:anders"}, "failed"),
        ({"scope": "names:dossiers"}, "failed"),
        ({"scope": "object"}, "failed"),
    ],
)
async def test_what_does_not_fit_the_configuration_is_recorded_and_asks_no_hsm(
    house: House, change: dict[str, str], outcome: str
) -> None:
    genuine = parse(await issue(house, asking("intern")))
    house.keyring.forget()
    house.journal.entries.clear()
    before = len(house.hsm.asked)
    with pytest.raises(HyokError):
        await house.custodian.recover(READ, render(genuine._replace(**change)))
    assert [(r.phase, r.outcome, durable) for r, durable in house.journal.entries] == [
        ("conclude", outcome, True)
    ]
    assert len(house.hsm.asked) == before


async def test_bytes_that_are_no_envelope_are_tampering_not_the_clients_mistake(
    house: House,
) -> None:
    with pytest.raises(Tampered):
        await house.custodian.recover(READ, b"HYK1 and more")
    assert house.journal.records[-1].outcome == "failed"


async def test_a_deletion_is_on_disk_before_it_happens(house: House) -> None:
    ask = asking("vertrouwelijk", "object:delete")
    ask = replace(ask, principal=replace(ask.principal, grants=frozenset({"delete"})))
    await house.custodian.decide(ask)
    (record, durable) = house.journal.entries[-1]
    assert (record.phase, record.action, durable) == ("intend", "object:delete", True)
    house.journal.away = True
    with pytest.raises(Unavailable):
        await house.custodian.decide(ask)


async def test_a_record_names_an_object_by_an_id_that_repeats_but_tells_no_name(
    house: House,
) -> None:
    ask = asking("intern", "object:delete")
    for key in ("sleutel", "sleutel", "ander"):
        await house.custodian.conclude(replace(ask, key=key), "done")
    one, same, other = (record.object_id for record in house.journal.records)
    assert one == same != other
    assert one.startswith("name:")
    assert "sleutel" not in repr(house.journal.records)


async def test_a_refused_act_is_recorded_with_the_object_it_asked_for(house: House) -> None:
    ask = asking("geheim")
    with pytest.raises(Refused):
        await house.custodian.decide(replace(ask, principal=replace(ask.principal, clearance=0)))
    assert house.journal.records[-1].outcome == "denied"
    assert house.journal.records[-1].object_id.startswith("name:")
