"""Settings of the stores: `[[stores]]`, each of its own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, model_validator

from hyok.vocabulary import LOOPBACK

PARENT_CHARS_MAX = 100
"""Of a supplier's name: it must fit in the row that freezes it."""


class FileStoreSettings(BaseModel, extra="forbid", frozen=True):
    kind: Literal["files"]
    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    path: Path
    jurisdiction: str = "NL"
    control: str = "NL"
    parent: str = Field(default="", max_length=PARENT_CHARS_MAX)
    use_case: Literal["UC1", "clear"] = "UC1"


class S3StoreSettings(BaseModel, extra="forbid", frozen=True):
    kind: Literal["s3"]
    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    endpoint: str = Field(pattern=r"^https?://[^/?#@]+$")
    region: str = "us-east-1"
    addressing: Literal["path", "virtual-host"] = "path"
    credentials_file: Path | None = None
    credentials_profile: str = ""
    ca_file: Path | None = None
    jurisdiction: str
    control: str
    parent: str = Field(default="", max_length=PARENT_CHARS_MAX)
    use_case: Literal["UC1", "clear"] = "UC1"
    connections_max: int = Field(default=128, ge=1, le=4096)
    deadline_seconds: float = Field(default=30.0, gt=0, le=600)
    attempts_max: int = Field(default=4, ge=1, le=20)
    retry_wait_seconds: float = Field(default=0.1, gt=0, le=60)
    retry_wait_seconds_max: float = Field(default=5.0, gt=0, le=300)
    retry_deadline_seconds: float = Field(default=50.0, gt=0, le=3600)
    single_put_bytes_max: int = Field(default=5 << 30, ge=5 << 20, le=5 << 30)
    split_part_bytes: int = Field(default=1 << 30, ge=5 << 20, le=5 << 30)

    @model_validator(mode="after")
    def _is_private(self) -> S3StoreSettings:
        host = urlsplit(self.endpoint).hostname
        if self.endpoint.startswith("http:") and host not in LOOPBACK:
            raise ValueError("endpoint: plain http is for loopback only; use https")
        if self.split_part_bytes > self.single_put_bytes_max:
            raise ValueError("split_part_bytes: a part goes into one PUT (single_put_bytes_max)")
        return self


StoreSettings = Annotated[FileStoreSettings | S3StoreSettings, Field(discriminator="kind")]
