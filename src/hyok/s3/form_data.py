"""Takes a browser's form apart as it comes: bounded fields first, then the file.

Exactly what POST uploads of S3 need of multipart/form-data: the fields before the file are kept
(20 KB in all), the file goes from buffer to buffer, and what follows it is passed over.  How the
body was cut on its way makes no difference.

Source: RFC 7578; RFC 2046 section 5.1; Amazon S3 API Reference, "POST Object".
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS_BYTES_MAX = 20 << 10
"""Everything before the file: names, values and the framing."""

AFTER_BYTES_MAX = 20 << 10
FIELDS_MAX = 100
FILE = "file"

_CONTENT_TYPE = re.compile(r"multipart/form-data\s*(;.*)", re.ASCII | re.IGNORECASE).fullmatch
_CHARS = r"0-9A-Za-z'()+_,./:=?\-"
_BOUNDARY = re.compile(
    rf""";\s*boundary=(?:"([{_CHARS} ]{{1,70}})"|([{_CHARS}]{{1,70}}))\s*(?:;|$)""",
    re.ASCII | re.IGNORECASE,
).search
_DISPOSITION = re.compile(r"form-data\s*(;.*)", re.ASCII | re.IGNORECASE).fullmatch
_PARAMETER = re.compile(r';\s*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*').match
_IDENTITY = frozenset({"7bit", "8bit", "binary"})
_CLOSING = b"--\r\n"


class _State(Enum):
    PREAMBLE = "preamble"
    BOUNDARY_END = "after a boundary"
    HEADERS = "headers"
    FIELD = "field"
    FILE = "file"
    AFTER = "a part after the file"
    DONE = "done"


def parse_boundary(content_type: str | None) -> bytes:
    """Return the boundary that a Content-Type names.

    Raises:
        Malformed: it is no form's (reason ``MalformedPOSTRequest``).
    """
    form = _CONTENT_TYPE((content_type or "").strip())
    found = _BOUNDARY(form[1]) if form else None
    if found is None:
        raise malformed_form("The Content-Type must be multipart/form-data with a boundary.")
    return (found[1] or found[2]).rstrip(" ").encode("ascii")


class FormDecoder:
    """Decodes one form, fed in pieces of any size.

    Args:
        boundary: what `parse_boundary` returned.
    """

    __slots__ = (
        "_after_bytes",
        "_before_bytes",
        "_delimiter",
        "_fields",
        "_held",
        "_name",
        "_state",
        "file_seen",
        "filename",
    )

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first boundary may stand at the very beginning, as if a line had ended before it.
        self._held = b"\r\n"
        self._state = _State.PREAMBLE
        self._fields: dict[str, str] = {}
        self._name = ""
        self._before_bytes = 0
        self._after_bytes = 0
        self.file_seen = False
        self.filename = ""

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields before the file by lower-case name.  Complete once `file_seen`."""
        return self._fields

    @property
    def at_file(self) -> bool:
        """Is the file next, or what is left of it?"""
        return self._state is _State.FILE

    @property
    def held_bytes(self) -> int:
        """How many bytes were consumed and not given out; `at_file` all follow its headers."""
        return len(self._held)

    @property
    def done(self) -> bool:
        """Has the end of the form been seen?"""
        return self._state is _State.DONE

    def decode(self, src: memoryview, dst: memoryview) -> tuple[int, int]:
        """Move what fits of the file from ``src`` to ``dst``; return bytes consumed and produced.

        Stops when ``src`` is used up, when ``dst`` is full and more of the file is due, or when
        done.  With an empty ``dst`` it stops at the file, when the fields are known.
        What follows the end of the form is not consumed; it has no meaning.

        Raises:
            Malformed: the form is none, or larger than it may be.
        """
        at = produced = 0
        while self._state is not _State.DONE:
            if self._state is _State.FILE:
                consumed, out = self._take_file(src[at:], dst[produced:])
                at += consumed
                produced += out
                if consumed == 0 and out == 0 and self._state is _State.FILE:
                    break  # no room, or nothing left
            elif not self._step():
                if at == len(src):
                    break
                at += self._gather(src[at:])
        return at, produced

    def length_of_file(self, rest: int) -> int:
        """Return how long the file is, `at_file`, where ``rest`` bytes of the body follow it all.

        That is so when the form ends as browsers and libraries end it: with the closing boundary
        and the end of its line, and with nothing between the file and that.  Whether it does is
        seen at the end.  Negative where ``rest`` is too little for that.
        """
        return self.held_bytes + rest - len(self._delimiter) - len(_CLOSING)

    def finish(self) -> None:
        """Return quietly if the form is complete.  Call at the body's end.

        Raises:
            Malformed: it ended early (``IncompleteBody``).
        """
        if self._state is not _State.DONE:
            raise Malformed(
                "The request body terminated before the end of the form.", reason="IncompleteBody"
            )

    # --- the file --------------------------------------------------------------------------------

    def _take_file(self, src: memoryview, dst: memoryview) -> tuple[int, int]:
        """Copy up to the delimiter, always holding back what may be its beginning."""
        delimiter = self._delimiter
        back = len(delimiter) - 1
        held = len(self._held)
        count = min(len(src), max(0, len(dst) + back - held))
        piece = self._held + bytes(src[:count])
        end = piece.find(delimiter)
        out = min(len(dst), end if end != -1 else max(0, len(piece) - back))
        dst[:out] = piece[:out]
        self._held = piece[out:]
        if end == out:
            self._held = piece[end + len(delimiter) :]
            self._state = _State.BOUNDARY_END
        return count, out

    # --- what stands around it -------------------------------------------------------------------

    def _gather(self, src: memoryview) -> int:
        """Hold a piece more, small enough that nothing of a file is counted as a field."""
        count = min(len(src), 1024)
        self._held += bytes(src[:count])
        return count

    def _step(self) -> bool:
        """Do what the bytes held allow; False when there are too few."""
        if self._state is _State.BOUNDARY_END:
            return self._after_boundary()
        if self._state is _State.HEADERS:
            block = self._cut(b"\r\n\r\n")
            if block is None:
                return False
            self._begin_part(block)
            return True
        value = self._cut(self._delimiter)
        if value is None:
            return False
        if self._state is _State.FIELD:
            self._end_field(value)
        elif self._state is _State.PREAMBLE and value.strip():
            raise malformed_form("The body must begin with the boundary.")
        self._state = _State.BOUNDARY_END
        return True

    def _after_boundary(self) -> bool:
        if len(self._held) < 2:
            return False
        two, self._held = self._held[:2], self._held[2:]
        self._count(2)
        if two == b"--":
            if not self.file_seen:
                raise _not_one_file()
            self._state, self._held = _State.DONE, b""
            return True
        if two != b"\r\n":
            raise malformed_form("A boundary must be followed by the end of its line.")
        self._state = _State.HEADERS
        self._held = b"\r\n" + self._held  # so that a part without headers ends like any other
        return True

    def _cut(self, mark: bytes) -> bytes | None:
        """Return what stands before ``mark`` and drop both; None when it is not there yet."""
        end = self._held.find(mark)
        if end == -1:
            self._check_room(len(self._held))
            return None
        found, self._held = self._held[:end], self._held[end + len(mark) :]
        self._count(end + len(mark))
        return found

    def _count(self, count: int) -> None:
        if self.file_seen:
            self._after_bytes += count
        else:
            self._before_bytes += count
        self._check_room(0)

    def _check_room(self, waiting: int) -> None:
        if self.file_seen:
            if self._after_bytes + waiting > AFTER_BYTES_MAX:
                raise malformed_form("Too much follows the file.")
        elif self._before_bytes + waiting > FIELDS_BYTES_MAX:
            raise Malformed(
                "Your POST request fields preceding the upload file were too large.",
                reason="MaxPostPreDataLengthExceededError",
            )

    def _begin_part(self, block: bytes) -> None:
        name, filename = _read_headers(block)
        if self.file_seen:
            if name == FILE:
                raise _not_one_file()
            self._state = _State.AFTER
        elif name == FILE:
            self.file_seen = True
            self.filename = filename
            self._state = _State.FILE
        else:
            self._name = name
            self._state = _State.FIELD

    def _end_field(self, value: bytes) -> None:
        if self._name in self._fields:
            raise malformed_form(f"The field {self._name[:64]} is given twice.")
        if len(self._fields) >= FIELDS_MAX:
            raise malformed_form("The form has too many fields.")
        try:
            self._fields[self._name] = value.decode("utf-8")
        except UnicodeDecodeError:
            raise malformed_form(f"The field {self._name[:64]} is not UTF-8.") from None


def _read_headers(block: bytes) -> tuple[str, str]:
    """Return the name of a part in lower case, and its filename."""
    try:
        lines = block.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        raise malformed_form("The headers of a part are not UTF-8.") from None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not line:
            continue
        if not colon or name.strip().lower() in headers:
            raise malformed_form("The headers of a part are malformed.")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-transfer-encoding", "binary").lower() not in _IDENTITY:
        raise malformed_form("A part is encoded; parts must be sent as they are.")
    form = _DISPOSITION(headers.get("content-disposition", ""))
    parameters = _parameters(form[1]) if form else {}
    name = parameters.get("name", "").lower()
    if not name:
        raise malformed_form("A part has no name.")
    return name, parameters.get("filename", "")


def _parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    while text:
        found = _PARAMETER(text)
        if found is None or found[1].lower() in parameters:
            raise malformed_form("The Content-Disposition of a part is malformed.")
        quoted = found[2]
        parameters[found[1].lower()] = found[3] if quoted is None else _unquoted(quoted)
        text = text[found.end() :]
    return parameters


def _unquoted(text: str) -> str:
    # Browsers write a quote as %22 and ends of lines as %0D%0A; older clients use a backslash,
    # which in a Windows path is only itself.
    text = text.replace('\\"', '"')
    for escape, char in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        text = text.replace(escape, char)
    return text


def malformed_form(sentence: str) -> Malformed:
    """Return the error of a body that is no form."""
    return Malformed(
        f"The body of your POST request is not well-formed multipart/form-data. {sentence}",
        reason="MalformedPOSTRequest",
    )


def _not_one_file() -> Malformed:
    return Malformed(
        "POST requires exactly one file upload per request.",
        reason="IncorrectNumberOfFilesInPostRequest",
    )
