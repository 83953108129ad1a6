"""The six answers of `hyok init`, each checked where it is given, and the settings they make."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.errors import Malformed, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVELOPMENT_FAMILIES = frozenset({"softhsm", "nss"})
STATE = Path("/var/lib/hyok")
OPTIONAL = ("pin_file", "module", "credentials_file", "region", "state")


@dataclass(frozen=True, slots=True)
class Question:
    """One question, what is proposed, and one line of why it is asked."""

    name: str
    text: str
    proposed: str
    why: str


QUESTIONS = (
    Question("address", "Address for applications", "0.0.0.0:8443", "host:port of the S3 door"),
    Question(
        "certificate",
        "Certificate for it",
        "/etc/hyok/tls/gateway.pem",
        "PEM; its private key beside it with the ending .key",
    ),
    Question("hsm", "HSM family", "", "one of: {families}"),
    Question("token", "Label of the token", "hyok", "as the vendor's tool shows it"),
    Question(
        "store",
        "Where sealed objects go",
        "/var/lib/hyok/store",
        "a folder, or the https:// endpoint of an S3 store",
    ),
    Question(
        "where",
        "Country of that store, and of who controls it",
        "NL NL",
        "two codes; policy decides on them: IE US is a US supplier in Ireland",
    ),
)


def check_answer(name: str, text: str, families: frozenset[str]) -> str:
    """Return an answer without blanks around it.

    Raises:
        Malformed: it cannot stand; says what can.
        Refused: it names keys for development.
    """
    text = text.strip()
    if not text or not text.isprintable():
        raise Malformed(f"{name}: an answer is wanted")
    if name == "address":
        host, colon, port = text.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise Malformed(f"address: {text} is not host:port")
    elif name == "certificate" and not text.startswith("/"):
        raise Malformed("certificate: write the whole path, from /")
    elif name == "hsm":
        _check_family(text, families)
    elif name == "token" and text.startswith("hyok-dev"):
        raise Refused("token: hyok-dev is a development token, and its keys are for development")
    elif name == "store":
        _check_store(text)
    elif name == "where":
        parts = text.upper().split()
        if len(parts) != 2 or not all(len(part) in (2, 3) and part.isalpha() for part in parts):
            raise Malformed("where: two codes, such as NL NL, or EEA EU")
        text = " ".join(parts)
    return text


def _check_family(text: str, families: frozenset[str]) -> None:
    if text in DEVELOPMENT_FAMILIES or text == "software":
        raise Refused(
            f"hsm: {text} keeps its keys in files, which is for development",
            next_step="hyok dev, for a look without an HSM",
        )
    if text not in families:
        known = ", ".join(sorted(families - DEVELOPMENT_FAMILIES))
        raise Malformed(f"hsm: {text} is no family that we have a profile of: {known}")


def _check_store(text: str) -> None:
    if text.startswith("/"):
        return
    url = urlsplit(text)
    if url.scheme != "https" or not url.hostname or url.path.strip("/") or url.query or "@" in text:
        raise Malformed("store: a folder from /, or https://host without anything behind it")


def read_answers(text: str, families: frozenset[str]) -> dict[str, str]:
    """Return the answers of a TOML file: the six, and those of `OPTIONAL` that are there.

    Raises:
        Malformed: one is missing, unknown or cannot stand.
        Refused: it names keys for development.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"the answers are not TOML: {error}", code="HY-1006") from error
    names = [question.name for question in QUESTIONS]
    unknown = sorted(set(given) - set(names) - set(OPTIONAL))
    missing = [name for name in names if name not in given]
    if unknown or missing:
        said = [f"{name} is unknown" for name in unknown] + [
            f"{name} is missing" for name in missing
        ]
        raise Malformed("the answers cannot stand: " + ", ".join(said), code="HY-1006")
    if not all(isinstance(value, str) for value in given.values()):
        raise Malformed("the answers cannot stand: each is a text in quotes", code="HY-1006")
    return {name: check_answer(name, value, families) for name, value in given.items()}


def render_settings(answers: Mapping[str, str], share: Path) -> str:
    """Return the settings file of these answers, explained where each setting stands.

    Args:
        answers: as `read_answers` returns them.
        share: the folder with ``hsm/profiles`` and ``policies``.
    """
    host, _, port = answers["address"].rpartition(":")
    certificate = Path(answers["certificate"])
    state = Path(answers.get("state", str(STATE)))
    quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in answers.items()}
    lines = [
        "# Written by `hyok init`.  deploy/hyok.example.toml explains every setting; what is not",
        "# named here has its default.  `hyok doctor` looks at all of it.",
        "",
        "[installation]",
        "# Refuses software keys, development tokens and plain http beyond this host.",
        'mode = "production"',
        "",
        "[gateway]",
        "# Where applications connect.",
        f"host = {json.dumps(host.strip('[]'))}",
        f"port = {port}",
        "# PEM files; renewed ones are read at the next start.",
        f"tls_certificate = {quoted['certificate']}",
        f"tls_key = {json.dumps(str(certificate.with_suffix('.key')))}",
        "",
        "[database]",
        "# The only copy of the keys of shreddable classifications: `hyok backup`, daily.",
        f"url = {json.dumps(f'sqlite:///{state}/hyok.db')}",
        "",
        "[audit]",
        "# Every decision and every use of a key; evidence, so keep it.",
        f"file = {json.dumps(f'{state}/audit/audit.jsonl')}",
        "",
        "[policies]",
        "# What each classification demands, and who may do what.",
        f"directory = {json.dumps(str(share / 'policies'))}",
        "",
        "[hsm]",
        "# The family's profile; prove it on your device before anything else: hyok hsm prove",
        f"profile = {quoted['hsm']}",
        f"profiles_directory = {json.dumps(str(share / 'hsm' / 'profiles'))}",
        "",
        "# One block for each token that holds the same keys, by the vendor's replication.",
        "[[hsm.tokens]]",
        'name = "primary"',
        f"label = {quoted['token']}",
        "# The PIN alone, in a file of mode 0600.",
        f"pin_file = {quoted.get('pin_file', json.dumps('/etc/hyok/hsm.pin'))}",
    ]
    if "module" in answers:
        lines += ["# The vendor's library.", f"module = {quoted['module']}"]
    return "\n".join([*lines, "", *_store(answers, quoted)]) + "\n"


def _store(answers: Mapping[str, str], quoted: Mapping[str, str]) -> list[str]:
    jurisdiction, control = answers["where"].split()
    facts = [
        "# Where the bytes are, and who controls the supplier.",
        f'jurisdiction = "{jurisdiction}"',
        f'control = "{control}"',
    ]
    if answers["store"].startswith("/"):
        head = ["# Sealed objects as files.", "[[stores]]", 'kind = "files"', 'name = "local"']
        return [*head, f"path = {quoted['store']}", *facts]
    lines = ["# Sealed objects at a supplier.", "[[stores]]", 'kind = "s3"', 'name = "supplier"']
    lines += [f"endpoint = {json.dumps(answers['store'].rstrip('/'))}"]
    if "region" in answers:
        lines += [f"region = {quoted['region']}"]
    lines += ["# An AWS-style credentials file, mode 0600."]
    credentials = quoted.get("credentials_file", json.dumps("/etc/hyok/supplier.credentials"))
    return [*lines, f"credentials_file = {credentials}", *facts]
