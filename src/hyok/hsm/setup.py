"""SoftHSM and NSS tokens for development and tests, each in a folder of its own.

Not for production: the keys lie in files, under the PIN.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hyok.errors import Malformed, Unavailable

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
NSS_LABEL = "NSS Certificate DB"  # of every token in a folder of NSS
_INIT_SECONDS_MAX = 30


def softhsm_module() -> str:
    """Return the path of SoftHSM's library on this machine.

    Raises:
        Unavailable: it is not installed.
    """
    for path in MODULES:
        if Path(path).exists():
            return path
    raise Unavailable(
        "SoftHSM is not installed",
        code="HY-2104",
        effect="A development token cannot be made.",
        next_step="Install the package softhsm2, or use software keys for development.",
    )


def init_softhsm(directory: Path, label: str, pin: str, so_pin: str) -> Path:
    """Make a token in ``directory`` and return the path of its SOFTHSM2_CONF.

    A token of this label that is there already is left as it is.  softhsm2-util takes PINs as
    arguments only, so this is for throw-away PINs.

    Raises:
        Unavailable: SoftHSM is not installed or refuses.
        Malformed: the label is longer than a token's can be.
    """
    if not 0 < len(label.encode()) <= 32:
        raise Malformed("a token's label is 1 to 32 bytes")
    tokens = directory / "tokens"
    tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = directory / "softhsm2.conf"
    config.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    if label not in softhsm_labels(config):
        _softhsm_util(
            config, "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", so_pin
        )
    return config


def init_nss(directory: Path, pin_file: Path) -> None:
    """Make an NSS token, under the PIN in ``pin_file``; one that is there is left as it is.

    Raises:
        Unavailable: certutil is not installed or refuses.
    """
    if (directory / "key4.db").exists():
        return
    try:
        subprocess.run(  # noqa: S603 - the arguments are a list and go to no shell
            ["certutil", "-N", "-d", f"sql:{directory}", "-f", str(pin_file)],  # noqa: S607 - PATH is ours
            capture_output=True,
            timeout=_INIT_SECONDS_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            "certutil failed",
            code="HY-2104",
            effect="The token was not made.",
            next_step="Install the package libnss3-tools.",
        ) from error


def softhsm_labels(config: Path) -> list[str]:
    """Return the labels of the tokens that SOFTHSM2_CONF ``config`` shows."""
    shown = _softhsm_util(config, "--show-slots")
    lines = (line.strip() for line in shown.splitlines())
    labels = (line.removeprefix("Label:").strip() for line in lines if line.startswith("Label:"))
    return [label for label in labels if label]


def _softhsm_util(config: Path, *arguments: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - the arguments are a list and go to no shell
            ["softhsm2-util", "--module", softhsm_module(), *arguments],  # noqa: S607 - PATH is ours
            env={**os.environ, "SOFTHSM2_CONF": str(config)},
            capture_output=True,
            text=True,
            timeout=_INIT_SECONDS_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable("softhsm2-util failed", code="HY-2104") from error
    return ended.stdout
