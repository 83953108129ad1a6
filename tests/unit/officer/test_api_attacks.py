"""Going around four eyes by the API: each way is refused, changes nothing, and is on the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update
from tests.fakes.authenticator import BE, UP, UV, SoftAuthenticator
from tests.unit.officer.door import ISSUER, MINUTE_MS, Provider, registered

from hyok.custody.approval_rows import add_decision
from hyok.custody.proofs import authenticator_proof, challenge_of
from hyok.custody.quorum import Verdict
from hyok.custody.signing import Presigned
from hyok.database.tables import officer_authenticators, officer_decisions, officer_sessions
from hyok.errors import HyokError, NotAuthenticated, Tampered
from hyok.identity.passkeys import Assertion, Authenticator, decode
from hyok.officer.api.who import COOKIE, CSRF_HEADER

if TYPE_CHECKING:
    import httpx
    from tests.unit.officer.door import Door


async def refused(door: Door, answer: httpx.Response, status: int, code: str) -> None:
    """See that it was refused, why, and that the audit log has it."""
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == code, answer.text
    assert any(code in error for _, _, error in door.denied()), door.denied()
    assert door.desk.act.done == []


async def verdicts(door: Door, proposal: str) -> list[str]:
    case = await door.desk.actions.get(proposal)
    return [str(decision.verdict) for decision in case.decisions]


async def test_nobody_approves_their_own_by_a_second_token_or_a_second_login(door: Door) -> None:
    anna = await registered(door, "anna")
    await door.desk.register.add_identity("anna", f"oidc:{ISSUER}#anna-at-home")
    proposal = await door.propose("anna")
    path = f"/v1/proposals/{proposal}"
    for shown in ("anna", "anna"):  # two tokens of one login
        body = {"verdict": "approve"}
        await refused(
            door, await door.ask(shown, "POST", f"{path}/decisions", body), 403, "HY-2503"
        )
    second = f"Bearer {door.provider.token('', sub='anna-at-home')}"
    for body, to in (
        ({"verdict": "approve", "method": "webauthn"}, "statements"),
        ({"verdict": "approve"}, "decisions"),
    ):
        answer = await door.ask("", "POST", f"{path}/{to}", body, authorization=second)
        await refused(door, answer, 403, "HY-2503")
    del anna
    assert await verdicts(door, proposal) == ["propose"]


async def test_two_tokens_of_one_person_are_one_approval(door: Door) -> None:
    bram = await registered(door, "bram", "anna")
    await door.desk.register.add_identity("bram", f"oidc:{ISSUER}#bram-at-home")
    proposal = await door.propose("anna")
    assert (await door.decide("bram", proposal, "approve", bram)).status_code == 201
    second = f"Bearer {door.provider.token('', sub='bram-at-home')}"
    asked = {"verdict": "approve", "method": "webauthn"}
    path = f"/v1/proposals/{proposal}/statements"
    answer = await door.ask("", "POST", path, asked, authorization=second)
    assert answer.status_code == 409
    assert answer.json()["code"] == "HY-2504"


async def test_a_signature_is_used_once_and_for_one_thing(door: Door) -> None:
    bram, chris = await registered(door, "bram", "anna"), await registered(door, "chris")
    one, other = await door.propose("anna"), await door.propose("anna", n="2")
    signature = await door.signed("bram", one, "approve", bram)

    async def sent(person: str, proposal: str, verdict: str, what: Any) -> httpx.Response:
        body = {"verdict": verdict, "signature": what}
        return await door.ask(person, "POST", f"/v1/proposals/{proposal}/decisions", body)

    # For another proposal, another verdict, by another person, or executed instead of approved.
    await refused(door, await sent("bram", other, "approve", signature), 401, "HY-2512")
    await refused(door, await sent("bram", one, "refuse", signature), 401, "HY-2512")
    await refused(door, await sent("chris", one, "approve", signature), 403, "HY-2503")
    body = {"signature": signature}
    answer = await door.ask("bram", "POST", f"/v1/proposals/{one}/executions", body)
    assert answer.status_code == 403
    assert (await sent("bram", one, "approve", signature)).status_code == 201
    # Again: the person has decided; and a refusal in between makes the old signature stale.
    assert (await sent("bram", one, "approve", signature)).status_code == 409
    late = await door.signed("chris", other, "approve", chris)
    door.desk.now[0] += 5 * MINUTE_MS + 1
    await refused(door, await sent("chris", other, "approve", late), 401, "HY-2512")
    assert await verdicts(door, one) == ["propose", "approve"]
    assert await verdicts(door, other) == ["propose"]


async def test_a_signature_under_an_old_sequence_is_refused(door: Door) -> None:
    bram, chris = await registered(door, "bram", "anna"), await registered(door, "chris")
    proposal = await door.propose("anna")
    waiting = await door.signed("chris", proposal, "approve", chris)
    assert (await door.decide("bram", proposal, "approve", bram)).status_code == 201
    body = {"verdict": "approve", "signature": waiting}
    answer = await door.ask("chris", "POST", f"/v1/proposals/{proposal}/decisions", body)
    await refused(door, answer, 401, "HY-2512")


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (UP, {}),  # nobody typed a PIN
        (UV, {}),
        (UP | UV | BE, {}),  # a key that its vendor copies to a cloud
        (UP | UV, {"origin": "https://localhost:8445"}),
        (UP | UV, {"origin": "https://evil.example"}),
        (UP | UV, {"rp_id": "evil.example"}),
    ],
)
async def test_an_authenticator_answers_for_its_site_with_its_person_verified(
    door: Door, flags: int, changes: dict[str, str]
) -> None:
    bram = await registered(door, "bram", "anna")
    proposal = await door.propose("anna")
    bram.flags = flags
    for name, value in changes.items():
        setattr(bram, name, value)
    await refused(door, await door.decide("bram", proposal, "approve", bram), 401, "HY-2512")
    assert await verdicts(door, proposal) == ["propose"]


async def test_a_page_that_frames_us_gets_no_signature(door: Door) -> None:
    bram = await registered(door, "bram", "anna")
    proposal = await door.propose("anna")
    for more in ({"crossOrigin": True}, {"topOrigin": "https://evil.example"}):
        signature = await door.signed("bram", proposal, "approve", bram, **more)
        body = {"verdict": "approve", "signature": signature}
        answer = await door.ask("bram", "POST", f"/v1/proposals/{proposal}/decisions", body)
        await refused(door, answer, 401, "HY-2512")


async def test_a_copied_authenticator_betrays_itself(door: Door) -> None:
    bram = await registered(door, "bram", "anna")
    first, second = await door.propose("anna"), await door.propose("anna", n="2")
    assert (await door.decide("bram", first, "approve", bram)).status_code == 201
    bram.count = 0  # the copy was made before
    await refused(door, await door.decide("bram", second, "approve", bram), 401, "HY-2512")


async def test_an_authenticator_that_nobody_approved_signs_nothing(door: Door) -> None:
    mine = SoftAuthenticator()
    proposal = await door.propose("anna")
    answer = await door.decide("bram", proposal, "approve", mine)
    await refused(door, answer, 403, "HY-2503")
    asked = await door.ask("bram", "POST", "/v1/authenticator-challenges")
    challenge = asked.json()["challenge"]
    body = {"challenge": challenge, "reason": "r", **mine.make(decode(challenge))}
    made = (await door.ask("bram", "POST", "/v1/authenticators", body)).json()["id"]
    answer = await door.decide("bram", proposal, "approve", mine)
    await refused(door, answer, 403, "HY-2503")
    # Nor is it approved by whom it belongs to, nor is its challenge good for a second one.
    await refused(
        door,
        await door.ask("bram", "POST", f"/v1/proposals/{made}/decisions", {"verdict": "approve"}),
        *(403, "HY-2503"),
    )
    again = await door.ask("bram", "POST", "/v1/authenticators", body)
    await refused(door, again, 401, "HY-2512")
    theirs = await door.ask("chris", "POST", "/v1/authenticator-challenges")
    challenge = theirs.json()["challenge"]
    body = {"challenge": challenge, "reason": "r", **mine.make(decode(challenge))}
    answer = await door.ask("bram", "POST", "/v1/authenticators", body)
    await refused(door, answer, 401, "HY-2512")


async def test_tokens_that_are_not_for_us_lead_to_nobody(door: Door) -> None:
    provider, now = door.provider, door.desk.now[0] // 1000
    other = Provider("https://login.elders.example", now=door.desk.now)
    forged = Provider(ISSUER, now=door.desk.now)  # the same name, another key
    tokens = [
        *(other.token("anna"), forged.token("anna"), other.token("anna", iss=ISSUER)),
        provider.token("anna", aud="another-client"),
        provider.token("anna", exp=now - 61),
        provider.token("anna", nbf=now + 120),
        provider.token("nobody"),
        provider.token("anna")[:-4] + "AAAA",
        "x",
    ]
    for token in tokens:
        answer = await door.ask("", "GET", "/v1/me", authorization=f"Bearer {token}")
        assert answer.status_code == 401, token
    denied = door.denied()
    assert len(denied) == len(tokens)
    assert {actor for _, actor, _ in denied} == {"anonymous"}


async def session(door: Door, person: str) -> tuple[dict[str, str], str]:
    word = await door.services.sessions.begin(f"oidc:{ISSUER}#sub-{person}", "00" * 32)
    found = await door.services.sessions.find(word)
    return {"cookie": f"{COOKIE}={word}"}, found.csrf


async def test_a_cookie_without_its_csrf_word_changes_nothing(door: Door) -> None:
    cookie, csrf = await session(door, "anna")
    body = {"act": "object:export", "effect": {"bucket": "b"}, "reason": "waarom"}
    _, theirs = await session(door, "bram")
    for word in ({}, {CSRF_HEADER: ""}, {CSRF_HEADER: theirs}):
        answer = await door.ask("", "POST", "/v1/proposals", body, **cookie, **word)
        await refused(door, answer, 403, "HY-2516")
    assert (await door.ask("", "GET", "/v1/me", **cookie)).json()["person"] == "anna"
    made = await door.ask("", "POST", "/v1/proposals", body, **cookie, **{CSRF_HEADER: csrf})
    assert made.status_code == 201
    assert made.json()["author"] == "anna"


async def test_a_session_that_has_stood_idle_or_lasted_its_day_is_nobodys(door: Door) -> None:
    cookie, _ = await session(door, "anna")
    door.desk.now[0] += 17 * MINUTE_MS
    await refused(door, await door.ask("", "GET", "/v1/me", **cookie), 401, "HY-2517")
    cookie, _ = await session(door, "anna")
    for _ in range(59):
        door.desk.now[0] += 8 * MINUTE_MS
        assert (await door.ask("", "GET", "/v1/me", **cookie)).status_code == 200
    door.desk.now[0] += 8 * MINUTE_MS  # 480 in all, never idle
    await refused(door, await door.ask("", "GET", "/v1/me", **cookie), 401, "HY-2517")
    rows = officer_sessions  # nor does a row that was prolonged help
    far = update(rows).values(expires_ms=door.desk.now[0] * 2, seen_ms=door.desk.now[0])
    await door.desk.database.run(lambda connection: connection.execute(far))
    await refused(door, await door.ask("", "GET", "/v1/me", **cookie), 401, "HY-2517")


async def test_a_session_that_was_signed_out_or_written_by_hand_is_nobodys(door: Door) -> None:
    cookie, _ = await session(door, "anna")
    bram, _ = await session(door, "bram")
    rows = officer_sessions

    def swap(connection: Any) -> None:
        sealed = [r.sealed for r in connection.execute(select(rows).order_by(rows.c.session_id))]
        ids = [r.session_id for r in connection.execute(select(rows).order_by(rows.c.session_id))]
        for session_id, value in zip(ids, reversed(sealed), strict=True):
            connection.execute(
                update(rows).where(rows.c.session_id == session_id).values(sealed=value)
            )

    await door.desk.database.run(swap)
    for one in (cookie, bram):
        await refused(door, await door.ask("", "GET", "/v1/me", **one), 401, "HY-2517")
    await door.desk.database.run(swap)
    assert (await door.ask("", "GET", "/v1/me", **cookie)).status_code == 200
    found = await door.services.sessions.find(cookie["cookie"].partition("=")[2])
    await door.services.sessions.end(found)
    await refused(door, await door.ask("", "GET", "/v1/me", **cookie), 401, "HY-2517")


async def test_a_session_ends_with_the_login_that_it_began_with(door: Door) -> None:
    identity = f"oidc:{ISSUER}#sub-chris"
    word = await door.services.sessions.begin(identity, "00" * 32)
    cookie = {"cookie": f"{COOKIE}={word}"}
    async with door.client(**cookie) as client:
        assert (await client.get("/v1/me")).status_code == 200
        asked = {
            "act": "officer:remove-identity",
            "effect": {"person": "chris", "identity": identity},
            "reason": "account gekaapt",
        }
        made = await door.ask("anna", "POST", "/v1/proposals", asked)
        assert made.status_code == 201, made.text
        proposal = made.json()["id"]
        for other in ("bram", "dewi"):  # anna was only signed in
            await door.desk.actions.decide(door.desk.sign(other), proposal, Verdict.APPROVE)
        assert (await client.get("/v1/me")).status_code == 200
        await door.desk.actions.execute(door.desk.sign("bram"), proposal)
        assert (await client.get("/v1/me")).status_code == 401
    assert (await door.ask("chris", "GET", "/v1/me")).status_code == 401  # a token that still runs
    listed = (await door.ask("anna", "GET", "/v1/identities?pageSize=100")).json()["items"]
    assert identity not in {one["identity"] for one in listed}
    assert {"chris"} <= {one["person"] for one in listed}, "the officer stays, with a key"


async def test_an_officer_who_left_is_nobody_with_a_token_that_still_runs(door: Door) -> None:
    token = f"Bearer {door.provider.token('chris')}"
    assert (await door.ask("", "GET", "/v1/me", authorization=token)).status_code == 200
    await door.desk.register.revoke("chris")
    answer = await door.ask("", "GET", "/v1/me", authorization=token)
    await refused(door, answer, 401, "HY-2501")


async def test_an_edited_authenticator_or_proof_counts_for_nothing(door: Door) -> None:
    bram, chris = await registered(door, "bram", "anna"), await registered(door, "chris")
    proposal = await door.propose("anna")
    assert (await door.decide("bram", proposal, "approve", bram)).status_code == 201
    thief = SoftAuthenticator()
    rows = officer_authenticators
    mine = update(rows).where(rows.c.credential_id == chris.credential_id)
    await door.desk.database.run(lambda c: c.execute(mine.values(public_key=thief.cose)))
    thief.credential_id = chris.credential_id
    asked = {"verdict": "approve", "method": "webauthn"}
    answer = await door.ask("chris", "POST", f"/v1/proposals/{proposal}/statements", asked)
    assert answer.status_code == 500
    assert answer.json()["code"] == "HY-2507"
    decided = officer_decisions
    row = update(decided).where(decided.c.proposal_id == proposal, decided.c.sequence == 1)
    for changes in (
        {"verdict": "refuse"},
        {"person": "chris"},
        {"reason": "x"},
        {"method": "oidc"},
    ):
        before = await door.desk.database.read(
            lambda c: c.execute(
                select(decided).where(decided.c.proposal_id == proposal, decided.c.sequence == 1)
            ).one()
        )
        await door.desk.database.run(lambda c, v=changes: c.execute(row.values(**v)))
        with pytest.raises(Tampered):
            await door.desk.actions.get(proposal)
        old = {name: getattr(before, name) for name in changes}
        await door.desk.database.run(lambda c, v=old: c.execute(row.values(**v)))
    assert await verdicts(door, proposal) == ["propose", "approve"]


async def test_the_word_of_a_provider_is_not_counted_as_an_approval_from_a_row(door: Door) -> None:
    """Whoever writes rows and runs the provider still lacks the HSM's seal; and method counts."""
    proposal = await door.propose("anna")
    signer = Presigned(f"oidc:{ISSUER}#sub-bram", "oidc", door.desk.now[0], 1, b"{}")
    with pytest.raises(HyokError) as said:
        await door.desk.actions.decide(signer, proposal, Verdict.APPROVE)
    assert said.value.code == "HY-2514"
    with pytest.raises(NotAuthenticated):
        await door.desk.actions.decide(signer, proposal, Verdict.REFUSE)


async def test_an_author_by_login_alone_is_no_second_person(door: Door) -> None:
    """One officer with another's session: proposes in their name, approves it as themselves."""
    chris, anna = await registered(door, "chris"), await registered(door, "anna")
    effect = {"person": "gert", "name": "Gert", "roles": ["archivist"]}
    effect["identities"] = [f"oidc:{ISSUER}#sub-gert"]
    body = {"act": "officer:add", "effect": effect, "reason": "nieuwe collega"}
    proposal = (await door.ask("anna", "POST", "/v1/proposals", body)).json()["id"]
    approved = (await door.decide("chris", proposal, "approve", chris)).json()
    assert (approved["state"], approved["missing"], approved["missingForAuthor"]) == ("open", 1, 0)
    path = f"/v1/proposals/{proposal}/executions"
    signature = await door.signed("chris", proposal, "execute", chris)
    answer = await door.ask("chris", "POST", path, {"signature": signature})
    await refused(door, answer, 403, "HY-2506")
    # The author's own hand makes them a person.
    signature = await door.signed("anna", proposal, "execute", anna)
    answer = await door.ask("anna", "POST", path, {"signature": signature})
    assert answer.status_code == 201, answer.text


async def test_a_key_signs_for_whoever_is_signed_in_alone(door: Door) -> None:
    proposal = await door.propose("anna")
    asked = {"verdict": "approve", "method": "ed25519"}
    path = f"/v1/proposals/{proposal}"
    drafted = (await door.ask("bram", "POST", f"{path}/statements", asked)).json()
    proof = await door.desk.sign("bram").sign(drafted["statement"].encode())
    signature = {
        "method": "ed25519",
        "atMs": drafted["atMs"],
        "sequence": drafted["sequence"],
        "publicKey": proof[:32].hex(),
        "signature": proof[32:].hex(),
    }
    body = {"verdict": "approve", "signature": signature}
    answer = await door.ask("chris", "POST", f"{path}/decisions", body)
    await refused(door, answer, 403, "HY-2503")
    wrong = signature | {"signature": "00" * 64}
    answer = await door.ask("bram", "POST", f"{path}/decisions", body | {"signature": wrong})
    await refused(door, answer, 401, "HY-2512")
    assert (await door.ask("bram", "POST", f"{path}/decisions", body)).status_code == 201


async def test_a_decision_forged_with_an_authenticator_of_ones_own_is_found(door: Door) -> None:
    """Somebody with the database's password and a security key, but no place in the register."""
    await registered(door, "bram", "anna")
    proposal, thief = await door.propose("anna"), SoftAuthenticator()
    case = await door.desk.actions.get(proposal)
    approvals = door.desk.actions.approvals
    bram = door.desk.sign("bram").identity
    forged = await approvals.draft(proposal, bram, "webauthn", Verdict.APPROVE, "")
    made = thief.sign(challenge_of(forged.statement()))
    proof = authenticator_proof(
        Authenticator("localhost", thief.credential_id, thief.cose),
        Assertion(*(decode(made[n]) for n in ("clientData", "authenticatorData", "signature"))),
    )
    await door.desk.database.run(lambda c: add_decision(c, forged, proof))
    with pytest.raises(Tampered):
        await door.desk.actions.get(proposal)
    assert len(case.decisions) == 1
