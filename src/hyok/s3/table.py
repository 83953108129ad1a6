"""docs/s3-compatibility.md, made from the operation table."""

from __future__ import annotations

from hyok.s3.catalog import ROWS, Answer, Row

_HEAD = """# S3 compatibility

<!-- Made from src/hyok/s3/catalog.py by docs/generate_s3_table.py; a test compares the two. -->

Every operation of Amazon S3 has a row with one of three answers. *sealed*: carried out with the
meaning it has for the plaintext; what the store gets is sealed. *forwarded*: signed anew and passed
on, since nothing in it leaks or takes effect on the plaintext. *refused*: answered with
`NotImplemented` (501) and the reason given here. Nothing else is passed on to the store.

"""

_NOTES = """
## Notes

*ETags.* An ETag is a function of the store's own and tells nothing of the plaintext. It ends in
`-h`, or in `-N` where an object was uploaded in parts. N counts the parts *at the store*: those of
the client, and one more where the last of them has 5 MiB or more, since the object's trailer is
then a part of its own. A listing has the store's ETag and nothing else, and the same ETag must
stand in every answer and hold in every condition, so the client's own count cannot be shown.
GetObjectAttributes and `partNumber=` tell it. The ETag of a part is longer; Complete takes it with
or without quotes.

*Conditions on writes.* If-None-Match: `*` and If-Match with one ETag, as Amazon S3 has them; also
If-Match: `*` and If-None-Match with one ETag on PutObject, which Amazon S3 does not offer. Each of
them only where the store decides it in the same step as it writes ([stores.md](stores.md));
otherwise `NotImplemented`.

*Checksums.* CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512, MD5, XXHASH64, XXHASH3 and XXHASH128
are verified over the plaintext, in a header or a trailer, for objects, parts and forms, and each is
told in the answer to that request. The first six are kept beside the object and told again. Of the
others the format has no place: a CRC64NVME of our own is kept in their stead, and for an upload in
parts none. Checksums of single parts are told until the upload is complete and not afterwards: the
format has no place for them ([why](adr/0029-what-a-store-was-seen-to-do.md)).

*Archives.* No object is in one, since only STANDARD is served: RestoreObject answers
`InvalidObjectState`, as Amazon S3 does then. A store that archives by rules of its own makes
objects unreadable until somebody restores them there.

*Settings that nobody can make* (bucket policy, website, replication, logging, notifications,
acceleration, analytics, inventory, metrics, tiering) are told as never made, and taking them away
is taken for done or, with an id, for `NoSuchConfiguration`, as Amazon S3 answers of such a bucket.

*Parts.* Number 10000 is for a last part below 5 MiB alone. A CompleteMultipartUpload that lists a
part twice is out of order. An upload that stays open for more than 7 days is dropped. A part copied
from an object of a higher classification than the upload's is refused.

*Browser forms (PostObject).* Signed with version 4; forms without a signature, or with one of
version 2, are refused. `content-length-range` is about the plaintext. A file of more than 1 MiB
must be the last field, and the form must end with the closing boundary and CRLF, as browsers and
libraries write it: the length of the file follows from that of the request. Fields behind a shorter
file are ignored.

*Lifecycle rules.* The gateway keeps them and carries them out; the store never has one, since it
could not see sealed names, tags and plaintext sizes. Days end at the midnight UTC that follows.
`Transition` and `NoncurrentVersionTransition` are an `InvalidStorageClass`: only STANDARD is
served. Several conditions in a Filter without And are taken, and all of them must hold; Amazon S3
refuses them. A rule that takes objects away needs the grant `delete` beside the one for settings,
and the bucket's classification must let rules do that ([policies.md](policies.md)).
`x-amz-expiration` is not told of a version that is asked for by its id, nor by
CompleteMultipartUpload where a rule is about tags or sizes. How rules are carried out:
[operate.md](operate.md), "Objects that expire".

*Long work.* CopyObject, UploadPartCopy and CompleteMultipartUpload answer when they know how it
ended. A client that waits longer than `gateway.patience_seconds` (10 s) is sent status 200 and
white space first, as S3 does; then an error comes inside of the 200, which every SDK looks for, and
`x-amz-version-id` is missing.

*Signatures of version 2*, which boto3 makes for presigned addresses unless it is told
`signature_version="s3v4"`, are refused with a sentence that says so.
"""

_COLUMNS = {
    Answer.SEALED: "Answer",
    Answer.FORWARDED: "Forwarded because",
    Answer.REFUSED: "Refused because",
}


def render() -> str:
    """Return the page."""
    rows = {
        answer: sorted((row for row in ROWS if row.answer is answer), key=_name)
        for answer in Answer
    }
    counts = [f"{len(rows[answer])} are {answer.value}" for answer in Answer]
    lines = [f"Of {len(ROWS)} operations {counts[0]}, {counts[1]} and {counts[2]}.", ""]
    for answer, held in rows.items():
        lines += [f"## {answer.value.capitalize()}", ""]
        if not held:
            lines += ["None.", ""]
            continue
        lines += [f"| Operation | Request | {_COLUMNS[answer]} |", "|---|---|---|"]
        lines += [f"| {_name(row)} | `{_wire(row)}` | {row.reason or 'sealed'} |" for row in held]
        lines.append("")
    return _HEAD + "\n".join(lines[:-1]) + "\n" + _NOTES


def _name(row: Row) -> str:
    return row.operation.value


def _wire(row: Row) -> str:
    path = {"service": "/", "bucket": "/{bucket}", "object": "/{bucket}/{key}"}[row.target.value]
    query = "?" + "&".join(row.names) if row.names else ""
    header = f" with {row.header}" if row.header else ""
    return f"{row.method} {path}{query}{header}"
