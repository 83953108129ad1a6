"""Documents as one HTML page for people, readable by a screen reader.  Pure.

Nothing comes from elsewhere; tables have captions and scoped heads, each language its own article.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#111;background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "th,td{border:1px solid #595959;padding:.25rem .5rem;text-align:left;"
    "overflow-wrap:anywhere}caption{text-align:left;font-weight:bold}"
    "dt{font-weight:bold}dd{margin:0 0 .5rem;overflow-wrap:anywhere}"
)


def page(title: str, articles: str) -> str:
    """Return the whole page; ``articles`` is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="nl">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{articles}</main>\n</body>\n</html>\n"
    )


def listed(facts: Iterable[tuple[str, object]]) -> str:
    """Return names and values as a list."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl>"


def table(
    words: Mapping[str, str],
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
) -> str:
    """Return rows as a table whose caption and heads stand in ``words``."""
    if not rows:
        return f"<h2>{words[title]}</h2>\n<p>{words['none']}</p>\n"
    head = "".join(f'<th scope="col">{words[name]}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<table>\n<caption>{words[title]}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody>\n</table>\n"
    )
