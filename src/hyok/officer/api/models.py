"""What goes over the wire: JSON with names in camelCase, unknown names refused.

Times are unix milliseconds in UTC, as in the audit log and in what officers sign.

Source: NL GOV REST API Design Rules 2.1; RFC 9457 (problem details).
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from hyok.custody.quorum import Act, Role, State, Verdict
from hyok.officer.actions import REASON_CHARS_MAX
from hyok.officer.break_glass import FINDING_CHARS_MAX

T = TypeVar("T")
Text = Annotated[str, Field(min_length=1, max_length=REASON_CHARS_MAX)]
Base64Url = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,11000}$")]
Times = Annotated[
    int, Field(strict=True, ge=0, le=1 << 53, description="Unix time in milliseconds.")
]
EFFECT_ENTRIES_MAX = 16


class Sent(BaseModel):
    """What we answer."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True
    )


class Received(BaseModel):
    """What we are asked."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=False)


class FieldProblem(Sent):
    """One thing that is wrong with a request."""

    location: str = Field(description="body, query, path or header, and the name in it.")
    detail: str


class Problem(Sent):
    """Why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(default="", description="As docs/errors.md lists it.")
    effect: str = ""
    next_step: str = ""
    errors: tuple[FieldProblem, ...] = ()


class Page(Sent, Generic[T]):
    """A part of a list."""

    items: tuple[T, ...]
    page: int
    page_size: int
    total: int


class Me(Sent):
    """Who is asking, as the register knows them."""

    person: str
    name: str
    roles: tuple[Role, ...]
    identity: str = Field(description="What this request was signed in with.")
    method: str


class OfficerOut(Sent):
    """One officer."""

    person: str
    name: str
    roles: tuple[Role, ...]
    active: bool


class IdentityOut(Sent):
    """One thing that somebody signs in or signs with."""

    identity: str
    kind: str
    person: str


class QuorumOut(Sent):
    """How many approve beside the author, and of which roles."""

    approvals: int
    among: tuple[Role, ...]
    development: bool


class DecisionOut(Sent):
    """What somebody said of a proposal."""

    person: str
    verdict: Verdict
    at_ms: Times
    sequence: int
    method: str
    reason: str


class ProposalLine(Sent):
    """A proposal in a list."""

    id: str
    act: str
    author: str
    state: str = Field(description="As in a proposal, or `not genuine`.")
    missing: int
    created_ms: Times
    expires_ms: Times


class ProposalOut(Sent):
    """A proposal, proven."""

    id: str
    act: Act
    state: State
    missing: int = Field(
        description="Approvals that are missing, if anybody but the author executes it."
    )
    missing_for_author: int = Field(
        description="The same, if the author executes it with their own key or authenticator."
    )
    author: str
    reason: str
    tenant: str
    classification: str
    effect: dict[str, str | int | list[str]]
    canonical: str = Field(description="Exactly the text that is approved and executed.")
    sha256: str = Field(description="Of `canonical` as UTF-8, hex.")
    own_hand: bool = Field(description="To approve or execute it takes a key or authenticator.")
    quorum: QuorumOut
    created_ms: Times
    expires_ms: Times
    decisions: tuple[DecisionOut, ...]


class ProposalIn(Received):
    """What somebody wants done."""

    act: Act
    effect: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=64)],
            Annotated[str, Field(max_length=4_096)]
            | Annotated[int, Field(strict=True, ge=-(1 << 53), le=1 << 53)]
            | Annotated[list[Annotated[str, Field(max_length=1_024)]], Field(max_length=100)],
        ],
        Field(max_length=EFFECT_ENTRIES_MAX),
    ]
    reason: Text


class StatementIn(Received):
    """What somebody is about to say: asked for, to be signed."""

    verdict: Literal["approve", "refuse", "withdraw", "execute"]
    method: Literal["webauthn", "ed25519"]
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)] = ""


class CredentialOut(Sent):
    """An authenticator of whoever asks."""

    identity: str
    credential_id: Base64Url


class StatementOut(Sent):
    """What is to be signed, for the next minutes, by whoever asked."""

    statement: str = Field(description="Canonical JSON; what the signature is about.")
    at_ms: Times
    sequence: int
    challenge: Base64Url = Field(description="What an authenticator signs for the statement.")
    rp_id: str
    credentials: tuple[CredentialOut, ...]


class KeySignature(Received):
    r"""By an officer's own key, over ``hyok officer\\n`` and the statement."""

    method: Literal["ed25519"]
    at_ms: Times
    sequence: Annotated[int, Field(strict=True, ge=0, le=1_000)]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class AuthenticatorSignature(Received):
    """By an authenticator, over the statement's challenge."""

    method: Literal["webauthn"]
    at_ms: Times
    sequence: Annotated[int, Field(strict=True, ge=0, le=1_000)]
    credential_id: Base64Url
    client_data: Base64Url
    authenticator_data: Base64Url
    signature: Base64Url


Signature = Annotated[KeySignature | AuthenticatorSignature, Field(discriminator="method")]


class DecisionIn(Received):
    """What somebody says of a proposal."""

    verdict: Literal["approve", "refuse", "withdraw"]
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)] = ""
    signature: Signature | None = None


class ExecutionIn(Received):
    """That what was approved is to be done."""

    signature: Signature | None = None


class ExecutionOut(Sent):
    """What came of it."""

    proposal: str
    said: str
    whole: bool
    figures: dict[str, str | int | bool]


class GrantOut(Sent):
    """A break-glass grant."""

    id: str
    app: str
    tenant: str
    bucket: str
    keys: tuple[str, ...]
    prefix: str
    classification: str
    ticket: str
    author: str
    starts_ms: Times
    ends_ms: Times
    running: bool
    review_due_ms: Times
    reviewer: str
    finding: str
    door: str = ""
    operations: tuple[str, ...] = ()
    people: tuple[str, ...] = ()


class ReviewIn(Received):
    """What somebody found who looked at a grant that ended."""

    finding: Annotated[str, Field(min_length=1, max_length=FINDING_CHARS_MAX)]


class ChallengeOut(Sent):
    """What a new authenticator is made for."""

    challenge: Base64Url
    rp_id: str
    person: str
    name: str
    user_id: Base64Url
    algorithms: tuple[int, ...]
    known: tuple[CredentialOut, ...]


class AuthenticatorIn(Received):
    """An authenticator that was made for a challenge."""

    challenge: Base64Url
    client_data: Base64Url
    attestation: Base64Url
    reason: Text


class BucketOut(Sent):
    """A bucket."""

    bucket: str
    tenant: str
    store: str
    classification: str
    names: str
    public: bool


class AppOut(Sent):
    """An application that speaks S3."""

    app: str
    tenant: str
    clearance: int
    grants: tuple[str, ...]
    purpose: str
    buckets: tuple[str, ...] | None
    state: str


class KeyOut(Sent):
    """One version of a key in the HSM."""

    kek: str
    tenant: str
    classification: str
    version: int
    state: str
    created_ms: Times


class ClassificationOut(Sent):
    """What a classification demands of officers."""

    classification: str
    level: int
    labels: tuple[str, ...]
    denied: bool
    lower: int
    export: int
    destroy_key: int
    break_glass: bool


class RecordsOut(Sent):
    """The audit log's records of one request, in order."""

    items: tuple[dict[str, str | int | list[str]], ...]


class SignInOut(Sent):
    """Where and how one signs in."""

    issuer: str
    client_id: str = Field(description="Of programs on officers' own machines.")
    scopes: tuple[str, ...]
    development: bool
