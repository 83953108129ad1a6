"""botocore as the other side: what it sends for an operation, and what it makes of an answer."""

from __future__ import annotations

from typing import Any

import botocore.parsers
import botocore.serialize
import botocore.session

MODEL: Any = botocore.session.get_session().get_service_model("s3")


def as_botocore_reads(
    operation: str, body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    parser = botocore.parsers.create_parser("rest-xml")
    answer = {"body": body, "headers": headers or {}, "status_code": status}
    parsed: dict[str, Any] = parser.parse(answer, MODEL.operation_model(operation).output_shape)
    parsed.pop("ResponseMetadata", None)
    return parsed


def as_botocore_writes(operation: str, **members: Any) -> bytes:
    serializer = botocore.serialize.create_serializer("rest-xml")
    sent = serializer.serialize_to_request(members, MODEL.operation_model(operation))
    body: bytes = sent["body"]
    return body
