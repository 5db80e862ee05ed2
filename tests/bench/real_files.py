"""Thousands of real files, PDFs among them, through the command line four times: `python -m tests.bench.real_files`.

Each is completed or failed with a reason; the indexes equal the log; a second run does no work, a third after touching
every file reads them again and completes nothing, a fourth does no work again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.corpus import EVERYTHING, collect
from tests.bench.measured import measured, refold

FILES = 2_500
MAX_BYTES = 20 * 1024 * 1024
FAILURES_LISTED = 10_000
SETTLED_S = 3.0
"""Files younger than this may change within the resolution of their times, so that they are read again."""


def run(*, files: int = FILES) -> dict[str, Any]:
    """What each of the four ingests did, how verify found the indexes, and what failed and why."""
    with TemporaryDirectory(dir=Path.cwd()) as place:
        folder, data = Path(place, "files"), Path(place, "data")
        corpus = collect(folder, count=files, suffixes=EVERYTHING, max_bytes=MAX_BYTES)
        time.sleep(SETTLED_S)

        def ingest() -> dict[str, Any]:
            one = measured(refold("ingest", folder, "--data", data), may_fail=True)
            return {**one.result, "cpu_s": one.cpu_s, "peak_mib": one.peak_bytes / 2**20}

        first, second = ingest(), ingest()
        for path in folder.rglob("*"):
            if path.is_file():
                os.utime(path)
        time.sleep(SETTLED_S)
        third, fourth = ingest(), ingest()
        verify = measured(refold("verify", "--data", data)).result
        failed = measured(
            refold("documents", "list", "--status", "failed", "--limit", str(FAILURES_LISTED), "--data", data)
        ).result["documents"]
        assert first["completed"] + first["failed"] == corpus.count, first
        assert not second["requested"], second
        assert third["completed"] == third["failed"] == 0, third
        assert not fourth["requested"], fourth
        assert verify["consistent"], verify
        assert all(document["error_code"] and document["message"] for document in failed)
        return {
            "corpus": corpus.described(),
            "ingests": [first, second, third, fourth],
            "verify": verify,
            "failed_by_code": Counter(document["error_code"] for document in failed),
            "failed": [
                {name: document[name] for name in ("uri", "error_code", "message", "hint")} for document in failed
            ],
        }


if __name__ == "__main__":
    json.dump(run(files=int(sys.argv[1]) if len(sys.argv) > 1 else FILES), sys.stdout, indent=2)
    print()
