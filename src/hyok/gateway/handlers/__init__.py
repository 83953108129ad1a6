"""TABLE: operation → handler, and how much body it may bring.

What is not in the table is refused by name before anybody gets here (`hyok.s3.operations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.gateway.handlers import (
    attributes,
    buckets,
    deleting,
    lifecycle,
    locks,
    multipart,
    objects,
    part_copy,
    post_form,
    restoring,
    versions,
)
from hyok.gateway.handlers import bucket_settings as settings
from hyok.gateway.handlers import tagging as object_tags
from hyok.s3 import cors, documents, ownership, tagging
from hyok.s3 import lifecycle as lifecycle_rules
from hyok.s3.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.gateway.call import Call, Services

NO_BODY = 0
STREAMED = None


@dataclass(frozen=True, slots=True)
class Handling:
    """How one operation is carried out.

    ``body_bytes_max``: `NO_BODY`, the limit of a document, or `STREAMED` for object data.
    ``action``: what the policy is asked; empty where the answer depends on no bucket.
    ``signed``: with credentials only; else whoever asks gets as far as the policy lets them.
    """

    handler: Callable[[Services, Call], Awaitable[None]]
    action: str
    body_bytes_max: int | None = NO_BODY
    in_bucket: bool = True  # the bucket must exist and be visible before the handler runs
    signed: bool = True


_O = Operation
_SET = "bucket:configure"
_NO_CONFIGURATION = Handling(settings.absent("NoSuchConfiguration"), settings.LOOK)


def _unset(root: str) -> Handling:
    """Tell a setting that was never made."""
    return Handling(settings.telling(lambda _bucket: ownership.render_unset(root)), settings.LOOK)


TABLE: Mapping[Operation, Handling] = {
    _O.PUT_OBJECT: Handling(objects.put, "object:put", STREAMED),
    _O.GET_OBJECT: Handling(objects.get, "object:get", signed=False),
    _O.HEAD_OBJECT: Handling(objects.head, "object:head", signed=False),
    _O.GET_OBJECT_ATTRIBUTES: Handling(attributes.get, "object:head"),
    # Its credentials stand in the body, so the handler itself asks who it is.
    _O.POST_OBJECT: Handling(post_form.post, "", STREAMED, in_bucket=False, signed=False),
    _O.DELETE_OBJECT: Handling(deleting.delete, "object:delete"),
    _O.DELETE_OBJECTS: Handling(deleting.delete_many, "object:delete", documents.DELETE_BYTES_MAX),
    _O.COPY_OBJECT: Handling(objects.copy, "object:put"),
    _O.CREATE_MULTIPART_UPLOAD: Handling(multipart.create, "object:put"),
    _O.UPLOAD_PART: Handling(multipart.upload_part, "object:put", STREAMED),
    _O.UPLOAD_PART_COPY: Handling(part_copy.upload_part_copy, "object:put"),
    _O.COMPLETE_MULTIPART_UPLOAD: Handling(
        multipart.complete, "object:put", documents.COMPLETE_BYTES_MAX
    ),
    _O.ABORT_MULTIPART_UPLOAD: Handling(multipart.abort, "object:put"),
    _O.LIST_PARTS: Handling(multipart.list_parts, "upload:list"),
    _O.LIST_MULTIPART_UPLOADS: Handling(multipart.list_uploads, "upload:list"),
    _O.LIST_OBJECTS: Handling(buckets.list_objects, "bucket:list"),
    _O.LIST_OBJECTS_V2: Handling(buckets.list_objects_v2, "bucket:list"),
    _O.HEAD_BUCKET: Handling(buckets.head, "bucket:list"),
    _O.GET_BUCKET_LOCATION: Handling(buckets.location, "bucket:list"),
    _O.LIST_BUCKETS: Handling(buckets.list_all, "", in_bucket=False),
    _O.CREATE_BUCKET: Handling(
        buckets.create, "bucket:create", documents.SMALL_BYTES_MAX, in_bucket=False
    ),
    _O.DELETE_BUCKET: Handling(buckets.delete, "bucket:delete"),
    # versions, tags and locks
    _O.LIST_OBJECT_VERSIONS: Handling(versions.list_all, "bucket:list"),
    _O.GET_BUCKET_VERSIONING: Handling(versions.get_versioning, settings.LOOK),
    _O.PUT_BUCKET_VERSIONING: Handling(versions.put_versioning, _SET, documents.SMALL_BYTES_MAX),
    _O.GET_OBJECT_TAGGING: Handling(object_tags.get, "object:head"),
    _O.PUT_OBJECT_TAGGING: Handling(object_tags.put, "object:put", tagging.TAGGING_BYTES_MAX),
    _O.DELETE_OBJECT_TAGGING: Handling(object_tags.delete, "object:put"),
    _O.GET_OBJECT_LOCK_CONFIGURATION: Handling(locks.get_configuration, settings.LOOK),
    _O.PUT_OBJECT_LOCK_CONFIGURATION: Handling(
        locks.put_configuration, _SET, documents.SMALL_BYTES_MAX
    ),
    _O.GET_OBJECT_RETENTION: Handling(locks.get_retention, "object:head"),
    _O.PUT_OBJECT_RETENTION: Handling(
        locks.put_retention, "object:lock", documents.SMALL_BYTES_MAX
    ),
    _O.GET_OBJECT_LEGAL_HOLD: Handling(locks.get_legal_hold, "object:head"),
    _O.PUT_OBJECT_LEGAL_HOLD: Handling(
        locks.put_legal_hold, "object:lock", documents.SMALL_BYTES_MAX
    ),
    # settings that we answer ourselves
    _O.GET_BUCKET_CORS: Handling(settings.get_cors, settings.LOOK),
    _O.PUT_BUCKET_CORS: Handling(settings.put_cors, _SET, cors.CONFIGURATION_BYTES_MAX),
    _O.DELETE_BUCKET_CORS: Handling(settings.delete_cors, _SET),
    _O.OPTIONS_OBJECT: Handling(settings.preflight, "", signed=False),
    _O.GET_BUCKET_TAGGING: Handling(settings.get_tagging, settings.LOOK),
    _O.PUT_BUCKET_TAGGING: Handling(settings.put_tagging, _SET, tagging.TAGGING_BYTES_MAX),
    _O.DELETE_BUCKET_TAGGING: Handling(settings.delete_tagging, _SET),
    _O.GET_BUCKET_LIFECYCLE_CONFIGURATION: Handling(lifecycle.get, settings.LOOK),
    _O.PUT_BUCKET_LIFECYCLE_CONFIGURATION: Handling(
        lifecycle.put, _SET, lifecycle_rules.CONFIGURATION_BYTES_MAX
    ),
    _O.DELETE_BUCKET_LIFECYCLE: Handling(lifecycle.delete, _SET),
    # settings that have one value here
    _O.GET_BUCKET_ACL: Handling(settings.get_acl, settings.LOOK),
    _O.PUT_BUCKET_ACL: Handling(settings.put_acl, _SET, documents.SMALL_BYTES_MAX),
    _O.GET_OBJECT_ACL: Handling(settings.get_object_acl, "object:head"),
    _O.PUT_OBJECT_ACL: Handling(settings.put_object_acl, "object:head", documents.SMALL_BYTES_MAX),
    _O.GET_BUCKET_OWNERSHIP_CONTROLS: Handling(
        settings.telling(lambda _bucket: ownership.render_ownership_controls()), settings.LOOK
    ),
    _O.PUT_BUCKET_OWNERSHIP_CONTROLS: Handling(
        settings.accepting(ownership.check_ownership_controls), _SET, documents.SMALL_BYTES_MAX
    ),
    _O.GET_BUCKET_REQUEST_PAYMENT: Handling(
        settings.telling(lambda _bucket: ownership.render_request_payment()), settings.LOOK
    ),
    _O.PUT_BUCKET_REQUEST_PAYMENT: Handling(
        settings.accepting(ownership.check_request_payment), _SET, documents.SMALL_BYTES_MAX
    ),
    _O.GET_BUCKET_ENCRYPTION: Handling(settings.telling(settings.encryption_of), settings.LOOK),
    _O.PUT_BUCKET_ENCRYPTION: Handling(
        settings.accepting(ownership.check_encryption), _SET, documents.SMALL_BYTES_MAX
    ),
    _O.DELETE_BUCKET_ENCRYPTION: Handling(settings.delete_nothing, _SET),
    _O.GET_BUCKET_POLICY_STATUS: Handling(
        settings.telling(settings.policy_status_of), settings.LOOK
    ),
    _O.GET_PUBLIC_ACCESS_BLOCK: Handling(
        settings.telling(settings.public_access_of), settings.LOOK
    ),
    _O.GET_BUCKET_WEBSITE: Handling(settings.absent("NoSuchWebsiteConfiguration"), settings.LOOK),
    _O.GET_BUCKET_REPLICATION: Handling(
        settings.absent("ReplicationConfigurationNotFoundError"), settings.LOOK
    ),
    _O.RESTORE_OBJECT: Handling(restoring.restore, "object:head", documents.SMALL_BYTES_MAX),
    # what nobody could have set, since setting it is refused
    _O.GET_BUCKET_POLICY: Handling(settings.absent("NoSuchBucketPolicy"), settings.LOOK),
    _O.DELETE_BUCKET_POLICY: Handling(settings.delete_nothing, _SET),
    _O.DELETE_BUCKET_REPLICATION: Handling(settings.delete_nothing, _SET),
    _O.DELETE_BUCKET_WEBSITE: Handling(settings.delete_nothing, _SET),
    _O.GET_BUCKET_ACCELERATE_CONFIGURATION: _unset("AccelerateConfiguration"),
    _O.GET_BUCKET_LOGGING: _unset("BucketLoggingStatus"),
    _O.GET_BUCKET_NOTIFICATION_CONFIGURATION: _unset("NotificationConfiguration"),
    _O.LIST_BUCKET_ANALYTICS_CONFIGURATIONS: _unset("ListBucketAnalyticsConfigurationResult"),
    _O.LIST_BUCKET_INTELLIGENT_TIERING_CONFIGURATIONS: _unset(
        "ListBucketIntelligentTieringConfigurationsOutput"
    ),
    _O.LIST_BUCKET_INVENTORY_CONFIGURATIONS: _unset("ListInventoryConfigurationsResult"),
    _O.LIST_BUCKET_METRICS_CONFIGURATIONS: _unset("ListMetricsConfigurationsResult"),
    _O.GET_BUCKET_ANALYTICS_CONFIGURATION: _NO_CONFIGURATION,
    _O.DELETE_BUCKET_ANALYTICS_CONFIGURATION: _NO_CONFIGURATION,
    _O.GET_BUCKET_INTELLIGENT_TIERING_CONFIGURATION: _NO_CONFIGURATION,
    _O.DELETE_BUCKET_INTELLIGENT_TIERING_CONFIGURATION: _NO_CONFIGURATION,
    _O.GET_BUCKET_INVENTORY_CONFIGURATION: _NO_CONFIGURATION,
    _O.DELETE_BUCKET_INVENTORY_CONFIGURATION: _NO_CONFIGURATION,
    _O.GET_BUCKET_METRICS_CONFIGURATION: _NO_CONFIGURATION,
    _O.DELETE_BUCKET_METRICS_CONFIGURATION: _NO_CONFIGURATION,
}
