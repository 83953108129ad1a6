"""From settings to where the processes of one host meet, and how the HSM agents among them start.

The supervisor needs this and no more, so it loads neither stores nor databases.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.hsm.profile import parse_family
from hyok.hsm.supervise import AgentSpec

if TYPE_CHECKING:
    from hyok.hsm.config import TokenSettings
    from hyok.hsm.profile import Family
    from hyok.settings import Settings


def journal_socket(settings: Settings) -> Path:
    """Return where the audit writer listens."""
    return settings.installation.run_directory / "audit.sock"


def agent_socket(settings: Settings, token: str) -> Path:
    """Return where the agent of a token listens."""
    return settings.installation.run_directory / f"hsm-{token}.sock"


def hsm_title(settings: Settings) -> tuple[str, str]:
    """Return who makes the HSM and what it is called, as its family's profile says.

    Raises:
        Malformed: the profile cannot be read (code HY-1003).
    """
    if settings.hsm.kind == "software":
        return "hyok", "software keys"
    family = _family_of(settings)
    return family.vendor, family.title


def _family_of(settings: Settings) -> Family:
    path = settings.hsm.profiles_directory / f"{settings.hsm.profile}.toml"
    try:
        return parse_family(path.read_text())
    except OSError as error:
        raise Malformed(f"the HSM profile {path} cannot be read", code="HY-1003") from error


def agent_specs(settings: Settings) -> list[AgentSpec]:
    """Return how to start the agents of this host; none for software keys.

    Raises:
        Malformed: the HSM family's profile cannot be read, or names no module.
    """
    if settings.hsm.kind == "software":
        return []
    family = _family_of(settings)
    specs = []
    for token in settings.hsm.tokens:
        known = [found for found in family.modules if Path(found).exists()]
        module = str(token.module) if token.module is not None else next(iter(known), "")
        if not module:
            raise Malformed(
                f"hsm.tokens.{token.name}.module is missing and the profile "
                f"{settings.hsm.profile} names none that is installed",
                code="HY-1003",
            )
        specs.append(
            AgentSpec(
                name=token.name,
                socket_path=str(agent_socket(settings, token.name)),
                module=module,
                token_label=token.label,
                dialect=family.dialect(settings.hsm.profiles, directory=_folder_of(token)),
                pin_file=str(token.pin_file),
                environment=token.environment,
                deadline_seconds=settings.hsm.deadline_seconds,
            )
        )
    return specs


def _folder_of(token: TokenSettings) -> str:
    """Return the folder of a token that is files, for modules that want it at start."""
    return token.environment.get("HYOK_TOKEN_DIRECTORY", "")
