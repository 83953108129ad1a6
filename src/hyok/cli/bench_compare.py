"""`hyok bench compare`: results of several sites or moments beside each other, and as a page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyok.cli import bench_result
from hyok.cli.options import JsonOption  # noqa: TC001 - typer reads the annotation
from hyok.cli.screen import say, show_whole
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Facts = Mapping[str, str]

STYLE = (
    "body{font-family:sans-serif;margin:2rem}table{border-collapse:collapse;margin:1rem 0}"
    "th,td{border:1px solid #bbb;padding:.3rem .6rem;text-align:right}"
    "th:first-child,td:first-child{text-align:left}thead th{background:#eee}"
)


def compare(
    results: Annotated[list[Path], typer.Argument(help="Result files, the first is the measure.")],
    page: Annotated[Path, typer.Option("--html", help="Where the page is written.")] = Path(
        "hyok-bench-compare.html"
    ),
    as_json: JsonOption = False,
) -> None:
    """Compare results of `hyok bench hsm`, or of `hyok bench gateway`; and write a page."""
    documents = [bench_result.read(path) for path in results]
    if len({document["kind"] for document in documents}) != 1 or len(documents) < 2:
        raise Malformed(
            "results can be compared when there are two or more, all of one kind",
            code="HY-2453",
            effect="Nothing was compared.",
            next_step="name files of `hyok bench hsm` alone, or of `hyok bench gateway` alone",
        )
    names = names_of(documents, results)
    rows = rows_of(documents, names)
    page.write_text(render(documents, names, rows))
    show_whole(rows, as_json=as_json, empty="the results have nothing in common")
    if not as_json:
        say(f"written to {page}")


def names_of(documents: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> list[str]:
    """Return a name for each: its site's, else its file's; all different."""
    names: list[str] = []
    for document, path in zip(documents, paths, strict=True):
        wanted = str(document.get("site") or path.stem)
        name, count = wanted, 1
        while name in names:
            count += 1
            name = f"{wanted} ({count})"
        names.append(name)
    return names


def _cells(document: Mapping[str, Any]) -> Iterator[tuple[str, float, float, float]]:
    """Give what was measured: its name, calls a second, p50 and p99."""
    if document["kind"] == "hyok-bench-gateway":
        for cell in document["cells"]:
            name = f"{cell['call']} {cell['size_bytes']:,} bytes"
            yield name, cell["operations"] / cell["seconds"], cell["p50_ms"], cell["p99_ms"]
        return
    for number, token in enumerate(document["tokens"], 1):
        for cell in token["cells"]:
            name = (
                f"token {number}, profile {cell['profile']} {cell['call']}, "
                f"{cell['sessions']} sessions, {cell['callers']} callers"
            )
            yield name, cell["operations"] / cell["seconds"], cell["p50_ms"], cell["p99_ms"]


def rows_of(documents: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, str]]:
    """Return a row for each thing that any of them measured; ratios are to the first."""
    found = [{cell[0]: cell[1:] for cell in _cells(document)} for document in documents]
    rows = []
    for what in dict.fromkeys(name for cells in found for name in cells):
        row = {"measured": what}
        first = found[0].get(what)
        for name, cells in zip(names, found, strict=True):
            cell = cells.get(what)
            if cell is None:
                row[name] = "-"
                continue
            rate, p50, p99 = cell
            ratio = (
                f" ({rate / first[0]:.2f}x)" if first and first[0] and cells is not found[0] else ""
            )
            row[name] = f"{rate:,.1f}/s{ratio}, p50 {p50:g} ms, p99 {p99:g} ms"
        rows.append(row)
    return rows


def facts_of(document: Mapping[str, Any]) -> Facts:
    """Return what a figure depends on."""
    machine = document["machine"]
    facts = {
        "at": document["at"],
        "hyok": document["hyok"],
        "CPU": f"{machine['cpus']} x {machine['cpu']}",
        "load": ", ".join(str(value) for value in machine["load_average"]),
    }
    for number, token in enumerate(document.get("tokens", []), 1):
        about = token["about"]
        facts[f"token {number}"] = (
            f"{about.get('token', '')}, firmware {about.get('firmware_version', '?')}"
        )
        facts[f"library {number}"] = (
            f"{about.get('library', '')} {about.get('library_version', '')}"
        )
        facts[f"safe sessions {number}"] = str(token["safe_sessions"])
    gaps = document.get("failover", {}).get("gap_ms", [])
    if gaps:
        facts["fail-over, longest"] = f"{max(gaps):.0f} ms"
    wanted = document.get("recommended", {})
    if "read_cache_seconds" in wanted:
        facts["read-cache"] = f"{wanted['read_cache_seconds']} s or more"
        facts["write-ttl"] = f"{wanted['write_ttl_seconds']} s or more"
    return {name: str(value) for name, value in facts.items()}


def render(
    documents: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    rows: Sequence[Mapping[str, str]],
) -> str:
    """Return the page.  Names and texts come from files of others: everything is escaped."""
    facts = [facts_of(document) for document in documents]
    known = [
        {"of": what, **{n: f.get(what, "-") for n, f in zip(names, facts, strict=True)}}
        for what in dict.fromkeys(name for one in facts for name in one)
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>hyok bench</title>'
        f"<style>{STYLE}</style></head><body><h1>hyok bench: {escape(documents[0]['kind'])}</h1>"
        f"{_table(known)}{_table(rows)}"
        f"<p>Ratios are to {escape(names[0])}.</p></body></html>\n"
    )


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
