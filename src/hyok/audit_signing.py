"""From settings to the key that signs checkpoints of the audit log, and the names it goes by."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hyok.audit.signed import ORIGIN as DOCUMENT_ORIGIN
from hyok.audit.tiles import pinned_key
from hyok.custody.audit_key import hsm_key, key_name, software_key
from hyok.errors import Malformed
from hyok.sockets import agent_socket

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.custody.audit_key import AuditKey
    from hyok.settings import Settings


def audit_origin(settings: Settings) -> str:
    """Return the name of the audit log in its checkpoints.

    Raises:
        Malformed: it is one of signed documents, so that these could be taken for checkpoints.
    """
    origin = settings.audit.origin or f"hyok-audit/{settings.installation.name}"
    if origin.startswith(DOCUMENT_ORIGIN):
        raise Malformed(
            f"audit.origin begins with {DOCUMENT_ORIGIN}, which is for signed documents",
            code="HY-1001",
            next_step="choose another audit.origin",
        )
    return origin


def audit_host(settings: Settings) -> str:
    """Return the name of this host in a log that several write."""
    return settings.audit.host or socket.gethostname()


def audit_key_name(settings: Settings) -> str:
    """Return the name of the key that signs checkpoints."""
    return key_name(settings.installation.name, settings.audit.key_version)


def audit_software_file(settings: Settings) -> Path | None:
    """Return the file of that key where no HSM holds it; None: an HSM does."""
    software = settings.hsm.software_file
    if settings.hsm.kind != "software" or software is None:
        return None
    return software.with_name(f"{software.stem}-audit.json")


def build_audit_key(settings: Settings) -> AuditKey:
    """Return the key that signs checkpoints."""
    name = audit_key_name(settings)
    pinned = pinned_key(settings.audit.file, name)
    software = audit_software_file(settings)
    if software is not None:
        return software_key(software, name, pinned)
    return hsm_key(
        [str(agent_socket(settings, token.name)) for token in settings.hsm.tokens], name, pinned
    )
