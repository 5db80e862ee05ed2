"""Ingests of real files, whole processes: cold beside the floor and the naive loop, no-op, edited, verify, rebuild."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.corpus import HTML_AND_TEXT, collect
from tests.bench.measured import Measured, measured, refold

FILES = 2_000
MAX_BYTES = 256 * 1024
"""Of one file: two thousand of these are about 40 MiB."""

NAIVE_FILES = 200
ROUNDS = 2
EDITED_SHARE = 100
"""Every hundredth file gets another paragraph."""


def run(*, files: int = FILES, rounds: int = ROUNDS) -> dict[str, Any]:
    """The figures; cold and floor take turns, and the best of each counts."""
    with TemporaryDirectory(dir=Path.cwd()) as place:
        folder, data = Path(place, "files"), Path(place, "data")
        corpus = collect(folder, count=files, suffixes=HTML_AND_TEXT, max_bytes=MAX_BYTES)
        cold, floor = [], []
        for number in range(rounds):
            floor.append(_bare("floor", folder, Path(place, f"floor-{number}")))
            cold.append(measured(refold("ingest", folder, "--data", f"{data}-{number}")))
        naive = _bare("naive", folder, Path(place, "naive"), str(NAIVE_FILES))
        again = Path(f"{data}-0")
        return {
            "corpus": corpus.described(),
            "files": corpus.count,
            **_compared(cold, floor, naive, corpus.size_bytes),
            **_afterwards(folder, again),
        }


def _bare(name: str, *arguments: str | Path) -> Measured:
    return measured([sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)])


def _compared(cold: list[Measured], floor: list[Measured], naive: Measured, size_bytes: int) -> dict[str, Any]:
    result = cold[0].result
    cold_s, floor_s = (min(one.wall_s for one in several) for several in (cold, floor))
    cold_cpu_s, floor_cpu_s = (min(one.cpu_s for one in several) for several in (cold, floor))
    documents, chunks = result["completed"], result["chunks"]
    naive_documents_per_s = naive.result["documents"] / naive.result["seconds"]
    return {
        "failed": result["failed"],
        "chunks": chunks,
        "floor_chunks": floor[0].result["chunks"],
        "cold_wall_s": cold_s,
        "cold_cpu_s": cold_cpu_s,
        "floor_wall_s": floor_s,
        "floor_cpu_s": floor_cpu_s,
        "cold_documents_per_s": documents / cold_s,
        "cold_chunks_per_s": chunks / cold_s,
        "cold_mib_per_s": size_bytes / 2**20 / cold_s,
        "cold_peak_mib": max(one.peak_bytes for one in cold) / 2**20,
        "cold_per_floor": floor_s / cold_s,
        "cold_per_floor_cpu": floor_cpu_s / cold_cpu_s,
        "naive_documents": naive.result["documents"],
        "naive_documents_per_s": naive_documents_per_s,
        "cold_per_naive": documents / cold_s / naive_documents_per_s,
    }


def _afterwards(folder: Path, data: Path) -> dict[str, Any]:
    """What the folder that was ingested costs from then on."""
    noop = measured(refold("ingest", folder, "--data", data))
    assert not noop.result["requested"], noop.result
    edited_files = sorted(path for path in folder.rglob("*") if path.is_file())[::EDITED_SHARE]
    for path in edited_files:
        with path.open("a") as file:
            file.write("\nOne more paragraph, which nobody has read before.\n")
    edited = measured(refold("ingest", folder, "--data", data))
    assert edited.result["completed"] == len(edited_files), edited.result
    verify = measured(refold("verify", "--data", data))
    assert verify.result["consistent"], verify.result
    rebuild = measured(refold("rebuild", "all", "--data", data))
    return {
        "noop_wall_s": noop.wall_s,
        "noop_cpu_s": noop.cpu_s,
        "noop_inside_s": noop.result["seconds"],
        "edited_files": len(edited_files),
        "edited_wall_s": edited.wall_s,
        "edited_cpu_s": edited.cpu_s,
        "verify_wall_s": verify.wall_s,
        "verify": verify.result,
        "rebuild_wall_s": rebuild.wall_s,
        "rebuild_cpu_s": rebuild.cpu_s,
        "rebuild": rebuild.result,
        **{
            f"rebuild_{name}_chunks_per_s": part["chunks"] / part["seconds"]
            for name, part in rebuild.result["rebuilt"].items()
            if part.get("chunks")
        },
    }
