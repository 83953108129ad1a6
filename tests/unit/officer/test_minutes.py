"""Minutes of a ceremony: what they say is what was signed, for a checker with the key alone."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from hyok.audit.checkpoint import PublicKey, sign_line
from hyok.audit.signed import check, head_of, wrapped
from hyok.cli.main import app
from hyok.errors import Malformed, Tampered
from hyok.officer.minutes import FORM, Minutes, Present, parse_present, render_page

if TYPE_CHECKING:
    from pathlib import Path

KEY = generate_private_key(SECP256R1())
PUBLIC = PublicKey(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
MINUTES = Minutes(
    act="key:create",
    installation="proef",
    version="1",
    operator="beheer",
    command=["hyok", "keys", "create"],
    present=[Present("A. de Vries", "sleutelbeheerder"), Present("<b>Bo</b>", "getuige")],
    begun_ms=1_800_000_000_000,
    ended_ms=1_800_000_001_000,
    key={"kek_id": "t/intern/1", "check_value": "0011"},
    tokens=[
        {"token": "een", "serial": "77", "keys": [{"CKA_SENSITIVE": "true"}]},
        {"token": "twee", "error": "no key"},
    ],
)


def signed(document: Any, origin: str = "") -> dict[str, Any]:
    head = head_of(document, "proef", 1, software=False)
    if origin:
        head = type(head)(origin, head.size, head.root, head.extensions)
    raw = KEY.sign(head.text().encode(), ECDSA(SHA256()))
    return json.loads(json.dumps(wrapped(document, head, sign_line(head.origin, PUBLIC, raw))))


def test_a_checker_with_the_public_key_alone_sees_what_was_signed() -> None:
    document = MINUTES.document()
    assert check(signed(document), FORM, [PUBLIC]) == document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("document", "present", 0, "name"), "Iemand anders"),
        (("document", "tokens", 0, "keys", 0, "CKA_SENSITIVE"), "false"),
        (("document", "key", "check_value"), "ffff"),
        (("document", "extra"), "x"),
    ],
)
def test_whatever_is_changed_is_noticed(path: tuple[Any, ...], value: str) -> None:
    file = signed(MINUTES.document())
    place = file
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(Tampered) as said:
        check(file, FORM, [PUBLIC])
    assert said.value.code == "HY-2428"


def test_another_key_another_form_and_a_checkpoint_are_none() -> None:
    document = MINUTES.document()
    other = generate_private_key(SECP256R1()).public_key()
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(Tampered):
        check(signed(document), FORM, [PublicKey(der)])
    with pytest.raises(Malformed):
        check(signed(document | {"format": "hyok-drill/1"}), FORM, [PUBLIC])
    with pytest.raises(Tampered):  # a checkpoint of a log whose root is this digest
        check(signed(document, origin="hyok-audit/proef"), FORM, [PUBLIC])
    forged = copy.deepcopy(signed(document))
    line = forged["note"].rindex(" ") + 1
    raw = bytearray(base64.b64decode(forged["note"][line:]))
    raw[-1] ^= 1
    forged["note"] = forged["note"][:line] + base64.b64encode(bytes(raw)).decode() + "\n"
    with pytest.raises(Tampered):
        check(forged, FORM, [PUBLIC])


def test_what_nobody_signed_yet_says_so() -> None:
    with pytest.raises(Malformed) as said:
        check(wrapped(MINUTES.document(), None, None), FORM, [PUBLIC])
    assert said.value.code == "HY-2427"


def test_the_page_is_dutch_and_english_and_carries_no_markup_of_others() -> None:
    shown = render_page(MINUTES.document(), str, PUBLIC.fingerprint)
    for word in ('lang="nl"', 'lang="en"', "<caption>", 'scope="col"', PUBLIC.fingerprint, "77"):
        assert word in shown
    assert "<b>Bo" not in shown
    assert "Nog niet ondertekend" in render_page(MINUTES.document(), str, "")


@pytest.mark.parametrize("words", [[], ["Anna"], [":rol"], ["Anna:"], ["An\nna:rol"]])
def test_who_was_there_has_a_name_and_a_role(words: list[str]) -> None:
    with pytest.raises(Malformed) as said:
        parse_present(words)
    assert said.value.code == "HY-2429"
    assert parse_present(["Anna: B:rol"]) == [Present("Anna: B", "rol")]


def test_a_new_token_is_read_back_and_its_minutes_wait_for_a_signature(tmp_path: Path) -> None:
    file = tmp_path / "token.json"
    command = ["hsm", "init", str(tmp_path / "token"), "--minutes", str(file)]
    assert CliRunner().invoke(app, command).exit_code != 0, "nobody is named"
    done = CliRunner().invoke(app, [*command, "--present", "Anna:beheerder"])
    assert done.exit_code == 0, done.output
    whole = json.loads(file.read_text())
    (token,) = whole["document"]["tokens"]
    assert (token["label"], token["token"]) == ("hyok-test", "primary")
    assert len(token["serial"]) == 16
    assert token["firmware_version"][0].isdigit()
    assert "SoftHSM" in token["manufacturer"]
    assert whole["note"] is None
    assert "Nog niet ondertekend" in file.with_suffix(".html").read_text()
    again = CliRunner().invoke(app, [*command, "--present", "Anna:beheerder"])
    assert "is there already" in str(again.exception)
