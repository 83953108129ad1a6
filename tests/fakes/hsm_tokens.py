"""Real tokens for tests: throw-away SoftHSM and NSS tokens behind real agents."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from hyok.hsm.profile import load_families
from hyok.hsm.setup import init_softhsm, softhsm_module
from hyok.hsm.supervise import AgentSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

PIN = "test-pin-1"
FAMILIES = load_families(Path(__file__).parents[2] / "hsm" / "profiles")
_NSS = [path for path in FAMILIES["nss"].modules if Path(path).exists()]

HAS_SOFTHSM = shutil.which("softhsm2-util") is not None
HAS_NSS = bool(_NSS) and shutil.which("certutil") is not None


def softhsm(
    directory: Path,
    name: str = "a",
    *,
    module: str = "",
    pin: str = PIN,
    deadline_seconds: float = 5.0,
    environment: Mapping[str, str] | None = None,
) -> AgentSpec:
    """Return the agent's spec of a SoftHSM token in ``directory``, made if it is not there."""
    config = init_softhsm(directory / f"softhsm-{name}", "hyok-test", PIN, "so-" + PIN)
    return AgentSpec(
        name=name,
        socket_path=str(directory / f"{name}.sock"),
        module=module or softhsm_module(),
        token_label="hyok-test",
        dialect=FAMILIES["softhsm"].dialect(),
        pin=pin,
        environment={"SOFTHSM2_CONF": str(config), **(environment or {})},
        deadline_seconds=deadline_seconds,
    )


def copy_softhsm(directory: Path, original: str, name: str) -> AgentSpec:
    """Return the spec of a second token with the same keys: the first one's folder, copied."""
    source, target = directory / f"softhsm-{original}", directory / f"softhsm-{name}"
    shutil.copytree(source, target)
    config = target / "softhsm2.conf"
    config.write_text(config.read_text().replace(str(source), str(target)))
    return softhsm(directory, name)


def nss(directory: Path, name: str = "nss") -> AgentSpec:
    """Return the agent's spec of an NSS token: another code base than SoftHSM's."""
    folder = directory / f"nss-{name}"
    folder.mkdir()
    (folder / "pin").write_text(PIN + "\n")
    subprocess.run(["certutil", "-N", "-d", f"sql:{folder}", "-f", str(folder / "pin")], check=True)
    return AgentSpec(
        name=name,
        socket_path=str(directory / f"{name}.sock"),
        module=_NSS[0],
        token_label="NSS Certificate DB",
        dialect=FAMILIES["nss"].dialect((1, 2, 3, 4), directory=str(folder)),
        pin=PIN,
    )
