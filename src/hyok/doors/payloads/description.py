"""The door's own OpenAPI document, of which docs/keyservices has a copy.  Pure.

Source: OpenAPI 3.1; NL GOV REST API Design Rules.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hyok.doors.payloads import files, jwe, wire
from hyok.doors.payloads.wire import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONTEXT: Mapping[str, Any] = {
    "type": "object",
    "description": "What the token is bound to: whoever opens it must name the same. At most "
    f"{jwe.CONTEXT_BYTES_MAX} bytes.",
    "additionalProperties": {"type": "string"},
    "propertyNames": {"minLength": 1},
    "maxProperties": jwe.CONTEXT_MEMBERS_MAX,
    "default": {},
}
_OF_FIELDS = {
    **_CONTEXT,
    "propertyNames": {"minLength": 1, "not": {"const": wire.PTR}},
    "description": "What the tokens are bound to beside the pointer of each field.",
}
_KEY = {
    "type": "string",
    "pattern": "^[A-Za-z0-9-]{1,64}$",
    "description": "The name of a key that serves the app.",
}
_POINTER = {
    "type": "string",
    "pattern": "^/",
    "maxLength": 1024,
    "description": "A JSON Pointer; `*` for every element of an array or member of an object, "
    "`~2` for a member that is called `*`.",
}
_TOKEN = {"type": "string", "description": "A JWE in compact form; `hyok:1:` may stand before it."}
_NUMBER = {"type": "integer", "minimum": 0}
_VERSION = {"type": "integer", "minimum": 1, "description": "The version of the key."}
_NINE = {"type": "string", "pattern": "^[0-9]{9}$"}
_BASE64 = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}
_DOCUMENT = {
    "type": ["object", "array"],
    "description": "Any JSON: numbers keep their digits, members their order.",
}


def _object(needed: Mapping[str, Any], **also: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**needed, **also},
        "required": list(needed),
        "additionalProperties": False,
    }


_INDEX = _object(
    {"key": {**_KEY, "description": "A key that was made for HMAC."}, "member": {"type": "string"}},
    context={
        "type": "array",
        "items": {"type": "string"},
        "description": "The members of the context that count; left out: all of them.",
    },
)
_FIELD = {
    "oneOf": [
        _POINTER,
        _object(
            {"pointer": _POINTER},
            maxLength={"type": "integer", "minimum": 1, "maximum": 999_999_999},
            index=_INDEX,
        ),
    ]
}
_SCHEMAS: Mapping[str, Any] = {
    "Encrypt": _object({"key": _KEY, "plaintext": _BASE64}, context=_CONTEXT),
    "Encrypted": _object({"token": _TOKEN, "key": _KEY, "version": _VERSION}),
    "Decrypt": _object({"token": _TOKEN}, context=_CONTEXT),
    "Decrypted": _object({"plaintext": _BASE64, "key": _KEY, "version": _VERSION}),
    "Rewrap": _object({"token": _TOKEN}),
    "EncryptJson": _object(
        {
            "key": _KEY,
            "document": _DOCUMENT,
            "fields": {
                "type": "array",
                "items": _FIELD,
                "minItems": 1,
                "maxItems": wire.FIELDS_MAX,
            },
        },
        context=_OF_FIELDS,
    ),
    "EncryptedJson": _object(
        {"document": _DOCUMENT, "key": _KEY, "version": _VERSION, "encrypted": _NUMBER}
    ),
    "DecryptJson": _object({"document": _DOCUMENT}, context=_OF_FIELDS),
    "DecryptedJson": _object({"document": _DOCUMENT, "decrypted": _NUMBER, "left": _NUMBER}),
    "Index": _object(
        {
            "key": _KEY,
            "pointer": _POINTER,
            "value": {"type": ["string", "number", "null"], "description": "What is looked for."},
        },
        context=_OF_FIELDS,
    ),
    "Indexed": _object({"index": {"type": ["string", "null"]}, "key": _KEY}, version=_VERSION),
    "EncryptBsn": _object({"key": _KEY, "bsn": _NINE}, context=_CONTEXT),
    "EncryptedBsn": _object({"token": _NINE, "key": _KEY, "version": _VERSION}),
    "DecryptBsn": _object(
        {"key": _KEY, "version": {**_VERSION, "maximum": 999_999_999}, "token": _NINE},
        context=_CONTEXT,
    ),
    "DecryptedBsn": _object({"bsn": _NINE, "key": _KEY, "version": _VERSION}),
    "PublicKey": _object(
        {name: {"type": "string"} for name in ("kty", "use", "alg", "kid", "n", "e")}
    ),
    "Problem": {
        "type": "object",
        "description": "RFC 9457; `code` is a word for programs.",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string", "format": "uri"},
            "code": {"type": "string"},
            "number": {"type": "string", "pattern": "^HY-[0-9]{4}$"},
            "pointer": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail", "instance", "code"],
    },
}
_OPERATIONS: Mapping[Operation, tuple[str, str, str, str]] = {
    Operation.ENCRYPT: (
        "Encrypt one value",
        "A token of the bytes, under the newest version of a key, bound to a context.",
        *("Encrypt", "Encrypted"),
    ),
    Operation.DECRYPT: (
        "Decrypt one token",
        "The bytes of a token, if it is bound to this context and to no other.",
        *("Decrypt", "Decrypted"),
    ),
    Operation.REWRAP: (
        "Bring a token under the newest version",
        "What it holds stays as it is, and is not shown.",
        *("Rewrap", "Encrypted"),
    ),
    Operation.ENCRYPT_JSON: (
        "Encrypt fields of a document",
        "The document with tokens where the fields were; each is bound to its own field.",
        *("EncryptJson", "EncryptedJson"),
    ),
    Operation.DECRYPT_JSON: (
        "Decrypt a document",
        "The document with every token of a known key decrypted; one that does not fit refuses "
        "all. `left` counts what begins like a token and is none of a known key.",
        *("DecryptJson", "DecryptedJson"),
    ),
    Operation.INDEX: (
        "Compute an index",
        "By which equal values are found; off unless the installation says otherwise.",
        *("Index", "Indexed"),
    ),
    Operation.ENCRYPT_BSN: (
        "Make a token of a BSN",
        "Nine digits, the same for the same BSN, key, version and context; off unless the "
        "installation says otherwise.",
        *("EncryptBsn", "EncryptedBsn"),
    ),
    Operation.DECRYPT_BSN: (
        "Read a token of a BSN",
        "Nine digits have no room to prove where they come from: another version or context may "
        "give another BSN.",
        *("DecryptBsn", "DecryptedBsn"),
    ),
}
_FILES: Mapping[Operation, tuple[str, str, str, str]] = {
    Operation.SEAL: (
        "Seal a file",
        "A body of any length, sealed as it comes, in the name of a bucket; read the answer while "
        "you send. An answer that ends early is no file.",
        *("*/*", files.SEALED_TYPE),
    ),
    Operation.OPEN: (
        "Open a sealed file",
        "The bytes of a file that was sealed for this bucket and name, each verified before it is "
        "sent. An answer that ends early was changed on its way here.",
        *(files.PLAIN_TYPE, "*/*"),
    ),
}
_STATUSES = (400, 401, 403, 404, 405, 413, 415, 429, 500, 503)
_VERSION_HEADER = {
    "API-Version": {"schema": {"type": "string"}, "description": "Semantic version."}
}


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _answers(schema: str, statuses: Sequence[int]) -> dict[str, Any]:
    good = {
        "description": "Done.",
        "headers": _VERSION_HEADER,
        "content": {"application/json": {"schema": _reference("schemas", schema)}},
    }
    return {"200": good} | {str(one): _reference("responses", str(one)) for one in statuses}


def _post(operation: Operation) -> dict[str, Any]:
    summary, description, asked, told = _OPERATIONS[operation]
    content = {"application/json": {"schema": _reference("schemas", asked)}}
    return {
        "post": {
            "operationId": operation.replace("-", "_"),
            "summary": summary,
            "description": description,
            "requestBody": {"required": True, "content": content},
            "responses": _answers(told, _STATUSES),
        }
    }


def _file(operation: Operation) -> dict[str, Any]:
    summary, description, asked, told = _FILES[operation]
    text = {"type": "string", "minLength": 1}
    of_a_file = {"schema": {"type": "string", "contentEncoding": "binary"}}
    statuses = sorted({*_STATUSES, 411} - {415})
    answers = _answers("Problem", statuses)
    answers["200"] = {**answers["200"], "content": {told: of_a_file}}
    return {
        "post": {
            "operationId": operation.value,
            "summary": summary,
            "description": description,
            "parameters": [
                {"name": "bucket", "in": "query", "required": True, "schema": text},
                {"name": "name", "in": "query", "required": True, "schema": text},
            ],
            "requestBody": {"required": True, "content": {asked: of_a_file}},
            "responses": answers,
        }
    }


def _public_key() -> dict[str, Any]:
    name = {"name": "name", "in": "path", "required": True, "schema": _KEY}
    statuses = [one for one in _STATUSES if one not in {413, 415}]
    return {
        "get": {
            "operationId": "public_key",
            "summary": "Read a public key",
            "description": "The newest public half of a pair, as a JSON Web Key: whoever has it "
            "can make tokens that only this installation opens.",
            "parameters": [name],
            "responses": _answers("PublicKey", statuses),
        }
    }


def _problem(status: int) -> dict[str, Any]:
    problem = {"schema": _reference("schemas", "Problem")}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _VERSION_HEADER,
        "content": {"application/problem+json": problem},
    }


def describe() -> dict[str, Any]:
    """Return the document."""
    paths = {f"/v1/{operation}": _post(operation) for operation in _OPERATIONS}
    paths |= {f"/v1/{operation}": _file(operation) for operation in _FILES}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hyok payloads API",
            "version": wire.API_VERSION,
            "description": "Encrypts what goes to any SaaS before it goes: JWE tokens and fields "
            "of JSON documents, with keys in the HSM.",
            "contact": {"name": "The operator of this installation"},
            "license": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        },
        "security": [{"token": []}],
        "paths": paths | {wire.KEYS + "{name}": _public_key()},
        "components": {
            "schemas": dict(_SCHEMAS),
            "responses": {str(status): _problem(status) for status in (*_STATUSES, 411)},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Of an app."}
            },
        },
    }


def render_description() -> bytes:
    """Return the document as it is served."""
    return json.dumps(describe(), separators=(",", ":")).encode()
