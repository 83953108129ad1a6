"""Who is asking, for which bucket, and how sensitive is what they bring: before any body is read.

The signature comes before everything else; until it holds, nothing is looked up but the access key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotAuthenticated, Refused
from hyok.policy.classify import UNKNOWN, effective, judge
from hyok.s3.names import check_bucket_name
from hyok.sigv4.form import parse_form_credentials, verify_form
from hyok.sigv4.verify import parse_credentials, verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.gateway.port import Credential, Credentials, SessionCredentials
    from hyok.objects.registry import BucketRegistry
    from hyok.policy.classifications import Classifications
    from hyok.policy.classify import Judged
    from hyok.s3.request import S3Request
    from hyok.sigv4.form import SignedPolicy
    from hyok.sigv4.verify import SignedRequest, Verified
    from hyok.vocabulary import Bucket, ClassificationName, Principal

_REFUSED_HEADERS: Mapping[str, str] = {
    "x-amz-server-side-encryption-customer-algorithm": "keys of the client's own (SSE-C)",
    "x-amz-server-side-encryption-customer-key": "keys of the client's own (SSE-C)",
    "x-amz-copy-source-server-side-encryption-customer-algorithm": "SSE-C",
    "x-amz-website-redirect-location": "website redirects",
    "x-amz-write-offset-bytes": "appending to objects",
    "x-amz-if-match-last-modified-time": "conditions on times of directory buckets",
    "x-amz-if-match-initiated-time": "conditions on times of directory buckets",
    "x-amz-if-match-size": "conditions on sizes of directory buckets",
}
"""Headers that ask for something we do not do; to ignore them would be to claim that we do."""

_REFUSED_NAMES = frozenset(_REFUSED_HEADERS)
_JUDGED_NAMES = frozenset(
    {
        "x-amz-acl",
        "x-amz-server-side-encryption",
        "x-amz-storage-class",
        "x-amz-expected-bucket-owner",
    }
)
_ACLS_ACCEPTED = frozenset({"private", "bucket-owner-full-control", "bucket-owner-read"})
_SSE_ACCEPTED = frozenset({"AES256", "aws:kms"})
_STORAGE_CLASSES_ACCEPTED = frozenset({"STANDARD"})


class Admission:
    """Lets requests in.  Made once by wiring."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        buckets: BucketRegistry,
        classifications: Classifications,
        regions: Sequence[str],
        sessions: SessionCredentials | None = None,
    ) -> None:
        self._credentials = credentials
        self._buckets = buckets
        self._classifications = classifications
        self._regions = tuple(regions)
        self._sessions = sessions

    async def authenticate(
        self, request: S3Request, now_ms: int
    ) -> tuple[Principal, Verified] | None:
        """Return who signed the request, and the proof; None where it brings no credentials.

        Raises:
            NotAuthenticated, Malformed, Refused: as `hyok.sigv4.verify` says; a session token that
                is not good has the reason ``InvalidToken`` or ``ExpiredToken``.
            Unavailable: access keys cannot be looked up.
        """
        claim = parse_credentials(
            request.method, request.raw_path, request.raw_query, request.headers
        )
        if claim is None:
            return None
        credential = await self._credential(claim, now_ms)
        proof = verify(
            claim, credential.secret.get_secret_value(), now_ms=now_ms, regions=self._regions
        )
        if not claim.session_token:
            self._credentials.note_use(claim.access_key)
        return credential.principal, proof

    async def authenticate_form(
        self, fields: Mapping[str, str], now_ms: int
    ) -> tuple[Principal, Verified]:
        """Return who signed the policy of a browser's form, and the proof.

        Raises:
            NotAuthenticated, Malformed, Refused: as `hyok.sigv4.form` says; a form that nobody
                signed has the reason ``AccessDenied``; a session token as in `authenticate`.
            Unavailable: access keys cannot be looked up.
        """
        claim = parse_form_credentials(fields)
        if claim is None:
            raise NotAuthenticated("Access Denied", reason="AccessDenied")
        credential = await self._credential(claim, now_ms)
        proof = verify_form(
            claim, credential.secret.get_secret_value(), now_ms=now_ms, regions=self._regions
        )
        if not claim.session_token:
            self._credentials.note_use(claim.access_key)
        return credential.principal, proof

    async def _credential(self, claim: SignedRequest | SignedPolicy, now_ms: int) -> Credential:
        """Return the secret that the claim must have been signed with."""
        if claim.session_token:
            if self._sessions is None:
                raise NotAuthenticated(
                    "The provided token is malformed or otherwise invalid.", reason="InvalidToken"
                )
            return await self._sessions.find(claim.access_key, claim.session_token, now_ms)
        credential = await self._credentials.find(claim.access_key)
        if credential is None:
            raise NotAuthenticated(
                "The AWS Access Key Id you provided does not exist in our records.",
                reason="InvalidAccessKeyId",
            )
        return credential

    async def bucket(self, principal: Principal, name: str) -> Bucket:
        """Return a bucket that this principal may at all be told of.

        Raises:
            NotFound: there is none (reason ``NoSuchBucket``).
            Refused: it is another tenant's, or outside what the app was registered for.
        """
        check_bucket_name(name)
        bucket = await self._buckets.get(name)
        if not is_visible(principal, bucket):
            raise Refused("Access Denied", reason="AccessDenied")
        return bucket

    def judge(
        self,
        bucket: Bucket,
        key: str,
        tags: Mapping[str, str],
        user_metadata: Mapping[str, str],
        *,
        at_least: str = "",
    ) -> Judged:
        """Return the classification and scope label of an object about to be written.

        ``at_least``: a classification it must not fall below (the source of a copy).

        Raises:
            Refused: an unknown label, or one that this bucket's rules do not allow.
        """
        return judge(self._classifications, bucket, key, tags, user_metadata, at_least=at_least)

    def check_not_lower(self, source: str, target: str) -> None:
        """Return quietly if something of classification ``source`` may become part of ``target``.

        Raises:
            Refused: it would be kept as less than it is (code HY-3206).
        """
        level = self._classifications.level
        if source != target and source != UNKNOWN and level(source) > level(target):
            raise Refused(
                f"The source is {source} and the upload was begun as {target}; a copy is never "
                "less than its source. Begin the upload with the label of the source.",
                reason="AccessDenied",
                code="HY-3206",
            )

    def is_lower(self, one: str, other: str) -> bool:
        """Say whether a classification is below another."""
        return self._classifications.level(one) < self._classifications.level(other)

    def expires_by_rules(self, classification: str) -> bool:
        """Say whether lifecycle rules may take away objects of a classification."""
        return self._classifications.get(classification).retention.by_rules

    def known_label(self, label: str) -> ClassificationName:
        """Return the classification of a label that a new bucket is given.

        Raises:
            Refused: unknown.
        """
        return effective(
            self._classifications, bucket_default=UNKNOWN, prefix_rule=None, labels=[label]
        )


def is_visible(principal: Principal, bucket: Bucket) -> bool:
    """Is the bucket of the principal's tenant and within its registration?"""
    if bucket.tenant != principal.tenant:
        return False
    return not principal.buckets or bucket.bucket_id in principal.buckets


def check_headers(request: S3Request, tenant: str) -> None:
    """Return quietly if no header asks for what we do not do.

    Raises:
        Refused, Malformed: one does; the reason is S3's code for it.
    """
    if request.has_any(_REFUSED_NAMES):
        for name, what in _REFUSED_HEADERS.items():
            if request.header(name) is not None:
                raise Refused(f"{name}: {what} is not offered.", reason="NotImplemented")
    if not request.has_any(_JUDGED_NAMES) and not request.headers_under("x-amz-grant-"):
        return
    acl = request.header("x-amz-acl")
    if (acl is not None and acl not in _ACLS_ACCEPTED) or request.headers_under("x-amz-grant-"):
        raise Malformed("The bucket does not allow ACLs", reason="AccessControlListNotSupported")
    _check_sse(request)
    storage_class = request.header("x-amz-storage-class")
    if storage_class is not None and storage_class not in _STORAGE_CLASSES_ACCEPTED:
        raise Malformed(
            "The storage class you specified is not valid", reason="InvalidStorageClass"
        )
    owner = request.header("x-amz-expected-bucket-owner")
    if owner is not None and owner != tenant:
        raise Refused("Access Denied", reason="AccessDenied")


def check_read_headers(request: S3Request) -> None:
    """Return quietly if a read does not say how the object is to be encrypted.

    Raises:
        Malformed: it does (reason ``InvalidArgument``); whoever means it would take the object for
            something else than it is.

    Source: Amazon S3 API Reference, GetObject and HeadObject, "Encryption".
    """
    if request.header("x-amz-server-side-encryption") is not None:
        raise Malformed(
            "x-amz-server-side-encryption header is not supported for this operation.",
            reason="InvalidArgument",
        )


def _check_sse(request: S3Request) -> None:
    asked = request.header("x-amz-server-side-encryption")
    if asked is not None and asked not in _SSE_ACCEPTED:
        raise Malformed(
            "The encryption method specified is not supported", reason="InvalidArgument"
        )


def check_key_choice(request: S3Request, tenant: str, classification: ClassificationName) -> None:
    """Return quietly if the request names no key, or one of those that its object gets anyway.

    s3fs-fuse says with every copy which key the source has, as its HEAD told.  Any version will do:
    the newest seals.

    Raises:
        Refused: it names another; the client would be misled (reason ``AccessDenied``).
        Malformed: it names another, and no ``aws:kms`` with it (reason ``InvalidArgument``).
    """
    asked = request.header("x-amz-server-side-encryption-aws-kms-key-id")
    key = f"{tenant}/{classification}"
    if not asked or asked == key:
        return
    name, _, version = asked.rpartition("/")
    if name != key and request.header("x-amz-server-side-encryption") != "aws:kms":
        raise Malformed(
            "Server Side Encryption with AWS KMS managed key requires HTTP header "
            "x-amz-server-side-encryption : aws:kms",
            reason="InvalidArgument",
        )
    if name != key or not (version.isascii() and version.isdigit()):
        raise Refused(
            f"The key of an object follows from its classification: this one gets {key}. "
            "Name that key or none.",
            reason="AccessDenied",
        )
