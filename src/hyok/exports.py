"""From settings to the forwarders that export the audit log."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from hyok.audit.cursor import CursorFile
from hyok.audit.formats.adl import AdlFormat
from hyok.audit.formats.ldv import LdvFormat, as_otlp
from hyok.audit.formats.ocsf import OcsfFormat
from hyok.audit.formats.syslog import SyslogFormat
from hyok.audit.forwarder import Forwarder
from hyok.audit.sinks.http import HttpSink, as_array, as_lines
from hyok.audit.sinks.lines_file import LinesFile
from hyok.audit.sinks.syslog import SyslogSink
from hyok.audit_signing import audit_origin
from hyok.http1.tls import client_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from hyok.audit.config import ExportSettings
    from hyok.audit.formats.port import Format
    from hyok.audit.sinks.port import Sink
    from hyok.settings import Settings


def build_forwarder(
    settings: Settings, export: ExportSettings, tell: Callable[..., None]
) -> Forwarder:
    """Return what keeps one receiver up to date.

    Raises:
        Conflict: another process does already.
        OSError: a certificate or key cannot be read.
    """
    audit = settings.audit
    return Forwarder(
        export.name,
        audit.file,
        CursorFile(audit.file, export.name),
        build_format(settings, export),
        build_sink(export),
        begin=export.begin,
        batch_records=export.batch_records,
        resend_seconds=export.resend_seconds if export.format == "syslog" else 0.0,
        tell=tell,
    )


def build_format(settings: Settings, export: ExportSettings) -> Format:
    """Return what a receiver gets for a record."""
    if export.format == "syslog":
        return SyslogFormat(socket.gethostname(), export.enterprise)
    origin = audit_origin(settings)
    if export.format == "ocsf":
        return OcsfFormat(origin)
    return LdvFormat(origin) if export.format == "ldv" else AdlFormat(origin)


def build_sink(export: ExportSettings) -> Sink:
    """Return the way to a receiver.

    Raises:
        OSError: a certificate or key cannot be read.
    """
    address = export.address
    if address.scheme == "file":
        return LinesFile(Path(address.path))
    context = _context(export) if address.scheme in {"tls", "https"} else None
    if export.format == "syslog":
        return SyslogSink(
            address.hostname or "",
            export.port,
            context,
            seconds_max=export.seconds_max,
            wait_for_close=export.acknowledge == "close",
        )
    render, content_type = {
        "lines": (as_lines, "application/x-ndjson"),
        "array": (as_array, "application/json"),
        "otlp": (as_otlp, "application/json"),
    }[export.body]
    return HttpSink(
        export.to,
        context,
        render=render,
        content_type=content_type,
        authorization_file=export.authorization_file,
        seconds_max=export.seconds_max,
    )


def _context(export: ExportSettings) -> ssl.SSLContext:
    context = client_context(export.ca_file)
    if export.client_certificate is not None:
        context.load_cert_chain(export.client_certificate, export.client_key)
    return context
