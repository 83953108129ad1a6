"""docs/s3-compatibility.md, made from the operation table."""

from __future__ import annotations

from hyok.s3.catalog import ROWS, Answer, Row

_HEAD = """# S3 compatibility

<!-- Made from src/hyok/s3/catalog.py by docs/generate_s3_table.py; a test compares the two. -->

Every operation of Amazon S3 has a row with one of three answers. *sealed*: carried out with the
meaning it has for the plaintext; what the store gets is sealed. *forwarded*: signed anew and passed
on, since nothing in it leaks or takes effect on the plaintext. *refused*: answered with
`NotImplemented` (501) and the reason given here. Nothing else is passed on to the store.

"""

_COLUMNS = {
    Answer.SEALED: "Answer",
    Answer.FORWARDED: "Forwarded because",
    Answer.REFUSED: "Refused because",
}


def render() -> str:
    """Return the page."""
    rows = {
        answer: sorted((row for row in ROWS if row.answer is answer), key=_name)
        for answer in Answer
    }
    counts = [f"{len(rows[answer])} are {answer.value}" for answer in Answer]
    lines = [f"Of {len(ROWS)} operations {counts[0]}, {counts[1]} and {counts[2]}.", ""]
    for answer, held in rows.items():
        lines += [f"## {answer.value.capitalize()}", ""]
        if not held:
            lines += ["None.", ""]
            continue
        lines += [f"| Operation | Request | {_COLUMNS[answer]} |", "|---|---|---|"]
        lines += [f"| {_name(row)} | `{_wire(row)}` | {row.reason or 'sealed'} |" for row in held]
        lines.append("")
    return _HEAD + "\n".join(lines[:-1]) + "\n"


def _name(row: Row) -> str:
    return row.operation.value


def _wire(row: Row) -> str:
    path = {"service": "/", "bucket": "/{bucket}", "object": "/{bucket}/{key}"}[row.target.value]
    query = "?" + "&".join(row.names) if row.names else ""
    header = f" with {row.header}" if row.header else ""
    return f"{row.method} {path}{query}{header}"
