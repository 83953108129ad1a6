"""A wrong PIN: tried once, told at /readyz, 503 at the door, and nothing until an operator acts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from tests.e2e import operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM
from tests.faults.shim import Shim

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (HAS_SOFTHSM and shutil.which("gcc")), reason="no SoftHSM or no compiler here"
    ),
]


def test_a_wrong_pin_is_tried_once_and_the_door_says_so_until_an_operator_acts(
    tmp_path: Path,
) -> None:
    shim = Shim(tmp_path)
    made = operated.copied(tmp_path, shim=shim)
    pin_file = tmp_path / "token-a" / "hsm.pin"
    right = pin_file.read_text()
    pin_file.write_text("verkeerd")
    try:
        gateway = made.serve(ready=False)
        s3 = gateway.client()

        def refused() -> None:
            for bucket in operated.CLASSES:
                for ask in (
                    lambda bucket=bucket: s3.put_object(Bucket=bucket, Key="een", Body=b"een"),
                    lambda bucket=bucket: s3.get_object(Bucket=bucket, Key="een"),
                ):
                    began = time.monotonic()
                    with pytest.raises(ClientError) as caught:
                        ask()
                    assert operated.status_of(caught.value) == 503
                    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
                    assert "retry-after" in headers
                    assert time.monotonic() - began < 5, "it waited for what only a person mends"

        refused()
        status, told = made.readyz()
        assert status == 503
        assert "PIN" in told["hsm"]
        (row,) = json.loads(made.cli(["hsm", "status", "--json"], ok=(1,))[0])
        assert (row["healthy"], row["keys"]) == (False, "0 of 5")
        assert "PIN of HSM token a was refused" in row["last_error"]
        for pid in made.agents("a"):  # not even a new process tries it
            os.kill(pid, signal.SIGKILL)
        time.sleep(2.5)
        refused()
        assert shim.calls("C_Login") == 1
        # Once more, with a PIN that is still wrong, because an operator said so.
        made.cli(["hsm", "reset-pin", "a"])
        time.sleep(2.5)
        refused()
        assert shim.calls("C_Login") == 2
        pin_file.write_text(right)
        time.sleep(1.0)
        assert shim.calls("C_Login") == 2, "a new file alone is no operator's word"
        made.cli(["hsm", "reset-pin", "a"])
        print(f"ready after {made.wait_ready():.1f} s")
        for bucket in operated.CLASSES:
            s3.put_object(Bucket=bucket, Key="een", Body=b"een")
            assert s3.get_object(Bucket=bucket, Key="een")["Body"].read() == b"een"
        assert shim.calls("C_Login") == 3
    finally:
        made.close()
