"""What clients of Vault ask around the engine: health, seal, mounts, their own token.  Pure.

Source: HashiCorp Vault, "/sys/health", "/sys/seal-status", "/auth/token".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.doors.bearers import Holder

SEALED_STATUS = 503
POLICY = "hyok"


def health(version: str, now_ms: int, *, sealed: bool) -> Mapping[str, object]:
    """Return the answer to /sys/health; sealed: the HSM does not answer."""
    return {
        "initialized": True,
        "sealed": sealed,
        "standby": False,
        "performance_standby": False,
        "replication_performance_mode": "disabled",
        "replication_dr_mode": "disabled",
        "server_time_utc": now_ms // 1000,
        "version": _version(version),
        "cluster_name": "hyok",
    }


def health_status(query: Mapping[str, str], *, sealed: bool) -> int:
    """Return the status of that answer, by the code that the caller may have set."""
    if not sealed:
        told = query.get("activecode", "200")
        return int(told) if _is_status(told) else 200
    told = query.get("sealedcode", str(SEALED_STATUS))
    return int(told) if _is_status(told) else SEALED_STATUS


def _is_status(text: str) -> bool:
    return len(text) == 3 and text.isascii() and text.isdigit() and "200" <= text <= "599"


def seal_status(version: str, *, sealed: bool) -> Mapping[str, object]:
    """Return the answer to /sys/seal-status."""
    return {
        "type": "pkcs11",
        "initialized": True,
        "sealed": sealed,
        "t": 1,
        "n": 1,
        "progress": 0,
        "nonce": "",
        "version": _version(version),
        "cluster_name": "hyok",
        "recovery_seal": False,
        "storage_type": "hyok",
    }


def _version(version: str) -> str:
    # Clients compare numbers: this is the API's whose subset is served.
    return f"1.15.0+hyok.{version}"


def mount(name: str) -> Mapping[str, object]:
    """Return what is told of the mount."""
    return {
        "type": "transit",
        "path": f"{name}/",
        "accessor": f"transit_{name}",
        "description": "keys in the HSM",
        "local": False,
        "seal_wrap": False,
        "options": None,
        "config": {"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": False},
    }


def lookup(holder: Holder, now_ms: int) -> Mapping[str, object]:
    """Return what a token is told of itself; never the token."""
    return {
        "accessor": holder.accessor,
        "id": "",
        "display_name": f"{holder.via}-{holder.principal.id}",
        "entity_id": "",
        "meta": {"app": holder.principal.id, "tenant": holder.principal.tenant},
        "num_uses": 0,
        "orphan": True,
        "path": f"auth/{holder.via}/login" if holder.via != "token" else "auth/token/create",
        "policies": [POLICY],
        "renewable": False,
        "ttl": _left(holder, now_ms),
        "type": "service",
        "expire_time": datetime.fromtimestamp(holder.expires_ms / 1000, UTC).isoformat(),
    }


def auth(token: str, holder: Holder, now_ms: int) -> Mapping[str, object]:
    """Return the part of an answer that hands out a token, or says how long it still serves."""
    return {
        "client_token": token,
        "accessor": holder.accessor,
        "policies": [POLICY],
        "token_policies": [POLICY],
        "metadata": {"app": holder.principal.id},
        "lease_duration": _left(holder, now_ms),
        "renewable": False,
        "entity_id": "",
        "token_type": "service",
        "orphan": True,
        "mfa_requirement": None,
        "num_uses": 0,
    }


def _left(holder: Holder, now_ms: int) -> int:
    return max(0, (holder.expires_ms - now_ms) // 1000)
