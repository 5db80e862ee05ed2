"""Contents of files that a planner sends along as artifacts, so that workers need not see its file system."""

from __future__ import annotations

import os

from schemas.errors import RefoldError
from schemas.events import ArtifactRef, Finding
from streams.artifacts import ArtifactStore, FileChanged
from streams.documents.uris import path_of
from streams.source import ContentReader, SourceTooLarge

IN_MEMORY_BYTES = 8 * 1024 * 1024
"""Larger files are handed to the store as files, which sends them in parts."""


class Uploads:
    """Puts the files that findings name into `artifacts`. Thread-safe; nothing is durable before `sync`."""

    def __init__(self, artifacts: ArtifactStore, files: ContentReader) -> None:
        self._artifacts = artifacts
        self._files = files

    def put(self, finding: Finding) -> tuple[Finding, ArtifactRef] | None:
        """The content's reference, and what the file looked like when it was read.

        None for a file that cannot be read now: the request goes without a content, and is answered as failed. A store
        that is away or full is no fault of the file's, and raises.
        """
        try:
            content = self._files.read(finding, limit_bytes=IN_MEMORY_BYTES)
        except SourceTooLarge:
            return self._put_large(finding)
        except RefoldError:
            return None
        return content.finding or finding, self._artifacts.put([content.data])[0]

    def sync(self) -> None:
        """Make what was put durable."""
        self._artifacts.sync()

    def _put_large(self, finding: Finding) -> tuple[Finding, ArtifactRef] | None:
        path = path_of(finding.uri)
        try:
            before = os.lstat(path)
            ref = self._artifacts.put_file(path)
            after = os.lstat(path)
        except (OSError, FileChanged):
            return None
        is_whole = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        return (finding, ref) if is_whole and ref.size_bytes == finding.size_bytes else None
