"""Percentiles of measured times.  Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the ordered ones lie; 0: there is none."""
    return ordered[int((len(ordered) - 1) * share + 0.5)] if ordered else 0.0
