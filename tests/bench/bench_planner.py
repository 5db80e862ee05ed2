"""How fast a plan without work is: scanning a folder and comparing it with what is known.

``python tests/bench/bench_planner.py [FILES]``
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from schemas.ids import DocumentId
from streams.adapters import FolderAdapter
from streams.document_states import KnownDocument
from streams.plan import PlannedAction, PlannedDocument, PlanRules
from streams.planner import Planner

FILES = 20_000
FILES_PER_FOLDER = 100
REPEATS = 5
LONG_AGO_S = 1_600_000_000.5
TARGET_FILES_PER_S = 40_000


class KnownByHeart:
    """Answers a planner from memory."""

    def __init__(self) -> None:
        self._known: dict[DocumentId, KnownDocument] = {}
        self._live: list[tuple[DocumentId, str]] = []

    def learn(self, planned: Sequence[PlannedDocument]) -> None:
        for document in planned:
            known = KnownDocument(
                document.document_id,
                document.uri,
                document.origin.source_root,
                is_live=True,
                finding=document.finding,
                content_hash=sha256(document.uri.encode()).hexdigest(),
                media_type="text/plain",
                metadata={},
                fingerprint="",
            )
            self._known[document.document_id] = known
        self._live = sorted((document_id, known.uri) for document_id, known in self._known.items())

    def known_documents(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, KnownDocument]:
        return {document_id: self._known[document_id] for document_id in document_ids if document_id in self._known}

    def live_under(self, _: str, *, after: DocumentId | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        first = 0 if after is None else bisect_right(self._live, after, key=lambda entry: entry[0])
        return self._live[first : first + limit]


def expected_fingerprint(known: KnownDocument) -> str:
    """As costly as the real one, and always right."""
    sha256(f"{known.content_hash}{known.media_type}{known.metadata}".encode()).hexdigest()
    return ""


def run(files: int = FILES) -> dict[str, Any]:
    """Seconds and files/s of the bare walk, the scan, and scan and comparison together; the best of some runs."""
    with tempfile.TemporaryDirectory() as folder:
        root, scratch = Path(folder, "files"), Path(folder, "scratch")
        scratch.mkdir()
        _generate(root, files)
        states = KnownByHeart()
        planner = Planner(states, parameters={}, expected_fingerprint=expected_fingerprint, scratch=scratch)  # type: ignore[arg-type]

        def plan() -> list[PlannedDocument]:
            batches = planner.plan([FolderAdapter(str(root))], PlanRules())
            return [document for batch in batches for document in batch]

        states.learn(plan())
        assert {document.action for document in plan()} == {PlannedAction.UNCHANGED}
        seconds = {
            "os.scandir and stat": _best(lambda: sum(1 for _ in _bare(root))),
            "scan": _best(lambda: sum(1 for _ in FolderAdapter(str(root)).scan())),
            "scan and compare": _best(lambda: len(plan())),
        }
        shutil.rmtree(root)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "files": files,
        "seconds": seconds,
        "files_per_s": {name: round(files / value) for name, value in seconds.items()},
        "target_files_per_s": TARGET_FILES_PER_S,
    }


def _generate(root: Path, files: int) -> None:
    for number in range(files):
        folder = root / f"folder-{number // FILES_PER_FOLDER:04}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        path = folder / f"document-{number:06}.txt"
        path.write_text(f"document {number}")
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def _bare(folder: Path) -> Any:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _bare(Path(entry.path))
            else:
                yield entry.stat()


def _best(work: Callable[[], int]) -> float:
    def timed() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return min(timed() for _ in range(REPEATS))


if __name__ == "__main__":
    result = run(int(sys.argv[1]) if len(sys.argv) > 1 else FILES)
    print(f"{result['files']:,} files, {result['machine']}")
    for name, seconds in result["seconds"].items():
        rate = result["files_per_s"][name]
        print(f"{name:22}{seconds:8.3f} s {rate:10,} files/s {1e6 * seconds / result['files']:7.1f} us/file")
    print(f"target for scan and compare: {TARGET_FILES_PER_S:,} files/s")
