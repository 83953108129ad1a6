"""POST of a browser's form: one object, under a policy that somebody with an access key signed.

The request itself brings no credentials; the fields do.  They stand in the body, so the front of it
is read before anybody is known: no more than `hyok.s3.form_data.FIELDS_BYTES_MAX`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from hyok.errors import Malformed
from hyok.gateway.admission import check_headers, check_key_choice
from hyok.gateway.bodies import Digests
from hyok.gateway.form_bodies import FormReader
from hyok.gateway.handlers.lifecycle import expiration
from hyok.gateway.handlers.reading import known_checksum, write_facts
from hyok.gateway.responses import proven_checksum, sealed_with
from hyok.s3 import forms
from hyok.s3.checksums import PREFIX, Algorithm, parse_declared
from hyok.s3.form_policy import check_fields, check_size, parse_policy
from hyok.s3.names import check_key
from hyok.s3.request import S3Request

if TYPE_CHECKING:
    from hyok.gateway.call import Call, Services
    from hyok.s3.forms import FormUpload

ACTION = "object:put"


async def post(services: Services, call: Call) -> None:
    """Seal the file of a form.  Nothing goes to the store before every condition was checked."""
    if call.verified is not None:
        raise Malformed(
            "Only one way to authenticate a request may be used; a form has its own in its fields.",
            reason="InvalidArgument",
        )
    request = call.request
    kind = request.header("content-type")
    reader = FormReader(call.exchange, kind, services.vault.pump)
    await reader.fields()
    decoder = reader.decoder
    fields = forms.expand_fields(decoder.fields, filename=decoder.filename, bucket=request.bucket)
    call.principal, call.verified = await services.admission.authenticate_form(fields, call.at_ms)
    policy = parse_policy(fields["policy"])
    check_fields(policy, fields, now_ms=call.at_ms)
    upload = forms.read_upload(fields)
    check_key(upload.key)
    bucket = await services.admission.bucket(call.principal, upload.bucket)
    call.bucket = bucket
    as_put = _as_put(upload)
    check_headers(as_put, bucket.tenant)
    declared = parse_declared(
        as_put.header, as_put.headers_under(PREFIX), trailers=False, kept=False
    )
    facts = write_facts(as_put, known_checksum(declared))
    facts = replace(facts, tags=upload.tags or facts.tags)
    body = await reader.file(Digests(declared, "", Algorithm.CRC64NVME))
    check_size(policy, body.size, complete=True)
    judged = services.admission.judge(bucket, upload.key, facts.tags, facts.user_metadata)
    check_key_choice(as_put, bucket.tenant, judged.classification)
    call.classification = judged.classification
    call.bytes_in = body.size
    call.action = ACTION
    ask = call.ask_to_write(judged, upload.key)
    result = await services.vault.put(ask, body, facts)
    answer = forms.answer(upload, etag=result.etag, address=_address(call, upload))
    expires = expiration(
        services,
        bucket,
        upload.key,
        body.size,
        result.modified_ms,
        facts.tags,
        judged.classification,
    )
    headers = [
        *answer.headers,
        *sealed_with(result.kek_id),
        *proven_checksum(body.verified),
        *expires,
    ]
    await call.answer(answer.status, headers, answer.body)


def _as_put(upload: FormUpload) -> S3Request:
    """Return the PUT that would make the same object, so that the same rules hold for both."""
    headers = [(name.encode(), value.encode()) for name, value in upload.headers.items()]
    path = f"/{upload.bucket}/{quote(upload.key, safe='/')}"
    return S3Request("PUT", path.encode(), b"", headers)


def _address(call: Call, upload: FormUpload) -> str:
    """Return where the object is, seen from the form's own address."""
    base = call.request.raw_path.decode("latin-1").rstrip("/")
    return f"{base}/{quote(upload.key, safe='/')}"
