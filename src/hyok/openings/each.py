"""The doors by name, as the settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.openings import dke, ekm, kacls, kubernetes, payloads, transit, xks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.openings.opening import Opening

OPENINGS: Mapping[str, Opening] = {
    "xks": xks.OPENING,
    "dke": dke.OPENING,
    "transit": transit.OPENING,
    "kubernetes": kubernetes.OPENING,
    "ekm": ekm.OPENING,
    "kacls": kacls.OPENING,
    "payloads": payloads.OPENING,
}
