"""KeyEnder: the end of a key version: no gateway uses it, then no token has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState
from hyok.errors import HyokError, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.hsm.port import Hsm, KekSpec


class KeyEnder:
    """Ends key versions of which somebody else made sure that nothing needs them."""

    def __init__(self, keks: KekCatalog, hsm: Hsm) -> None:
        self._keks = keks
        self._hsm = hsm

    async def close(self, kek: Kek) -> None:
        """Let no gateway use it from now on; may be repeated.

        Raises:
            Conflict: the standard does not allow it from its state (code HY-2302).
        """
        if kek.state is not KeyState.DESTROYED:
            await self._keks.change_state(kek.kek_id, KeyState.DESTROYED)

    async def destroy(self, kek: Kek) -> Sequence[str]:
        """Destroy it in every token, and ask whether it is gone; return the tokens' names.

        Raises:
            Unavailable: a token does not answer; may be repeated.
            Tampered: a token holds another key under this name, or still answers for this one
                (code HY-2314).
        """
        return await destroy_everywhere(self._hsm, kek.spec)

    async def refusal(self, kek: Kek, scope: str, token: bytes) -> str:
        """Ask the HSM itself to open a token; return the code with which it refused.

        Raises:
            Unavailable: it does not answer, which is no refusal.
            Tampered: it opened (code HY-2314).
        """
        try:
            await self._hsm.secret(kek.spec, scope, token)
        except HyokError as error:
            if error.retryable:
                raise
            return error.code or error.reason
        raise Tampered(f"The HSM opens a token of {kek.kek_id}.", code="HY-2314")


async def destroy_everywhere(hsm: Hsm, key: KekSpec) -> Sequence[str]:
    """Destroy a key in every token, and ask whether it is gone; return the tokens' names.

    Raises:
        Unavailable: a token does not answer; may be repeated.
        Tampered: a token holds another key under this name, or still answers for this one (code
            HY-2314).
    """
    tokens = await hsm.destroy_kek(key)
    try:
        await hsm.check(key)
    except NotFound:
        return tokens
    raise Tampered(
        f"The HSM still answers for the key {key.kek_id} that it destroyed.",
        code="HY-2314",
        effect="Nothing uses it any more, and it still exists.",
        next_step="look at the HSM, and at copies of the token",
    )
