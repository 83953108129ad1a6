"""The doors that `bench_doors.py` asks, each in a module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.doors import dke, ekm, kacls, kubernetes, payloads, transit, xks

if TYPE_CHECKING:
    from benchmarks.doors.door import Door

DOORS: dict[str, Door] = {
    "xks": xks.Xks(),
    "dke": dke.Dke(),
    "transit": transit.Transit(),
    "kubernetes": kubernetes.Kubernetes(),
    "ekm": ekm.Ekm(),
    "kacls": kacls.Kacls(),
    "payloads": payloads.Payloads(),
}
