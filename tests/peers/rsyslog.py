"""rsyslog as a SIEM's receiver: RFC 5425 on a loopback port, with a CA made for the test."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.peers.ports import free_port

if TYPE_CHECKING:
    import trustme

PROGRAM = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin")
HAS_RSYSLOG = PROGRAM is not None and any(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so"))
CONFIG = """
global(workDirectory="{folder}" maxMessageSize="64k"
  defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{folder}/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/cert.pem"
  defaultNetstreamDriverKeyFile="{folder}/key.pem")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1"
  streamDriver.authMode="x509/name" permittedPeer=["gateway.example"])
template(name="line" type="string" string="%structured-data% %msg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1")
action(type="omfile" file="{folder}/records.log" template="line")
"""


class Rsyslog:
    """One rsyslogd.  Only a client whose certificate says ``gateway.example`` may send."""

    def __init__(self, folder: Path, ca: trustme.CA) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        own = ca.issue_cert("127.0.0.1")
        ca.cert_pem.write_to_path(folder / "ca.pem")
        own.private_key_pem.write_to_path(folder / "key.pem")
        own.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        config = CONFIG.format(folder=folder, port=self.port)
        (folder / "rsyslog.conf").write_text(config)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        assert PROGRAM is not None
        (self.folder / "pid").unlink(missing_ok=True)
        with (self.folder / "said.log").open("ab") as said:
            self.process = subprocess.Popen(
                [
                    *(PROGRAM, "-n", "-f", str(self.folder / "rsyslog.conf")),
                    *("-i", str(self.folder / "pid")),
                ],
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "said.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def lines(self) -> list[tuple[str, str]]:
        """Return structured data and message of everything that it keeps."""
        path = self.folder / "records.log"
        if not path.exists():
            return []
        found = path.read_text(encoding="utf-8").splitlines()
        return [(data + "]", line) for data, _, line in (each.partition("] ") for each in found)]

    def numbers(self) -> list[int]:
        """Return the sequence numbers of the records, in the order of their arrival."""
        found = []
        for _, line in self.lines():
            try:
                found.append(int(json.loads(line)["seq"]))
            except ValueError:
                continue  # a line that a kill tore; the record comes again
        return found
