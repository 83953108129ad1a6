"""Officers and what they sign in and sign with."""

from __future__ import annotations

from fastapi import APIRouter, Response

from hyok.custody.quorum import Act, Officer
from hyok.identity.passkeys import ALGORITHMS, decode, encode, read_registration
from hyok.officer.api.models import (
    AuthenticatorIn,
    ChallengeOut,
    CredentialOut,
    IdentityOut,
    Me,
    OfficerOut,
    Page,
    ProposalOut,
    SignInOut,
)
from hyok.officer.api.paging import PageNumber, PageSize, page_of
from hyok.officer.api.paths import PersonId
from hyok.officer.api.proposals import proposal_out
from hyok.officer.api.who import Caller, Desk

router = APIRouter(prefix="/v1", tags=["officers"])
public = APIRouter(prefix="/v1", tags=["sign-in"])


@public.get("/sign-in")
async def how_to_sign_in(desk: Desk) -> SignInOut:
    """Say where officers sign in.  Without authentication."""
    client = desk.sign_in.judge.client if desk.sign_in is not None else None
    return SignInOut(
        issuer=client.issuer if client else "",
        client_id=(client.cli_client_id or client.client_id) if client else "",
        scopes=client.scopes if client else (),
        development=desk.development,
    )


@router.get("/me")
async def who_am_i(caller: Caller) -> Me:
    """Say who is asking, as the register knows them."""
    officer = caller.officer
    return Me(
        person=officer.person,
        name=officer.name,
        roles=tuple(sorted(officer.roles)),
        identity=caller.signer.identity,
        method=caller.signer.method,
    )


@router.get("/officers")
async def list_officers(
    caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[OfficerOut]:
    """List officers, those who left too."""
    found = [officer_out(one) for one in caller.register.officers.values()]
    return page_of(found, page, page_size, response)


@router.get("/officers/{person}")
async def show_officer(person: PersonId, caller: Caller) -> OfficerOut:
    """Show one officer."""
    return officer_out(caller.register.get(person))


@router.get("/identities")
async def list_identities(
    caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[IdentityOut]:
    """List what officers sign in and sign with; a public key or a name, never a secret."""
    found = [
        IdentityOut(identity=word, kind=word.partition(":")[0], person=person)
        for word, person in sorted(caller.register.identities.items())
    ]
    return page_of(found, page, page_size, response)


@router.post("/authenticator-challenges", status_code=201)
async def challenge_authenticator(desk: Desk, caller: Caller) -> ChallengeOut:
    """Return what a new authenticator of the officer has to be made for, within five minutes."""
    known = await desk.authenticators.of(caller.register.identities_of(caller.person))
    return ChallengeOut(
        challenge=encode(desk.challenges.new(caller.person)),
        rp_id=desk.site.rp_id,
        person=caller.person,
        name=caller.officer.name,
        user_id=encode(caller.person.encode()),
        algorithms=tuple(ALGORITHMS),
        known=tuple(
            CredentialOut(identity=one.identity, credential_id=encode(one.credential_id))
            for one in known
        ),
    )


@router.post("/authenticators", status_code=201)
async def propose_authenticator(
    asked: AuthenticatorIn, desk: Desk, caller: Caller, response: Response
) -> ProposalOut:
    """Propose that the officer signs with this authenticator; another officer approves it."""
    challenge = decode(asked.challenge)
    desk.challenges.use(caller.person, challenge)
    made = read_registration(
        decode(asked.client_data), decode(asked.attestation), challenge, desk.site
    )
    case = await desk.actions.propose(
        caller.signer,
        Act.ADD_IDENTITY,
        {
            "person": caller.person,
            "identity": made.identity,
            "rp_id": made.rp_id,
            "credential_id": made.credential_id.hex(),
            "public_key": made.public_key.hex(),
        },
        asked.reason,
        origin=caller.origin,
    )
    response.headers["Location"] = f"/v1/proposals/{case.proposal.proposal_id}"
    return proposal_out(case, desk.clock_ms())


def officer_out(officer: Officer) -> OfficerOut:
    """Return an officer as they go over the wire."""
    return OfficerOut(
        person=officer.person,
        name=officer.name,
        roles=tuple(sorted(officer.roles)),
        active=officer.active,
    )
