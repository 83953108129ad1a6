"""Names in addresses."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

ProposalId = Annotated[str, Path(pattern=r"^[0-9A-F]{16}$", description="Of a proposal or grant.")]
PersonId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
BucketId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
