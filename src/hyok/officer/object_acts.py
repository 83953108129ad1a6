"""Acts on objects: seal one again under a lower classification, export a bucket."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from hyok.custody.quorum import Quorum, Role
from hyok.errors import Conflict, Refused
from hyok.objects.export import Exporter
from hyok.objects.export_folder import begin, export_id_of
from hyok.objects.lowering import lower_object
from hyok.officer.bucket_acts import check_lower, lowering_quorum
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.vocabulary import Ask, ClassificationName, Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.cases import Case
    from hyok.custody.keyring import Keyring
    from hyok.custody.proposal import Effect
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.objects.registry import BucketRegistry
    from hyok.objects.vault import ObjectVault
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Bucket


class LowerObject:
    """`object:lower`."""

    def __init__(
        self,
        vault: ObjectVault,
        registry: BucketRegistry,
        classifications: Classifications,
        clock_ms: Callable[[], int],
    ) -> None:
        self._vault = vault
        self._registry = registry
        self._classifications = classifications
        self._clock_ms = clock_ms

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes, for exactly the object that stands there."""
        bucket = await self._registry.get(text(effect, "bucket"))
        key, to = text(effect, "key"), text(effect, "to")
        seen = await self._vault.head(self._looking(bucket, key))
        before = seen.classification
        floor = self._floor(bucket, key)
        if self._classifications.level(to) < self._classifications.level(floor):
            raise Refused(
                f"Whatever is written there is at least {floor}, by the bucket's rules.",
                code="HY-2305",
                effect="Nothing was proposed.",
                next_step="lower the bucket, or copy the object to another one",
            )
        if before == to and effect.get("from"):  # an execution that is carried on
            exact = effect
            before = text(effect, "from")
        else:
            check_lower(self._classifications, before, to)
            exact = {
                "bucket": bucket.bucket_id,
                "key": key,
                "object_id": seen.object_id,
                "from": before,
                "to": to,
            }
        quorum = lowering_quorum(self._classifications, before)
        return Plan(bucket.tenant, before, quorum, exact, bucket, key)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Seal it again."""
        effect = case.proposal.effect
        to = ClassificationName(text(effect, "to"))
        lowered = await lower_object(
            self._vault, self._classifications, ask, text(effect, "object_id"), to
        )
        said = f"s3://{effect['bucket']}/{effect['key']} is {to} from now on"
        return Done(said, {"etag": lowered.etag, "version_id": lowered.version_id})

    def _floor(self, bucket: Bucket, key: str) -> str:
        named: list[str] = [bucket.classification]
        named += [name for prefix, name in bucket.prefix_rules.items() if key.startswith(prefix)]
        return max(named, key=self._classifications.level)

    def _looking(self, bucket: Bucket, key: str) -> Ask:
        return Ask(
            principal=Principal("officers", bucket.tenant, "officer", clearance=100),
            action="object:head",
            bucket=bucket,
            key=key,
            request_id=secrets.token_hex(8).upper(),
            origin="local",
            at_ms=self._clock_ms(),
        )


class ExportBucket:
    """`object:export`: into the folder that the proposal names, on the host that executes it."""

    def __init__(
        self,
        vault: ObjectVault,
        keyring: Keyring,
        box: HsmSecretBox,
        registry: BucketRegistry,
        classifications: Classifications,
        progress: Callable[[int, int], None],
    ) -> None:
        self._progress = progress
        self._vault = vault
        self._keyring = keyring
        self._box = box
        self._registry = registry
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: the most that any class in the bucket may demand."""
        bucket = await self._registry.get(text(effect, "bucket"))
        above = self._classifications.at_least(bucket.classification) | {bucket.classification}
        approvals = max(self._classifications.get(name).approvals.export for name in above)
        exact: Effect = {
            "bucket": bucket.bucket_id,
            "prefix": text(effect, "prefix", default=""),
            "folder": text(effect, "folder"),
        }
        quorum = Quorum(approvals, (Role.SECURITY,))
        return Plan(bucket.tenant, bucket.classification, quorum, exact, bucket)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Write the folder; go on where an execution of the same proposal was broken off."""
        effect = case.proposal.effect
        folder = Path(text(effect, "folder"))
        # The id of the export is the proposal's: another proposal's folder is never gone on with.
        export_id = case.proposal.proposal_id.lower().rjust(32, "0")
        await asyncio.to_thread(_prepare, folder, export_id)
        exporter = Exporter(self._vault, self._keyring, self._box, folder)
        prefix = text(effect, "prefix", default="")
        report = await exporter.run(ask, prefix, export_id, self._progress)
        said = f"{report.objects} objects, {report.plain_bytes} plaintext bytes in {folder}"
        figures: dict[str, object] = {
            "folder": str(folder),
            "objects": report.objects,
            "bytes": report.plain_bytes,
            "failed": report.failed,
        }
        return Done(said, figures, whole=not report.failed)


def _prepare(folder: Path, export_id: str) -> None:
    """Begin the folder, or see that it was begun for this export.

    Raises:
        Conflict: it holds something else.
    """
    if not (folder / "export.json").exists():
        if folder.exists() and any(folder.iterdir()):
            raise _other(folder)
        begin(folder, export_id)
    if export_id_of(folder) != export_id:
        raise _other(folder)


def _other(folder: Path) -> Conflict:
    return Conflict(
        f"{folder} holds something else than this export",
        effect="Nothing was written.",
        next_step="propose it anew with a new folder",
    )
