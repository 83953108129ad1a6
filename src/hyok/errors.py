"""Every way to fail, as seven kinds.

A kind says what the caller should do next, not where the fault was noticed.
Every sentence in a `HyokError` may be shown to a client: no key bytes, no PIN,
no internals of a dependency.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_FACTS: Mapping[str, str] = MappingProxyType({})


class HyokError(Exception):
    """Base of all expected failures.  ``str(error)`` is safe to show a client.

    Args:
        cause: what is wrong, one sentence.
        reason: a machine word that a door may map more finely (for S3: an error code
            of `hyok.s3.codes`, such as ``BadDigest``); empty when the kind says enough.
        code: the stable number for people (``HY-2103``), listed in docs/errors.md.
        effect: what did or did not happen because of it.
        next_step: the command or act that helps.
        facts: what a door may show beside the sentence, by name (for S3: ``version-id``,
            ``delete-marker``).
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        cause: str,
        *,
        reason: str = "",
        code: str = "",
        effect: str = "",
        next_step: str = "",
        facts: Mapping[str, str] = _NO_FACTS,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.reason = reason
        self.code = code
        self.effect = effect
        self.next_step = next_step
        self.facts = facts

    def explain(self) -> str:
        """Return code, cause, effect and next step as one line for people."""
        head = f"{self.code} {self.cause}" if self.code else self.cause
        effect = f" {self.effect}" if self.effect else ""
        step = f" Next: {self.next_step}" if self.next_step else ""
        return f"{head}{effect}{step}"


class Malformed(HyokError):
    """The bytes or values received do not follow their specification."""


class NotAuthenticated(HyokError):
    """The caller did not prove who they are."""


class Refused(HyokError):
    """The caller is known, and policy or custody says no."""


class NotFound(HyokError):
    """The object, key, upload or version named does not exist."""


class Conflict(HyokError):
    """The request is sound, but the present state forbids it."""


class Tampered(HyokError):
    """Stored bytes or the audit log failed authentication.  Alert; never retry."""


class Unavailable(HyokError):
    """An HSM, store or database did not answer in time.  Safe to try again.

    Args:
        cause, reason, code, effect, next_step: as `HyokError`.
        untouched: the peer did nothing of what was asked (it was not reached, or it said so), so
            that even a write with a condition may be sent again.
        lasting: the same request would fail again; people help, a loop does not.
        retry_after_seconds: how long the peer asks to be left alone; 0: it did not say.
    """

    retryable: ClassVar[bool] = True

    def __init__(
        self,
        cause: str,
        *,
        reason: str = "",
        code: str = "",
        effect: str = "",
        next_step: str = "",
        untouched: bool = False,
        lasting: bool = False,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(cause, reason=reason, code=code, effect=effect, next_step=next_step)
        self.untouched = untouched
        self.lasting = lasting
        self.retry_after_seconds = retry_after_seconds


KINDS: tuple[type[HyokError], ...] = (
    Malformed,
    NotAuthenticated,
    Refused,
    NotFound,
    Conflict,
    Tampered,
    Unavailable,
)
