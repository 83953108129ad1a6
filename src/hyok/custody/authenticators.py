"""The rows of officers' authenticators: what verifies them, and how often each has signed.

That a row is its officer's own is proven by the register, whose sealed digest covers the identity,
which in turn holds a digest of site and key.  The count of signatures is a hint alone: a copied
authenticator betrays itself by counting from an older number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from hyok.custody.proposal import not_genuine
from hyok.database.tables import officer_authenticators
from hyok.errors import NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hyok.database.engine import Database
    from hyok.identity.passkeys import Authenticator


def add_authenticator(connection: Connection, made: Authenticator) -> None:
    """Write one down, beside its identity."""
    connection.execute(
        insert(officer_authenticators).values(
            identity=made.identity,
            rp_id=made.rp_id,
            credential_id=made.credential_id,
            public_key=made.public_key,
        )
    )


class AuthenticatorBook:
    """The table `officer_authenticators`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, identities: Iterable[str]) -> Sequence[Authenticator]:
        """Return the authenticators behind identities that the register has proven.

        Raises:
            Tampered: a row holds another key or site than its identity says (code HY-2507).
        """
        from hyok.identity.passkeys import Authenticator  # noqa: PLC0415 - see custody.proofs

        wanted = sorted(word for word in identities if word.startswith("webauthn:"))
        if not wanted:
            return ()
        query = select(officer_authenticators).where(officer_authenticators.c.identity.in_(wanted))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found = [Authenticator(row.rp_id, row.credential_id, row.public_key) for row in rows]
        if sorted(one.identity for one in found) != wanted:
            raise not_genuine("an authenticator")
        return found

    async def count(self, identity: str, signatures: int) -> None:
        """Note how often an authenticator says that it has signed.

        Raises:
            NotAuthenticated: not more often than before: there are two of it (code HY-2512).
        """
        table = officer_authenticators
        mine = update(table).where(table.c.identity == identity)
        # Zero: it does not count (section 6.1.1), and never did.
        later = mine.where((table.c.sign_count < signatures) | (table.c.sign_count == 0))

        def act(connection: Connection) -> int:
            return connection.execute(later.values(sign_count=signatures)).rowcount

        if await self._database.run(act) != 1:
            raise NotAuthenticated(
                "This authenticator has signed no more often than before: a copy of it is in use.",
                code="HY-2512",
                effect="Nothing was changed.",
                next_step="tell the security officer, and sign with another authenticator",
            )
