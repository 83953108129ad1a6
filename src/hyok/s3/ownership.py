"""Settings of a bucket that have one value here: what is told of them, and what may be asked.

Nobody grants access with an ACL: the bucket is as one with *bucket owner enforced*.  Nothing of
this is kept, and nothing reaches the store.

Source: Amazon S3 User Guide, "Controlling ownership of objects and disabling ACLs"; Amazon S3 API
Reference, the operations named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.s3.documents import malformed, parse
from hyok.s3.elements import document, flag, leaf, optional, owner_element

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.s3.documents import Element

OWNER_ENFORCED = "BucketOwnerEnforced"
CANNED_ACCEPTED = frozenset({"private", "bucket-owner-full-control"})
CANNED_ACLS = CANNED_ACCEPTED | {
    "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read",
    "log-delivery-write",
}  # fmt: skip

_OWNERSHIPS = (OWNER_ENFORCED, "BucketOwnerPreferred", "ObjectWriter")
_GRANTS = ("read", "write", "read-acp", "write-acp", "full-control")
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


# --- ACLs ----------------------------------------------------------------------------------------


def render_acl(owner: str) -> bytes:
    """Return AccessControlPolicy: the owner has full control, nobody else has anything."""
    grantee = owner_element("Grantee", owner).replace(
        "<Grantee>", f'<Grantee xmlns:xsi="{_XSI}" xsi:type="CanonicalUser">', 1
    )
    grant = f"<Grant>{grantee}{leaf('Permission', 'FULL_CONTROL')}</Grant>"
    return document(
        "AccessControlPolicy",
        [owner_element("Owner", owner), f"<AccessControlList>{grant}</AccessControlList>"],
    )


def check_acl_headers(header: Callable[[str], str | None]) -> None:
    """Return quietly if the headers of a write or of a PUT ``?acl`` grant nobody anything.

    Raises:
        Malformed: an ACL that S3 does not know (``InvalidArgument``), or one that grants
            something (``AccessControlListNotSupported``).
    """
    canned = header("x-amz-acl")
    if canned is not None and canned not in CANNED_ACLS:
        raise Malformed("The canned ACL you provided is not known.", reason="InvalidArgument")
    granted = any(header(f"x-amz-grant-{grant}") is not None for grant in _GRANTS)
    if granted or (canned is not None and canned not in CANNED_ACCEPTED):
        raise _no_acls()


def check_acl_document(body: bytes | memoryview, owner: str) -> None:
    """Return quietly if an AccessControlPolicy gives the owner full control and nobody anything.

    Raises:
        Malformed: bad XML (``MalformedXML``), or a grant (``AccessControlListNotSupported``).
    """
    if len(body) == 0:
        return  # the headers say it all
    root = parse(body, "AccessControlPolicy")
    lists = root.all("AccessControlList")
    if len(lists) != 1:
        raise malformed()
    grants = lists[0].all("Grant")
    if len(grants) != 1 or not _is_owners(grants[0], owner):
        raise _no_acls()


def _is_owners(grant: Element, owner: str) -> bool:
    grantees = grant.all("Grantee")
    return (
        (grant.value("Permission") or "").strip() == "FULL_CONTROL"
        and len(grantees) == 1
        and (grantees[0].value("ID") or "").strip() == owner
    )


def _no_acls() -> Malformed:
    return Malformed("The bucket does not allow ACLs", reason="AccessControlListNotSupported")


def render_ownership_controls() -> bytes:
    """Return OwnershipControls, as GetBucketOwnershipControls tells them."""
    rule = f"<Rule>{leaf('ObjectOwnership', OWNER_ENFORCED)}</Rule>"
    return document("OwnershipControls", [rule])


def check_ownership_controls(body: bytes | memoryview) -> None:
    """Return quietly if OwnershipControls ask for what is so already.

    Raises:
        Malformed: bad XML (``MalformedXML``).
        Refused: another ownership, which would bring ACLs back (``NotImplemented``).
    """
    rules = parse(body, "OwnershipControls").all("Rule")
    wanted = (rules[0].value("ObjectOwnership") or "").strip() if len(rules) == 1 else ""
    if wanted not in _OWNERSHIPS:
        raise malformed()
    _check_ownership(wanted)


def check_ownership_header(header: Callable[[str], str | None]) -> None:
    """Return quietly if a CreateBucket asks for no other ownership.

    Raises:
        Malformed: one that S3 does not know (``InvalidArgument``).
        Refused: another ownership (``NotImplemented``).
    """
    wanted = header("x-amz-object-ownership")
    if wanted is None:
        return
    if wanted not in _OWNERSHIPS:
        raise Malformed("Invalid x-amz-object-ownership header", reason="InvalidArgument")
    _check_ownership(wanted)


def _check_ownership(wanted: str) -> None:
    if wanted != OWNER_ENFORCED:
        raise Refused(
            "ACLs would bypass the policy; the bucket owner owns every object.",
            reason="NotImplemented",
        )


# --- who pays ------------------------------------------------------------------------------------


def render_request_payment() -> bytes:
    """Return RequestPaymentConfiguration: the owner pays."""
    return document("RequestPaymentConfiguration", [leaf("Payer", "BucketOwner")])


def check_request_payment(body: bytes | memoryview) -> None:
    """Return quietly if a RequestPaymentConfiguration asks for what is so already.

    Raises:
        Malformed: bad XML (``MalformedXML``).
        Refused: the requester shall pay (``NotImplemented``).
    """
    payer = (parse(body, "RequestPaymentConfiguration").value("Payer") or "").strip()
    if payer not in ("BucketOwner", "Requester"):
        raise malformed()
    if payer == "Requester":
        raise Refused("The gateway bills nobody, so no requester pays.", reason="NotImplemented")


# --- what nobody could have set ------------------------------------------------------------------

_LISTS = (
    "ListBucketAnalyticsConfigurationResult",
    "ListBucketIntelligentTieringConfigurationsOutput",
    "ListInventoryConfigurationsResult",
    "ListMetricsConfigurationsResult",
)


def render_unset(root: str) -> bytes:
    """Return the document of a setting that was never made: empty, or an empty list."""
    return document(root, [flag("IsTruncated", on=False)] if root in _LISTS else [])


# --- encryption ----------------------------------------------------------------------------------


def render_encryption(kek_id: str) -> bytes:
    """Return ServerSideEncryptionConfiguration: everything is sealed, under this KEK."""
    default = f"{leaf('SSEAlgorithm', 'aws:kms')}{optional('KMSMasterKeyID', kek_id)}"
    rule = (
        f"<Rule><ApplyServerSideEncryptionByDefault>{default}"
        f"</ApplyServerSideEncryptionByDefault>{flag('BucketKeyEnabled', on=False)}</Rule>"
    )
    return document("ServerSideEncryptionConfiguration", [rule])


def check_encryption(body: bytes | memoryview) -> None:
    """Return quietly if a ServerSideEncryptionConfiguration asks for what is so already.

    Raises:
        Malformed: bad XML (``MalformedXML``).
        Refused: a key of the client's choice (``AccessDenied``), or a way of encrypting that is not
            offered (``NotImplemented``).
    """
    rules = parse(body, "ServerSideEncryptionConfiguration").all("Rule")
    if len(rules) != 1:
        raise malformed()
    for default in rules[0].all("ApplyServerSideEncryptionByDefault"):
        algorithm = (default.value("SSEAlgorithm") or "").strip()
        if algorithm not in ("AES256", "aws:kms", "aws:kms:dsse"):
            raise malformed()
        if (default.value("KMSMasterKeyID") or "").strip():
            # The classification picks the key; a client that names one would be misled.
            raise Refused(
                "The key of an object follows from its classification and cannot be chosen.",
                reason="AccessDenied",
            )
        if algorithm == "aws:kms:dsse":
            raise Refused("Objects are sealed once, not in two layers.", reason="NotImplemented")


# --- public access -------------------------------------------------------------------------------


def render_policy_status(*, public: bool) -> bytes:
    """Return PolicyStatus: does the policy bundle let anybody read without signing?"""
    return document("PolicyStatus", [flag("IsPublic", on=public)])


def render_public_access_block(*, public: bool) -> bytes:
    """Return PublicAccessBlockConfiguration: no ACL and no bucket policy can open the bucket.

    ``public``: the policy bundle lets anybody read without signing, so nothing restricts that.
    """
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy")
    pieces = [flag(name, on=True) for name in names]
    return document(
        "PublicAccessBlockConfiguration", [*pieces, flag("RestrictPublicBuckets", on=not public)]
    )
