"""The messages of `v2.KeyManagementService`, described here so that nothing has to be generated.

What is written is, in the language of protocol buffers:

    service KeyManagementService {
      rpc Status(StatusRequest) returns (StatusResponse);
      rpc Encrypt(EncryptRequest) returns (EncryptResponse);
      rpc Decrypt(DecryptRequest) returns (DecryptResponse);
    }

Source: Kubernetes, `k8s.io/kms/apis/v2/api.proto`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "v2"
SERVICE = f"{PACKAGE}.KeyManagementService"

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {"string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES}
_BYTES_BY_NAME = "map<string, bytes>"
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "StatusRequest": {},
    "StatusResponse": {"version": (1, "string"), "healthz": (2, "string"), "key_id": (3, "string")},
    "EncryptRequest": {"plaintext": (1, "bytes"), "uid": (2, "string")},
    "EncryptResponse": {
        "ciphertext": (1, "bytes"),
        "key_id": (2, "string"),
        "annotations": (3, _BYTES_BY_NAME),
    },
    "DecryptRequest": {
        "ciphertext": (1, "bytes"),
        "uid": (2, "string"),
        "key_id": (3, "string"),
        "annotations": (4, _BYTES_BY_NAME),
    },
    "DecryptResponse": {"plaintext": (1, "bytes")},
}


def _describe(file: Any, message: str, fields: Mapping[str, tuple[int, str]]) -> None:
    described = file.message_type.add(name=message)
    for name, (number, kind) in fields.items():
        if kind != _BYTES_BY_NAME:
            _add(described, name, number, _KINDS[kind])
            continue
        entry = described.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add(entry, "key", 1, _FIELD.TYPE_STRING)
        _add(entry, "value", 2, _FIELD.TYPE_BYTES)
        field = _add(described, name, number, _FIELD.TYPE_MESSAGE)
        field.label = _FIELD.LABEL_REPEATED
        field.type_name = f".{PACKAGE}.{message}.{entry.name}"


def _add(message: Any, name: str, number: int, kind: int) -> Any:
    return message.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)


def _made() -> Mapping[str, Any]:
    """Return the classes of the messages by name, from a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(
        name="kms/apis/v2/api.proto", package=PACKAGE, syntax="proto3"
    )
    for message, fields in _MESSAGES.items():
        _describe(file, message, fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _MESSAGES
    }


MESSAGES = _made()
