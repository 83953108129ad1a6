"""S3's error codes, each with its HTTP status and the message S3 gives: one table.

Errors are raised as the kinds of `hyok.errors` with ``reason`` set to one of these names; a door
looks the status up here.

Source: Amazon S3 API Reference, "Error responses".
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Code:
    """One error of S3 as it goes over the wire."""

    name: str
    status: int
    message: str


_ROWS: tuple[tuple[str, int, str], ...] = (
    ("AccessControlListNotSupported", 400, "The bucket does not allow ACLs."),
    ("AccessDenied", 403, "Access Denied"),
    ("AccessForbidden", 403, "CORSResponse: CORS is not enabled for this bucket."),
    ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed."),
    ("AuthorizationQueryParametersError", 400, "Error parsing the authorization query."),
    ("BadDigest", 400, "The checksum you specified did not match what we received."),
    ("BadRequest", 400, "The request could not be understood."),
    ("BucketAlreadyExists", 409, "The requested bucket name is not available."),
    ("BucketAlreadyOwnedByYou", 409, "The bucket already exists and is yours."),
    ("BucketNotEmpty", 409, "The bucket you tried to delete is not empty."),
    ("ConditionalRequestConflict", 409, "A conflicting operation ran at the same time."),
    ("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed object size."),
    ("EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size."),
    ("ExpiredToken", 400, "The provided token has expired."),
    ("IllegalLocationConstraintException", 400, "The location constraint is incompatible."),
    ("IllegalVersioningConfigurationException", 400, "The versioning configuration is invalid."),
    ("IncompleteBody", 400, "You did not provide the number of bytes you declared."),
    (
        "IncorrectNumberOfFilesInPostRequest",
        400,
        "POST requires exactly one file upload per request.",
    ),
    ("InternalError", 500, "We encountered an internal error. Please try again."),
    ("InvalidAccessKeyId", 403, "The access key ID you provided does not exist in our records."),
    ("InvalidArgument", 400, "Invalid Argument"),
    ("InvalidBucketName", 400, "The specified bucket is not valid."),
    ("InvalidBucketState", 409, "The request is not valid for the state of the bucket."),
    ("InvalidChunkSizeError", 400, "Only the last chunk may be smaller than 8192 bytes."),
    ("InvalidDigest", 400, "The Content-MD5 you specified is not valid."),
    ("InvalidLocationConstraint", 400, "The specified location-constraint is not valid."),
    ("InvalidObjectState", 403, "The operation is not valid for the object's storage class."),
    ("InvalidPart", 400, "One or more of the specified parts could not be found."),
    ("InvalidPartNumber", 416, "The requested partnumber is not satisfiable"),
    ("InvalidPartOrder", 400, "The list of parts was not in ascending order."),
    (
        "InvalidPolicyDocument",
        400,
        "The content of the form does not meet the policy's conditions.",
    ),
    ("InvalidRange", 416, "The requested range is not satisfiable"),
    ("InvalidRequest", 400, "Invalid Request"),
    ("InvalidRetentionPeriod", 400, "The retention period is not valid."),
    ("InvalidSecurity", 403, "The provided security credentials are not valid."),
    ("InvalidStorageClass", 400, "The storage class you specified is not valid."),
    ("InvalidTag", 400, "The tag provided was not a valid tag."),
    ("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
    ("InvalidURI", 400, "Couldn't parse the specified URI."),
    ("KMS.DisabledException", 403, "The request was rejected because the key is disabled."),
    ("KeyTooLongError", 400, "Your key is too long"),
    ("MalformedPOSTRequest", 400, "The body of your POST is not well-formed multipart/form-data."),
    ("MalformedTrailerError", 400, "The trailer of the body is malformed."),
    ("MalformedXML", 400, "The XML you provided was not well-formed or did not validate."),
    ("MaxMessageLengthExceeded", 400, "Your request was too big."),
    ("MaxPostPreDataLengthExceededError", 400, "The fields before the file were too large."),
    ("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size"),
    ("MethodNotAllowed", 405, "The specified method is not allowed against this resource."),
    ("MissingContentLength", 411, "You must provide the Content-Length HTTP header."),
    ("MissingRequestBodyError", 400, "Request Body is empty"),
    ("NoSuchBucket", 404, "The specified bucket does not exist"),
    ("NoSuchBucketPolicy", 404, "The bucket policy does not exist"),
    ("NoSuchCORSConfiguration", 404, "The CORS configuration does not exist"),
    ("NoSuchConfiguration", 404, "The specified configuration does not exist."),
    ("NoSuchKey", 404, "The specified key does not exist."),
    ("NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"),
    ("NoSuchObjectLockConfiguration", 404, "The object does not have an ObjectLock configuration"),
    ("NoSuchTagSet", 404, "The TagSet does not exist"),
    ("NoSuchUpload", 404, "The specified multipart upload does not exist."),
    ("NoSuchVersion", 404, "The specified version does not exist."),
    (
        "NoSuchWebsiteConfiguration",
        404,
        "The specified bucket does not have a website configuration",
    ),
    ("NotImplemented", 501, "A header or operation you asked for is not implemented."),
    ("ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist."),
    ("OperationAborted", 409, "A conflicting conditional operation is in progress."),
    ("PermanentRedirect", 301, "The bucket must be addressed at another endpoint."),
    ("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"),
    ("ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"),
    ("RequestTimeTooSkewed", 403, "The difference between request and current time is too large."),
    ("RequestTimeout", 400, "Your socket connection to the server was not read from in time."),
    ("ServiceUnavailable", 503, "Please reduce your request rate."),
    ("SignatureDoesNotMatch", 403, "The signature does not match."),
    ("SlowDown", 503, "Please reduce your request rate."),
    ("TooManyBuckets", 400, "You have attempted to create more buckets than allowed."),
    ("UnexpectedContent", 400, "This request does not support content."),
    ("UnsupportedSignature", 400, "The signature version is not supported."),
    ("XAmzContentSHA256Mismatch", 400, "The provided x-amz-content-sha256 does not match."),
)

CODES: Mapping[str, Code] = MappingProxyType({row[0]: Code(*row) for row in _ROWS})
"""Every code by name."""
