"""Versions, tags and object lock of an S3 store: the calls on what hangs on a bucket or object.

Stores differ: SeaweedFS passes over a version id in a bucket that never had versions, reading and
deleting the object that is there; it removes a bucket in which versions are left, and locks where
object lock is off.  So an answer is checked for the version that was asked for, a version is
deleted only where versions were ever switched on, and a bucket is asked before it is removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends import s3_documents as documents
from hyok.backends import s3_wire as wire
from hyok.backends.object_lock import check_asked, check_default
from hyok.backends.port import Deleted
from hyok.backends.s3_bodies import check_version, missing, version_query
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import Condition, DefaultLock, Lock, VersionListing
    from hyok.backends.s3_endpoint import Endpoint

_LAST_CODE_POINT = "\U0010ffff"
_BYPASS = {"x-amz-bypass-governance-retention": "true"}
_REFUSED_CREDENTIALS = "HY-4002"


class Subresources:
    """The part of `S3Store` that speaks of versions, tags and locks."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._versioned: set[str] = set()  # buckets known to have, or to have had, versions
        self._locking: set[str] = set()  # buckets known to have object lock

    # -- versions ------------------------------------------------------------------------------

    async def versioning(self, bucket: str) -> str:
        answer = await self._endpoint.request(
            "GET", bucket, query=[("versioning", "")], missing="NoSuchBucket"
        )
        return documents.parse_versioning(answer.body)

    async def set_versioning(self, bucket: str, status: str) -> None:
        if status not in {"Enabled", "Suspended"}:
            raise Malformed("Versions are Enabled or Suspended.", reason="MalformedXML")
        await self._endpoint.send_document(
            "PUT",
            bucket,
            "",
            [("versioning", "")],
            documents.render_versioning(status),
            missing="NoSuchBucket",
        )

    async def _has_versions(self, bucket: str) -> bool:
        """Were versions ever switched on?  That is never taken back, so a yes is remembered."""
        if bucket not in self._versioned:
            try:
                if not await self.versioning(bucket):
                    return False
            except Refused:
                return False  # the store knows no versions
            self._versioned.add(bucket)
        return True

    async def _check_named(self, bucket: str, version_id: str) -> None:
        """Raise `NotFound` for an id in a bucket that never had versions."""
        if version_id not in {"", "null"} and not await self._has_versions(bucket):
            raise NotFound("The specified version does not exist.", reason="NoSuchVersion")

    async def list_versions(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        after_version: str = "",
        limit: int = 1000,
    ) -> VersionListing:
        if after_version and not after:
            raise Malformed("A version id to go on from needs a key.", reason="InvalidArgument")
        query = [("versions", ""), ("encoding-type", "url"), ("max-keys", str(limit))]
        if prefix:
            query.append(("prefix", prefix))
        if delimiter:
            query.append(("delimiter", delimiter))
        if after:
            # A common prefix stands for everything below it.
            rolled = delimiter and after.endswith(delimiter) and after != prefix
            query.append(("key-marker", after + _LAST_CODE_POINT if rolled else after))
        if after_version:
            query.append(("version-id-marker", after_version))
        answer = await self._endpoint.request("GET", bucket, query=query, missing="NoSuchBucket")
        return documents.parse_versions(answer.body)

    async def _delete(
        self,
        bucket: str,
        name: str,
        condition: Condition,
        version_id: str,
        *,
        bypass_governance: bool,
    ) -> Deleted:
        if version_id not in {"", "null"} and not await self._has_versions(bucket):
            return Deleted()
        headers = wire.condition_headers(condition) | (_BYPASS if bypass_governance else {})
        try:
            answer = await self._endpoint.request(
                "DELETE", bucket, name, query=version_query(version_id), headers=headers
            )
        except NotFound as error:
            if error.reason == "NoSuchBucket":
                raise
            return Deleted()
        except Unavailable as error:
            raise await self._explained(error, bucket, name, version_id) from error
        marker = answer.headers.get(wire.MARKER) == "true"
        return Deleted(answer.headers.get(wire.VERSION, ""), marker)

    async def delete_bucket(self, bucket: str) -> None:
        if await self._has_versions(bucket):
            page = await self.list_versions(bucket, limit=1)
            if page.versions:
                raise Conflict("The bucket is not empty.", reason="BucketNotEmpty")
        await self._endpoint.request("DELETE", bucket, missing="NoSuchBucket")
        self._versioned.discard(bucket)
        self._locking.discard(bucket)

    # -- tags ----------------------------------------------------------------------------------

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        await self._check_named(bucket, version_id)
        answer = await self._endpoint.request(
            "GET",
            bucket,
            name,
            query=[("tagging", ""), *version_query(version_id)],
            missing=missing(version_id),
        )
        return documents.parse_tags(answer.body)

    async def set_tags(
        self, bucket: str, name: str, tags: Mapping[str, str], version_id: str = ""
    ) -> str:
        await self._check_named(bucket, version_id)
        if not version_id and await self._has_versions(bucket):
            # Not every store says which version it tagged, so the newest is named beforehand.
            version_id = (await self._head(bucket, name)).get(wire.VERSION, "")
        answer = await self._endpoint.send_document(
            "PUT",
            bucket,
            name,
            [("tagging", ""), *version_query(version_id)],
            documents.render_tags(tags),
            missing=missing(version_id),
        )
        return answer.headers.get(wire.VERSION, "") or version_id

    # -- object lock ---------------------------------------------------------------------------

    async def object_lock(self, bucket: str) -> DefaultLock | None:
        try:
            answer = await self._endpoint.request("GET", bucket, query=[("object-lock", "")])
        except NotFound as error:
            if error.reason == "NoSuchBucket":
                raise
            return None
        return documents.parse_object_lock(answer.body)

    async def set_object_lock(self, bucket: str, default: DefaultLock) -> None:
        check_default(default)
        await self._endpoint.send_document(
            "PUT",
            bucket,
            "",
            [("object-lock", "")],
            documents.render_object_lock(default),
            missing="NoSuchBucket",
        )

    async def set_lock(
        self,
        bucket: str,
        name: str,
        lock: Lock,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> None:
        check_asked(lock, 0)  # whether the date is past is the store's to say
        if not await self._has_object_lock(bucket):
            raise Malformed("The bucket has no object lock.", reason="InvalidRequest")
        # SeaweedFS would hold a delete marker, or fail over nothing: so a version is named.
        version_id = (await self._head(bucket, name, version_id)).get(wire.VERSION, version_id)
        calls: list[tuple[str, bytes]] = []
        if lock.mode or lock.until_ms:
            calls.append(("retention", documents.render_retention(lock)))
        if lock.hold is not None:
            calls.append(("legal-hold", documents.render_hold(lock.hold)))
        for subresource, body in calls:
            try:
                await self._endpoint.send_document(
                    "PUT",
                    bucket,
                    name,
                    [(subresource, ""), *version_query(version_id)],
                    body,
                    headers=_BYPASS if bypass_governance else {},
                    missing="NoSuchVersion",
                )
            except Unavailable as error:
                raise await self._explained(error, bucket, name, version_id) from error

    async def _has_object_lock(self, bucket: str) -> bool:
        """Is object lock on?  That is never taken back, so a yes is remembered."""
        if bucket not in self._locking and await self.object_lock(bucket) is not None:
            self._locking.add(bucket)
        return bucket in self._locking

    async def _head(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        answer = await self._endpoint.request(
            "HEAD", bucket, name, query=version_query(version_id), missing=missing(version_id)
        )
        check_version(version_id, answer.headers)
        return answer.headers

    async def _explained(
        self, error: Unavailable, bucket: str, name: str, version_id: str
    ) -> HyokError:
        """Return why the store said no: its lock on the version, or our credentials."""
        if error.code != _REFUSED_CREDENTIALS:
            return error
        try:
            found = await self._head(bucket, name, version_id)
        except HyokError:
            return error
        if not wire.is_locked(found):
            return error
        return Refused(
            "Object lock protects this version.",
            reason="AccessDenied",
            effect="Nothing was removed or changed.",
        )
