"""Tokens of the payloads door and three JOSE libraries: each reads what the other made.

The key stands in a software token, so that the libraries can have it; with an HSM nobody has it.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import joserfc.errors
import joserfc.jwe
import joserfc.jwk
import jwcrypto.common
import jwcrypto.jwe
import jwcrypto.jwk
import pytest
from joserfc.registry import HeaderParameter
from tests.peers.environments import node_modules
from tests.unit.doors.payloads import CONTEXT, payloads, problem

from hyok.custody.door_key import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = Path(__file__).parents[1] / "peers" / "jose"
BARE = {"enc": "A256GCM", "typ": "hyok+jwe"}
BOUND = {"ctx": CONTEXT, "crit": ["ctx"]}
PLAINS = (b"", b"geheim", "é€".encode(), bytes(range(256)) * 40)


class Library(Protocol):
    error: type[Exception]

    def opened(self, jwk: Mapping[str, str], token: str) -> tuple[bytes, dict[str, Any]]: ...

    def made(self, jwk: Mapping[str, str], header: Mapping[str, Any], plain: bytes) -> str: ...


def check_bound(value: Any) -> None:
    assert isinstance(value, dict)


class Joserfc:
    error = joserfc.errors.JoseError

    @staticmethod
    def registry() -> joserfc.jwe.JWERegistry:
        known = {"ctx": HeaderParameter("what the token is bound to", check_bound)}
        return joserfc.jwe.JWERegistry(known, ["A256GCMKW", "RSA-OAEP-256", "A256GCM"])

    def opened(self, jwk: Mapping[str, str], token: str) -> tuple[bytes, dict[str, Any]]:
        key = joserfc.jwk.import_key(dict(jwk))
        found = joserfc.jwe.decrypt_compact(token, key, registry=self.registry())
        assert found.plaintext is not None
        return found.plaintext, dict(found.protected)

    def made(self, jwk: Mapping[str, str], header: Mapping[str, Any], plain: bytes) -> str:
        key = joserfc.jwk.import_key(dict(jwk))
        return joserfc.jwe.encrypt_compact(dict(header), plain, key, registry=self.registry())


class Jwcrypto:
    error = jwcrypto.common.JWException
    ALGS = ("A256GCMKW", "RSA-OAEP-256", "A256GCM")

    def _jwe(self, **more: Any) -> jwcrypto.jwe.JWE:
        bound = jwcrypto.common.JWSEHeaderParameter("bound to", True, True, None)
        return jwcrypto.jwe.JWE(algs=list(self.ALGS), header_registry={"ctx": bound}, **more)

    def opened(self, jwk: Mapping[str, str], token: str) -> tuple[bytes, dict[str, Any]]:
        found = self._jwe()
        found.deserialize(token, jwcrypto.jwk.JWK(**jwk))
        return found.payload, dict(found.jose_header)

    def made(self, jwk: Mapping[str, str], header: Mapping[str, Any], plain: bytes) -> str:
        found = self._jwe(plaintext=plain, protected=json.dumps(header))
        found.add_recipient(jwcrypto.jwk.JWK(**jwk))
        return str(found.serialize(compact=True))


class Jose:
    """The library of Node, a process for each question."""

    error = ValueError

    def _ask(self, **asked: Any) -> Any:
        program = PACKAGES / "tokens.mjs"
        home = node_modules("jose", PACKAGES).parent
        shutil.copy(program, home)
        done = subprocess.run(
            ["node", str(home / program.name)],
            input=json.dumps(asked) + "\n",
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        told = json.loads(done.stdout)
        if "error" in told:
            raise ValueError(told["error"])
        return told

    def opened(self, jwk: Mapping[str, str], token: str) -> tuple[bytes, dict[str, Any]]:
        told = self._ask(act="open", jwk=jwk, token=token)
        return base64.b64decode(told["plaintext"]), told["header"]

    def made(self, jwk: Mapping[str, str], header: Mapping[str, Any], plain: bytes) -> str:
        told = self._ask(
            act="make", jwk=jwk, header=header, plaintext=base64.b64encode(plain).decode()
        )
        return str(told["token"])


each = pytest.mark.parametrize(
    "library",
    [
        Joserfc(),
        Jwcrypto(),
        pytest.param(Jose(), marks=[pytest.mark.integration, pytest.mark.slow]),
    ],
    ids=["joserfc", "jwcrypto", "jose"],
)


def secret(value: bytes) -> dict[str, str]:
    shown = base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    return {"kty": "oct", "k": shown, "alg": "A256GCMKW"}


@each
async def test_a_library_with_the_key_opens_the_doors_tokens(
    library: Library, tmp_path: Any
) -> None:
    async with payloads(tmp_path) as made:
        jwk = secret(made.store.key_value("kms"))
        for plain in PLAINS:
            if not plain and isinstance(library, Jwcrypto):
                continue  # it opens no empty plaintext, nor those that it made itself
            token = await made.encrypt(plain, context=CONTEXT)
            found, header = library.opened(jwk, token)
            assert found == plain
            assert header["ctx"] == CONTEXT
            assert header["kid"] == "t/kms/1"
        assert library.opened(jwk, await made.encrypt(b"x"))[0] == b"x"
        field = (await made.encrypt_json({"a": [1.5, None]}, "/a"))["a"]
        assert library.opened(jwk, field.removeprefix("hyok:1:"))[0] == b"[1.5,null]"
        changed = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
        with pytest.raises(library.error):
            library.opened(jwk, changed)


@each
async def test_the_door_opens_tokens_that_a_library_made(library: Library, tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        jwk = secret(made.store.key_value("kms"))
        header = {"alg": "A256GCMKW", **BARE, "kid": "t/kms/1"}
        for plain in PLAINS:
            token = library.made(jwk, header | BOUND, plain)
            assert await made.decrypt(token, context=CONTEXT) == plain
        assert await made.decrypt(library.made(jwk, header, b"x")) == b"x"
        moved = await made.post("decrypt", {"token": token, "context": {"app": "ander"}})
        assert problem(moved) == (400, "context_mismatch")
        bound = header | {"ctx": {"ptr": "/a"}, "crit": ["ctx"]}
        document = {"a": "hyok:1:" + library.made(jwk, bound, b'{"b":1}')}
        assert await made.decrypt_json(document) == {"a": {"b": 1}}


@each
async def test_a_library_drops_into_the_box_with_the_public_key_alone(
    library: Library, tmp_path: Any
) -> None:
    async with payloads(tmp_path) as made:
        await made.store.make("bus", Usage.DECRYPT, kind="rsa-3072")
        jwk = (await made.send("GET", "public-keys/bus")).json
        header = {"alg": "RSA-OAEP-256", **BARE, **BOUND, "kid": jwk["kid"]}
        for plain in PLAINS:
            token = library.made(jwk, header, plain)
            assert await made.decrypt(token, context=CONTEXT) == plain


async def test_a_library_that_does_not_know_ctx_refuses_the_token(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        key = joserfc.jwk.import_key(secret(made.store.key_value("kms")))
        token = await made.encrypt(b"x", context=CONTEXT)
        algorithms = ["A256GCMKW", "A256GCM"]
        with pytest.raises(joserfc.errors.JoseError):
            joserfc.jwe.decrypt_compact(token, key, algorithms=algorithms)
        bare = await made.encrypt(b"x")
        found = joserfc.jwe.decrypt_compact(bare, key, algorithms=algorithms)
        assert found.plaintext == b"x"
