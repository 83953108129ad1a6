"""Settings of the doors for clouds and SaaS: `[doors.NAME]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from hyok.doors.dke.config import DkeSettings
from hyok.doors.ekm.config import EkmSettings
from hyok.doors.kacls.config import KaclsSettings
from hyok.doors.kubernetes.config import KubernetesSettings
from hyok.doors.payloads.config import PayloadSettings
from hyok.doors.transit.config import TransitSettings
from hyok.doors.xks.config import XksSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.doors.listener import ServedSettings


class DoorSettings(BaseModel, extra="forbid", frozen=True):
    xks: XksSettings = XksSettings()
    dke: DkeSettings = DkeSettings()
    transit: TransitSettings = TransitSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    ekm: EkmSettings = EkmSettings()
    kacls: KaclsSettings = KaclsSettings()
    payloads: PayloadSettings = PayloadSettings()

    @property
    def each(self) -> Mapping[str, ServedSettings]:
        """The doors by name, in the order of their management ports."""
        return {
            "xks": self.xks,
            "dke": self.dke,
            "transit": self.transit,
            "kubernetes": self.kubernetes,
            "ekm": self.ekm,
            "kacls": self.kacls,
            "payloads": self.payloads,
        }
