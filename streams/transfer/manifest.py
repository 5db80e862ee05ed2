"""The manifest of an exported log: written last, so that an export without one was cut short."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.durable import sync_path
from schemas.errors import FatalError, MachineError, UsageError

MANIFEST_NAME = "manifest.json"
FORMAT = 1


class ExportIncomplete(FatalError):  # noqa: N818 - a state, as in the error tree
    """The export was cut short or altered."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A container file and what tells that it is still the one that was written."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportedPartition:
    """What an export holds of one partition: the records from `begin_offset` to before `end_offset`.

    `count` is less than the offsets between where the log has holes (Kafka's commit markers) or records of `requests`
    that are no events (`undecodable_count`); those are not exported.
    """

    topic: str
    partition: int
    begin_offset: int
    end_offset: int
    count: int
    undecodable_count: int
    files: Sequence[ExportedFile]


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """What an export consists of."""

    log_id: str
    partitions: Sequence[ExportedPartition]
    format: int = FORMAT


def describe_file(path: Path) -> ExportedFile:
    """The file at `path` as it is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportedFile(path.name, path.stat().st_size, digest)


def write_manifest(folder: Path, manifest: ExportManifest) -> None:
    """Put `manifest` into `folder`, durably and in one step.

    Raises:
        MachineError: the folder cannot be written.
    """
    partial = folder / f"{MANIFEST_NAME}.partial"
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(asdict(manifest), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / MANIFEST_NAME)
        sync_path(folder)
    except OSError as exc:
        raise MachineError(f"{folder} cannot be written: {exc}", op="export", subject=str(folder)) from exc


def read_manifest(folder: Path) -> ExportManifest:
    """The manifest of the export in `folder`, every file of which is there and unaltered.

    Raises:
        UsageError: there is no such folder, or a newer release wrote the export.
        ExportIncomplete: the manifest or a file of it is missing or altered.
        MachineError: a file cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no export at {folder}", op="import", subject=str(folder), hint="name its folder")
    try:
        manifest = _parsed(folder, (folder / MANIFEST_NAME).read_bytes())
        altered = [file.name for part in manifest.partitions for file in part.files if not _is_there(folder, file)]
    except FileNotFoundError as exc:
        raise _incomplete(folder, f"it has no {MANIFEST_NAME}, which is written last") from exc
    except OSError as exc:
        raise MachineError(f"{folder} cannot be read: {exc}", op="import", subject=str(folder)) from exc
    if altered:
        raise _incomplete(folder, f"missing or altered: {', '.join(altered)}")
    return manifest


def _parsed(folder: Path, text: bytes) -> ExportManifest:
    try:
        fields = json.loads(text)
        if fields["format"] > FORMAT:
            raise UsageError(
                f"the export in {folder} has format {fields['format']}; this release knows formats up to {FORMAT}",
                op="import",
                subject=str(folder),
                hint="install the release that wrote it, or a newer one",
            )
        return ExportManifest(fields["log_id"], [_partition(part) for part in fields["partitions"]])
    except (ValueError, KeyError, TypeError) as exc:
        raise _incomplete(folder, f"{MANIFEST_NAME} does not read back: {exc!r}") from exc


def _partition(fields: dict[str, Any]) -> ExportedPartition:
    files = [ExportedFile(**file) for file in fields.pop("files")]
    return ExportedPartition(**fields, files=files)


def _is_there(folder: Path, file: ExportedFile) -> bool:
    path = folder / file.name
    return path.is_file() and path.stat().st_size == file.size_bytes and describe_file(path) == file


def _incomplete(folder: Path, why: str) -> ExportIncomplete:
    return ExportIncomplete(
        f"the export in {folder} was cut short or altered: {why}",
        op="import",
        subject=str(folder),
        hint="export the log again, or take another copy of the export",
    )
