"""TriedKeys: keys of doors that a token generates, and tries before they serve anybody.

It runs in the agent's process only.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from hyok.errors import Conflict, Malformed, Refused, Tampered
from hyok.hsm import structures as ck
from hyok.hsm.cryptoki import CryptokiError
from hyok.hsm.keks import kek_attributes
from hyok.hsm.recovery import never_again
from hyok.hsm.wire import DOOR_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.envelope.profiles import Profile
    from hyok.hsm.cryptoki import Module
    from hyok.hsm.dialect import Dialect
    from hyok.hsm.sessions import Session, Sessions

NAME_BYTES_MAX = 160
_ATTRIBUTE_VALUE_INVALID = 0x013


class TriedKeys(ABC):
    """Secret keys of one profile; a subclass says how they are tried, and what they do.

    ``key_of`` finds the one key of a name on a session.
    """

    profile: ClassVar[Profile]
    """Whose attributes the keys have."""

    mechanism: ClassVar[str]
    """What the module must do, in the words of a refusal."""

    def __init__(
        self,
        module: Module,
        dialect: Dialect,
        sessions: Sessions,
        key_of: Callable[[Session, str, int], int],
    ) -> None:
        self._module, self._dialect, self._sessions = module, dialect, sessions
        self._key_of = key_of
        self._create_lock = threading.Lock()
        self._fit: bool | None = None  # None: not tried yet

    @property
    @abstractmethod
    def _generation(self) -> int:
        """The mechanism that generates a key."""

    @abstractmethod
    def _try(self, session: Session) -> str:
        """Return how the module was shown to be right; empty where it is not."""

    def probe(self) -> str:
        """Try the module with a key that lives for this trial; return what that showed.

        Raises:
            Refused: it does not do what is wanted, or does it wrongly (``DoorsOff``).
        """
        try:
            shown = self._sessions.run(self._try)
        except CryptokiError as error:
            self._fit = False
            raise self._unfit(str(error)) from error
        except Tampered as error:
            self._fit = False
            raise self._unfit("what it sealed does not open") from error
        self._fit = bool(shown)
        if not shown:
            raise self._unfit("it answers wrongly")
        return shown

    def _make(self, name: str) -> None:
        """Generate a key of this name.

        Raises:
            Conflict: a key of this name exists.
        """
        self._check(name)
        with self._create_lock:
            self._sessions.run(lambda _: self._generate(name), never_again)

    def _generate(self, name: str) -> None:
        # A writable session of its own; the pool's are read-only.
        session = self._module.open_session(self._sessions.slot, writable=True)
        try:
            if self._module.find(session, {ck.CKA_TOKEN: True, ck.CKA_LABEL: name.encode()}):
                raise Conflict(f"a key named {name} exists in the token")
            attributes = kek_attributes(self._dialect, self.profile, name)
            key = self._module.generate_key(session, self._generation, attributes)
            sensitive = self._module.attribute(session, key, ck.CKA_SENSITIVE)
            extractable = self._module.attribute(session, key, ck.CKA_EXTRACTABLE)
            if sensitive != b"\x01" or extractable != bytes([self._dialect.extractable]):
                self._module.destroy(session, key)
                raise CryptokiError("C_GenerateKey", _ATTRIBUTE_VALUE_INVALID)
        finally:
            self._module.close_session(session)

    def _passing(self, session: int) -> int:
        """Return a key that lives no longer than the session."""
        life = kek_attributes(self._dialect, self.profile, "trial") | {ck.CKA_TOKEN: False}
        return self._module.generate_key(session, self._generation, life)

    def _check(self, name: str) -> None:
        """Return quietly if this is a name of a door's key, and the module passed the trial."""
        check_name(name)
        if self._fit is None:
            self.probe()
        if not self._fit:
            raise self._unfit("it failed the trial at the start")

    def _unfit(self, cause: str) -> Refused:
        return Refused(
            f"{self.mechanism} of this module cannot serve doors: {cause}", reason="DoorsOff"
        )


def check_name(name: str) -> None:
    """Return quietly if a door's key may have this name.

    Raises:
        Malformed: it may not.
    """
    if not name.startswith(DOOR_PREFIX) or len(name.encode()) > NAME_BYTES_MAX:
        raise Malformed(f"the name of a door's key begins with {DOOR_PREFIX}")


def check_data(name: str) -> bytes:
    """Return what a key's own check is made of, or bound to."""
    return b"hyok door check\0" + name.encode()
