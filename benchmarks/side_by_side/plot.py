"""A plot of the ratios as SVG: one bar for each row and road, a mark where the target is.  Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COLOURS = {
    "store": "#8a8a8a",
    "nginx": "#4a7a4a",
    "nginx-big": "#7fae7f",
    "haproxy": "#b08a3a",
    "hyok": "#1f5fa8",
    "hyok-2w": "#5a9be0",
    "rclone": "#a84a4a",
}
LEFT, BAR, GAP, WIDTH = 190, 14, 14, 620
TOP = 50


def plot(
    ratios: Mapping[str, Mapping[str, float]], targets: Mapping[str, float], title: str
) -> str:
    """Return the drawing; ``ratios`` are row to road to throughput beside nginx."""
    most = max([1.0, *(value for roads in ratios.values() for value in roads.values())])
    most = max([most, *targets.values()]) * 1.05

    def x(value: float) -> float:
        return LEFT + value / most * WIDTH

    parts: list[str] = []
    at = TOP
    for row, roads in ratios.items():
        top = at
        for road, value in roads.items():
            colour = COLOURS.get(road, "#666666")
            parts.append(
                f'<rect x="{LEFT}" y="{at}" width="{x(value) - LEFT:.1f}" height="{BAR}" '
                f'fill="{colour}"><title>{escape(row)} {escape(road)}: {value:.2f}</title></rect>'
                f'<text x="{x(value) + 4:.1f}" y="{at + BAR - 3}">{escape(road)} {value:.2f}</text>'
            )
            at += BAR + 2
        middle = (top + at) / 2 + 3
        parts.append(
            f'<text x="{LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(row)}</text>'
        )
        if row in targets:
            mark = x(targets[row])
            parts.append(
                f'<line x1="{mark:.1f}" y1="{top - 3}" x2="{mark:.1f}" y2="{at}" '
                'stroke="#000" stroke-width="2"/>'
            )
        at += GAP
    one = x(1.0)
    height = at + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 130}" height="{height}" '
        'font-family="sans-serif" font-size="11" role="img">'
        f"<title>{escape(title)}</title>"
        '<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="12" y="20" font-size="14">{escape(title)}</text>'
        f'<text x="12" y="36">throughput beside nginx; the black mark is the target of hyok</text>'
        f'<line x1="{one:.1f}" y1="{TOP - 6}" x2="{one:.1f}" y2="{at}" stroke="#4a7a4a" '
        'stroke-dasharray="4 3"/>' + "".join(parts) + "</svg>\n"
    )
