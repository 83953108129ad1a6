"""A key that signs checkpoints signs those alone, on SoftHSM, NSS and in software."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.hsm_tokens import HAS_NSS, HAS_SOFTHSM, nss, softhsm

from hyok.audit.checkpoint import PublicKey
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Tampered, Unavailable
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.signer import TokenSigner
from hyok.hsm.software_signer import SoftwareSigner
from hyok.hsm.supervise import AgentSupervisor, ask
from hyok.hsm.wire import Outcome, Verb
from hyok.vocabulary import TreeHead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.hsm.supervise import AgentSpec

NAME = "hyok-audit/test/1"
HEAD = TreeHead("audit.example/hyok", 77, bytes(range(32)), ("time 1790000000000",))
_integration = pytest.mark.integration
TOKENS = [
    pytest.param("softhsm", marks=[_integration, pytest.mark.skipif(not HAS_SOFTHSM, reason="-")]),
    pytest.param("nss", marks=[_integration, pytest.mark.skipif(not HAS_NSS, reason="-")]),
]

Maker = "Callable[[str], TokenSigner | SoftwareSigner]"


@pytest.fixture(scope="module", params=["software", *TOKENS])
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Maker, AgentSpec | None]]:
    """Return how to name a signing key of one kind of token; a pair named NAME is there."""
    with tempfile.TemporaryDirectory(prefix="sig-") as folder:
        if request.param == "software":
            file = Path(folder) / "soft-audit.json"
            SoftwareSigner(file, NAME).create()
            yield (lambda name: SoftwareSigner(file, name)), None
            return
        spec = {"softhsm": softhsm, "nss": nss}[request.param](Path(folder))
        with AgentSupervisor([spec]) as supervisor:
            supervisor.wait_ready(60)
            TokenSigner([spec.socket_path], NAME).create()
            yield (lambda name: TokenSigner([spec.socket_path], name)), spec


def test_a_signature_over_a_checkpoint_is_the_public_keys(made) -> None:
    signer = made[0](NAME)
    key = PublicKey(signer.public_key())
    key.verify(signer.sign(HEAD), HEAD.text().encode())
    with pytest.raises(Tampered):
        key.verify(signer.sign(HEAD), HEAD.text().encode() + b"\n")


def test_a_name_is_given_once_and_an_unknown_one_is_not_found(made) -> None:
    with pytest.raises(Conflict):
        made[0](NAME).create()
    for act in (
        made[0]("hyok-audit/test/2").public_key,
        lambda: made[0]("hyok-audit/x").sign(HEAD),
    ):
        with pytest.raises(NotFound):
            act()


def test_another_pair_has_another_key(made) -> None:
    other = made[0]("hyok-audit/other/1")
    assert other.create() != made[0](NAME).public_key()


BAD = [
    (b"hyok-audit/test/1", b"o", b"\0" * 7, bytes(32)),
    (b"hyok-audit/test/1", b"o", b"\0" * 8, bytes(31)),
    (b"hyok-audit/test/1", b"", b"\0" * 8, bytes(32)),
    (b"hyok-audit/test/1", b"o\n9\nAAAA", b"\0" * 8, bytes(32)),
    (b"hyok-audit/test/1", b"o", b"\0" * 8, bytes(32), b""),
    (b"hyok-audit/test/1", b"o", b"\0" * 8, bytes(32), b"a\nb"),
    (b"hyok-audit/test/1", b"o", b"\0" * 8, bytes(32), *[b"x"] * 5),
    (b"hyok-audit/test/1", b"o" * 2_000, b"\0" * 8, bytes(32)),
    (b"hyok-audit/test/1", b"\xff", b"\0" * 8, bytes(32)),
    (b"hyok-audit/test/1", b"o"),
    (b"gemeente/geheim/1", b"o", b"\0" * 8, bytes(32)),
]


@pytest.mark.parametrize("fields", BAD)
def test_an_agent_signs_nothing_but_a_checkpoint(made, fields: tuple[bytes, ...]) -> None:
    if made[1] is None:
        pytest.skip("software keys have no agent")
    answer = ask(made[1].socket_path, Verb.SIGN_CHECKPOINT, 5.0, fields)
    assert answer.outcome is Outcome.MALFORMED


async def test_no_kek_may_have_the_name_of_a_key_that_signs_nor_the_other_way_round(made) -> None:
    if made[1] is None:
        pytest.skip("software keys have no agent")
    pool = HsmPool([TokenSpec("a", made[1].socket_path)])
    try:
        with pytest.raises(Malformed):
            await pool.create_kek("hyok-audit/test/9", 1)
        with pytest.raises(Malformed):
            TokenSigner([made[1].socket_path], "gemeente/geheim/1").create()
        # The pair that is there serves no purpose of a KEK, whatever the profile.
        for profile in (1, 2, 3):
            seal = (bytes([profile]), NAME.encode(), b"bucket:x")
            verb, fields = (Verb.SEAL, seal) if profile > 1 else (Verb.HMAC_CHECK, seal[1:2])
            answer = ask(made[1].socket_path, verb, 5.0, fields)
            assert answer.outcome is not Outcome.DONE
    finally:
        await pool.close()


def test_a_second_token_signs_when_the_first_does_not_answer(made, tmp_path: Path) -> None:
    if made[1] is None:
        pytest.skip("software keys have no agent")
    nobody = str(tmp_path / "nobody.sock")
    signer = TokenSigner([nobody, made[1].socket_path], NAME)
    PublicKey(signer.public_key()).verify(signer.sign(HEAD), HEAD.text().encode())
    with pytest.raises(Unavailable):
        TokenSigner([nobody], NAME).sign(HEAD)


def test_the_size_is_a_number_of_64_bits(made) -> None:
    big = TreeHead("o", (1 << 63) - 1, bytes(32))
    signer = made[0](NAME)
    PublicKey(signer.public_key()).verify(signer.sign(big), big.text().encode())
    if made[1] is not None:
        with pytest.raises((struct.error, HyokError)):
            signer.sign(TreeHead("o", 1 << 64, bytes(32)))


def test_a_software_key_lies_in_a_file_for_its_owner_alone_that_says_what_it_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "soft-audit.json"
    SoftwareSigner(file, NAME).create()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "NOT for production" in file.read_text()
    file.write_text("{}")
    with pytest.raises(Malformed):
        SoftwareSigner(file, NAME).sign(HEAD)
