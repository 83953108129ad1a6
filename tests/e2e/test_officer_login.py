"""`hyok login` and commands over the officer API, from a machine that has no installation."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.four_eyes import together
from tests.e2e.officers_door import Place, place

from hyok.custody.signing import make_key

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
SECRET = "paard batterij nietje"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("officers")) as made:
        yield made


class Desk:
    """One officer's own machine: a state folder, a key, and the officer API's address."""

    def __init__(self, here: Place, folder: Path, login: str) -> None:
        self.here, self.folder, self.login = here, folder / login, login
        self.folder.mkdir()
        authorities = self.folder / "ca.pem"
        authorities.write_bytes(
            (here.home / "ca.pem").read_bytes() + here.provider.ca_file.read_bytes()
        )
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HYOK_")
        } | {
            "XDG_STATE_HOME": str(self.folder),
            "HYOK_API": here.origin,
            "HYOK_CA_FILE": str(authorities),
        }
        pem, self.public = make_key(SECRET.encode())
        (self.folder / "key.pem").write_bytes(pem)
        (self.folder / "passphrase").write_text(SECRET)
        self.key = ("--key", str(self.folder / "key.pem"))
        self.key += ("--passphrase-file", str(self.folder / "passphrase"))

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hyok", *command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        process = self.start(*command)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def told(self, *command: str) -> Any:
        code, out, err = self.run(*command, "--json")
        assert code == 0, out + err
        return json.loads(out)

    def sign_in(self) -> str:
        """Do `hyok login`, as somebody in a browser does it; return what it says."""
        process = self.start("login", "--no-browser")
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Sign in at:"), line + process.communicate()[1]
        address = line.split()[-1]
        back = self.here.provider.sign_in(address, self.login, "http://127.0.0.1:")
        with urllib.request.urlopen(back, timeout=20) as page:
            assert page.status == 200
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        return out

    @property
    def stored(self) -> Path:
        [path] = (self.folder / "hyok").glob("login-*.json")
        return path


def test_two_officers_do_it_from_their_own_machines(here: Place, tmp_path: Path) -> None:
    anna, bram = Desk(here, tmp_path, "anna"), Desk(here, tmp_path, "bram")
    code, _, err = anna.run("approvals", "list")
    assert code != 0
    assert "HY-2517" in err
    assert "demo-anna" in anna.sign_in()
    assert "demo-bram" in bram.sign_in()
    assert stat.S_IMODE(anna.stored.stat().st_mode) == 0o600
    together(
        here.config,
        ("officers", "add-identity", "demo-anna", "--public-key", anna.public),
        ("officers", "add-identity", "demo-bram", "--public-key", bram.public),
    )

    [made] = anna.told("buckets", "publish", "openbaar", "--reason", "open data")
    proposal = made["proposal"]
    assert made["author"] == "demo-anna"
    assert [d["method"] for d in made["decisions"]] == ["oidc"]
    code, _, err = bram.run("approvals", "approve", proposal)
    assert code != 0
    assert "HY-2514" in err
    code, _, err = anna.run("approvals", "approve", proposal, *bram.key)  # bram's key, anna's login
    assert code != 0
    [row] = bram.told("approvals", "approve", proposal, *bram.key, "--reason", "gezien")
    assert (row["state"], row["missing"]) == ("open", 1)  # anna was only signed in
    assert row["decisions"][1]["method"] == "ed25519"
    code, _, err = bram.run("approvals", "execute", proposal, *bram.key)
    assert code != 0
    assert "HY-2506" in err
    [row] = anna.told("approvals", "execute", proposal, *anna.key)
    assert "openbaar" in row["said"]
    assert [one["state"] for one in anna.told("approvals", "list")][:1] == ["executed"]
    assert {one["person"] for one in anna.told("officers", "list")} == {"demo-anna", "demo-bram"}
    assert anna.told("break-glass", "list") == []

    # A token that is nearly over is refreshed; without a refresh, one signs in anew.
    kept = json.loads(anna.stored.read_text())
    anna.stored.write_text(json.dumps({**kept, "expires_s": 0.0}))
    assert anna.told("approvals", "list")
    assert json.loads(anna.stored.read_text())["expires_s"] > 0
    assert anna.run("logout")[0] == 0
    assert anna.run("approvals", "list")[0] != 0
