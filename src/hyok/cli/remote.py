"""Commands over the officer API: the login of `hyok login`, and signatures made on this machine."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from typing_extensions import override

from hyok.cli import logins
from hyok.errors import (
    Conflict,
    HyokError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Refused,
    Tampered,
    Unavailable,
)
from hyok.officer.config import OidcSettings
from hyok.sign_in import build_sign_in
from hyok.vocabulary import LOOPBACK
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.custody.signing import KeySigner

SECONDS_MAX = 60.0
ANSWER_BYTES_MAX = 16 << 20
KINDS: dict[int, type[HyokError]] = {
    400: Malformed,
    401: NotAuthenticated,
    403: Refused,
    404: NotFound,
    409: Conflict,
    413: Malformed,
    429: Unavailable,
    500: Tampered,
    503: Unavailable,
}

AddressOption = Annotated[
    str, typer.Option("--api", envvar="HYOK_API", help="Address of the officer API: https://…")
]
ApiOption = Annotated[
    str,
    typer.Option(
        "--api",
        envvar="HYOK_API",
        help="Act over this officer API, signed in by hyok login; else directly, on this host.",
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option("--ca-file", envvar="HYOK_CA_FILE", help="CA of API and identity provider."),
]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: object) -> None:  # a token is shown to one address
        return None


def ask(
    api: str,
    method: str,
    path: str,
    body: object = None,
    *,
    token: str = "",
    ca_file: Path | None = None,
) -> Any:
    """Return what the officer API answers.

    Raises:
        HyokError: of the kind that its problem says, with its code.
        Unavailable: it does not answer.
    """
    parts = urlsplit(api)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise Malformed(f"{api}: give the address of the officer API, https://…")
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    handlers = [urllib.request.HTTPSHandler(context=context), _NoRedirect()]
    if parts.hostname in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    request = urllib.request.Request(  # noqa: S310 - https, or loopback, as checked above
        api.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"accept": "application/json", "content-type": "application/json"},
    )
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with opener.open(request, timeout=SECONDS_MAX) as answer:
            return json.loads(answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        raise _problem(error.code, error.read(ANSWER_BYTES_MAX)) from None
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the officer API {api} does not answer: {error}",
            effect="Whether anything was changed is not known.",
            next_step="look with hyok approvals list once it is back",
        ) from error


def _problem(status: int, raw: bytes) -> HyokError:
    try:
        said = json.loads(raw)
        errors = "; ".join(f"{one['location']}: {one['detail']}" for one in said["errors"])
        cause = said["detail"] + (f" {errors}" if errors else "")
        return KINDS.get(status, Unavailable)(
            cause, code=said["code"], effect=said["effect"], next_step=said["nextStep"]
        )
    except (ValueError, KeyError, TypeError):
        return Unavailable(f"the officer API answers with status {status}")


@dataclass(frozen=True, slots=True)
class Remote:
    """An officer API at which this user is signed in."""

    api: str

    def get(self, path: str) -> Any:
        """Return what stands at a path."""
        return self._ask("GET", path)

    def all(self, path: str) -> list[dict[str, Any]]:
        """Return a whole list, page by page."""
        found: list[dict[str, Any]] = []
        number = 1
        while True:
            page = self.get(f"{path}?pageSize=200&page={number}")
            found += page["items"]
            number += 1
            if len(found) >= page["total"] or not page["items"]:
                return found

    def post(self, path: str, body: object) -> Any:
        """Have something done."""
        return self._ask("POST", path, body)

    def say(
        self, proposal: str, verdict: str, reason: str, signer: KeySigner | None
    ) -> dict[str, Any]:
        """Approve, refuse, withdraw or execute, signed with the officer's own key if it is given.

        Raises:
            Refused: it takes a key or an authenticator (HY-2514).
        """
        at = f"/v1/proposals/{proposal}"
        signature = None
        if signer is not None:
            wanted = {"verdict": verdict, "method": "ed25519", "reason": reason}
            drafted = self.post(f"{at}/statements", wanted)
            digest = sha256(self.get(at)["canonical"].encode()).hexdigest()
            _check_statement(drafted["statement"], digest, verdict, reason)
            proof = asyncio.run(signer.sign(drafted["statement"].encode()))
            signature = {
                "method": "ed25519",
                "atMs": drafted["atMs"],
                "sequence": drafted["sequence"],
                "publicKey": proof[:32].hex(),
                "signature": proof[32:].hex(),
            }
        body: dict[str, object] = {} if signature is None else {"signature": signature}
        if verdict == "execute":
            return dict(self.post(f"{at}/executions", body))
        return dict(self.post(f"{at}/decisions", {"verdict": verdict, "reason": reason, **body}))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        login = logins.load(self.api)
        if login.ends_soon and login.refresh_token:
            login = _refreshed(login)
        ca_file = Path(login.ca_file) if login.ca_file else None
        return ask(self.api, method, path, body, token=login.id_token, ca_file=ca_file)


def row_of(found: dict[str, Any]) -> dict[str, object]:
    """Return a proposal of the API as `hyok.cli.acting.as_row` has it."""
    quorum = found["quorum"]
    names = ("act", "state", "missing", "author", "reason", "tenant", "classification", "effect")
    return {
        "proposal": found["id"],
        **{name: found[name] for name in names},
        "sha256": found["sha256"],
        "approvals": quorum["approvals"],
        "among": quorum["among"],
        "development": quorum["development"],
        "created_ms": found["createdMs"],
        "expires_ms": found["expiresMs"],
        "decisions": [
            {
                "person": said["person"],
                "verdict": said["verdict"],
                "at_ms": said["atMs"],
                "method": said["method"],
                "reason": said["reason"],
            }
            for said in found["decisions"]
        ],
    }


def _check_statement(statement: str, digest: str, verdict: str, reason: str) -> None:
    """Sign nothing that is about something else than was asked for.

    Raises:
        Tampered: the API drafted another statement (code HY-2507).
    """
    about = json.loads(statement)
    said = (about.get("digest"), about.get("verdict"), about.get("reason"))
    wanted = (digest, None, None) if verdict == "execute" else (digest, verdict, reason)
    if said != wanted:
        raise Tampered(
            "What the officer API wants signed is not what was asked for.",
            code="HY-2507",
            effect="Nothing was signed.",
        )


def _refreshed(login: logins.StoredLogin) -> logins.StoredLogin:
    settings = OidcSettings(
        issuer=login.issuer,
        client_id=login.client_id,
        scopes=login.scopes,
        ca_file=Path(login.ca_file) if login.ca_file else None,
    )
    sign_in = build_sign_in(settings, clock_ms)
    assert sign_in is not None
    found, tokens = asyncio.run(sign_in.refresh(login.refresh_token))
    fresh = replace(
        login,
        id_token=tokens.id_token,
        refresh_token=tokens.refresh_token or login.refresh_token,
        expires_s=found.expires_s,
    )
    logins.store(fresh)
    return fresh
