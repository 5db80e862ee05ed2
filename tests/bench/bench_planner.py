"""How fast a plan without work is, beside a bare walk: `python tests/bench/bench_planner.py`.

Bare is `os.scandir` and a stat for every file. Scan is the folder adapter alone; plan compares each finding with what
is known, from memory: what the manifest takes to answer is measured with the manifest. The three take turns, since the
speed of the machine changes by the second.
"""

from __future__ import annotations

import os
import platform
import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from schemas.ids import DocumentId
from streams.documents.states import KnownDocument
from streams.planning.plan import PlannedAction, PlannedDocument, PlanRules
from streams.planning.planner import Planner
from streams.sources.local.folder import FolderAdapter

FILES = 20_000
FILES_PER_FOLDER = 100
ROUNDS = 5
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
        live = ((document_id, known.uri) for document_id, known in self._known.items())
        self._live = sorted(live, key=lambda entry: entry[1])

    def known_documents(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, KnownDocument]:
        return {document_id: self._known[document_id] for document_id in document_ids if document_id in self._known}

    def live_below(self, _: str, *, after: str | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        first = 0 if after is None else bisect_right(self._live, after, key=lambda entry: entry[1])
        return self._live[first : first + limit]

    def live_under(self, source_root: str, **_: object) -> Sequence[tuple[DocumentId, str]]:
        """Nothing beside: no link led elsewhere."""
        del source_root
        return []


def expected_fingerprint(known: KnownDocument) -> str:
    """As costly as the real one, and always right."""
    sha256(f"{known.content_hash}{known.media_type}{known.metadata}".encode()).hexdigest()
    return ""


def run(*, files: int = FILES) -> dict[str, float]:
    """Files per second of each, the best of some rounds, and how many bare walks a plan takes."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        root, scratch = Path(folder, "files"), Path(folder, "scratch")
        scratch.mkdir()
        _generate(root, files)
        states = KnownByHeart()
        planner = Planner(states, parameters={}, expected_fingerprint=expected_fingerprint, scratch=scratch)  # type: ignore[arg-type]

        def plan() -> Iterator[PlannedDocument]:
            for batch in planner.plan([FolderAdapter(str(root))], PlanRules()):
                yield from batch

        states.learn(list(plan()))
        assert {document.action for document in plan()} == {PlannedAction.UNCHANGED}
        rounds = [
            [_timed(lambda: _bare(root)), _timed(lambda: FolderAdapter(str(root)).scan()), _timed(plan)]
            for _ in range(ROUNDS)
        ]
    bare_s, scan_s, plan_s = (min(seconds) for seconds in zip(*rounds, strict=True))
    return {
        "files": files,
        "bare_files_per_s": files / bare_s,
        "scan_files_per_s": files / scan_s,
        "plan_files_per_s": files / plan_s,
        "plan_per_bare": plan_s / bare_s,
    }


def _generate(root: Path, files: int) -> None:
    for number in range(files):
        folder = root / f"folder-{number // FILES_PER_FOLDER:04}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        path = folder / f"document-{number:06}.txt"
        path.write_text(f"document {number}")
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def _bare(folder: Path) -> Iterator[os.stat_result]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _bare(Path(entry.path))
            else:
                yield entry.stat()


def _timed(work: Callable[[], Iterator[object]]) -> float:
    started = perf_counter()
    deque(work(), maxlen=0)
    return perf_counter() - started


if __name__ == "__main__":
    print(f"{FILES:,} files on {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    result = run()
    for name in ("bare", "scan", "plan"):
        rate = result[f"{name}_files_per_s"]
        print(f"{name:6}{rate:12,.0f} files/s {1e6 / rate:8.1f} us/file")
    print(f"a plan takes {result['plan_per_bare']:.1f} bare walks; target: {TARGET_FILES_PER_S:,} files/s")
