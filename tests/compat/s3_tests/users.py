"""The users that the suite acts as, and the file by which it learns of them and of the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTIONS = {
    "main": "s3 main",
    "alt": "s3 alt",
    "tenant": "s3 tenant",
    "iam": "iam",
    "iam_root": "iam root",
    "iam_alt_root": "iam alt root",
}
"""Roles in the suite, and the sections of its file; it refuses to start without one of them."""

LIFECYCLE_DAY_SECONDS = 4
"""What a day of a lifecycle rule takes where a store can be told so; the suite waits for days."""

OWN_TENANT = "testx"


@dataclass(frozen=True, slots=True)
class User:
    """One account of the store or of the gateway."""

    user_id: str
    display_name: str
    access_key: str
    secret: str

    @property
    def email(self) -> str:
        return f"{self.user_id}@example.nl"


def store_users() -> dict[str, User]:
    """Return one user for each role, for a store whose keys we choose."""
    return {
        role: User(
            user_id=f"suite-{role.replace('_', '-')}",
            display_name=f"Suite {role}",
            access_key=f"SUITE{role.upper().replace('_', ''):0<15}",
            secret=f"secret-of-{role}-in-the-suite",
        )
        for role in SECTIONS
    }


def seaweedfs_identities(users: Mapping[str, User]) -> list[dict[str, object]]:
    """Return what the settings of SeaweedFS say about these users."""
    return [
        {
            "name": user.user_id,
            "credentials": [{"accessKey": user.access_key, "secretKey": user.secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            "account": {
                "id": user.user_id,
                "displayName": user.display_name,
                "emailAddress": user.email,
            },
        }
        for user in users.values()
    ]


def settings_of_suite(endpoint: str, users: Mapping[str, User]) -> str:
    """Return the text of the suite's settings for a door over http."""
    door = urlsplit(endpoint)
    lines = ["[DEFAULT]", f"host = {door.hostname}", f"port = {door.port}", "is_secure = False"]
    lines += ["[fixtures]", "bucket prefix = hyok-{random}-"]
    for role, section in SECTIONS.items():
        user = users[role]
        lines += [
            f"[{section}]",
            f"display_name = {user.display_name}",
            f"user_id = {user.user_id}",
            f"email = {user.email}",
            f"access_key = {user.access_key}",
            f"secret_key = {user.secret}",
        ]
        if role == "main":
            lines += ["api_name = us-east-1", f"lc_debug_interval = {LIFECYCLE_DAY_SECONDS}"]
        lines += [f"tenant = {OWN_TENANT}"] if role == "tenant" else []
    return "\n".join(lines) + "\n"
