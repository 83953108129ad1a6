"""Settings of the HSM folder: groups of tokens, and how their agents are reached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from hyok.errors import Malformed
from hyok.hsm.member import TokenSpec
from hyok.hsm.supervise import AgentSpec

if TYPE_CHECKING:
    from hyok.hsm.profile import Family

SOCKET_PATH_BYTES_MAX = 100  # sockaddr_un holds 107; ".prove" comes after it in `hyok hsm prove`


class TokenSettings(BaseModel):
    """One token and how to open it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    family: str
    """A profile file of ``hsm/profiles``, without ``.toml``."""
    token_label: Annotated[str, Field(min_length=1, max_length=32)]
    pin_file: Path
    """Holds the PIN alone; its mode must keep others from reading it."""
    module: str = ""
    """The vendor's library; empty: the first of the family's that exists."""
    profiles: tuple[Annotated[int, Field(ge=1, le=4)], ...] = ()
    """Profiles in use; empty: all that the family offers.  4 must be named to be used."""
    directory: str = ""
    """For families whose library is told a folder at its start."""
    environment: dict[str, str] = Field(default_factory=dict)
    """What the vendor's library reads, such as SOFTHSM2_CONF."""
    deadline_seconds: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    sessions_max: Annotated[int, Field(ge=0, le=256)] = 0
    """0: the family's limit."""


def agent_spec(token: TokenSettings, family: Family, run_directory: Path) -> AgentSpec:
    """Return how to start the agent of one token; its socket stands in ``run_directory``.

    Raises:
        Malformed: no library is there, the socket's path is too long, or a profile is not offered.
    """
    modules = [path for path in (token.module, *family.modules) if path and Path(path).exists()]
    if not modules or (token.module and modules[0] != token.module):
        raise Malformed(
            f"HSM token {token.name}: no PKCS#11 library at {token.module or family.modules}",
            code="HY-2104",
            next_step="Install the vendor's client, or set the token's `module`.",
        )
    # Wrapping with a public key is harvested now and opened by a later quantum computer, so
    # profile 4 is never on by default (format.md §10), unless the family has nothing else.
    profiles = token.profiles or tuple(p for p in family.profiles if p != 4)
    if not profiles:
        raise Malformed(f"HSM token {token.name}: name the profiles; {family.name} has only 4")
    return AgentSpec(
        name=token.name,
        socket_path=socket_path(token.name, run_directory),
        module=modules[0],
        token_label=token.token_label,
        dialect=family.dialect(
            profiles, directory=token.directory, sessions_max=token.sessions_max
        ),
        pin_file=str(token.pin_file),
        environment=token.environment,
        deadline_seconds=token.deadline_seconds,
    )


def socket_path(name: str, run_directory: Path) -> str:
    """Return where the agent of the token ``name`` listens.

    Raises:
        Malformed: the path is longer than a Unix socket's may be.
    """
    path = str(run_directory / f"hsm-{name}.sock")
    if len(path.encode()) > SOCKET_PATH_BYTES_MAX:
        raise Malformed(f"the path of the HSM agent's socket is too long: {path}")
    return path


def token_spec(token: TokenSettings, run_directory: Path) -> TokenSpec:
    """Return how a worker reaches the agent of one token."""
    return TokenSpec(token.name, socket_path(token.name, run_directory))
