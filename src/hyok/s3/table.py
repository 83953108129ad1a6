"""docs/s3-compatibility.md, made from the operation table."""

from __future__ import annotations

from hyok.s3.catalog import ROWS, Row

_HEAD = """# S3 compatibility

<!-- Made from src/hyok/s3/catalog.py by docs/generate_s3_table.py; a test compares the two. -->

Every operation of Amazon S3 has a row. *sealed*: carried out, and what the store gets is sealed.
*refused*: answered with `NotImplemented` (501) and the reason given here; nothing is passed on to
the store unseen.

"""


def render() -> str:
    """Return the page."""
    served = sorted((row for row in ROWS if row.served), key=_name)
    refused = sorted((row for row in ROWS if not row.served), key=_name)
    lines = [
        f"{len(served)} operations are served, {len(refused)} are refused by name.",
        "",
        "| Operation | Request | Answer |",
        "|---|---|---|",
        *[f"| {_name(row)} | `{_wire(row)}` | sealed |" for row in served],
        "",
        "| Operation | Request | Refused because |",
        "|---|---|---|",
        *[f"| {_name(row)} | `{_wire(row)}` | {row.refusal} |" for row in refused],
        "",
    ]
    return _HEAD + "\n".join(lines)


def _name(row: Row) -> str:
    return row.operation.value


def _wire(row: Row) -> str:
    path = {"service": "/", "bucket": "/{bucket}", "object": "/{bucket}/{key}"}[row.target.value]
    query = "?" + "&".join(row.names) if row.names else ""
    header = f" with {row.header}" if row.header else ""
    return f"{row.method} {path}{query}{header}"
