"""Every measurement in one run: `python -m tests.bench [--quick] [--json FILE] [names…]`.

Each runs in a fresh process. Figures are compared within a run, never between machines; processor times stand beside
those by the clock, which mean little on a machine that does something else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import (
    bench_artifacts,
    bench_backends,
    bench_codec,
    bench_embed,
    bench_indexes,
    bench_log,
    bench_planner,
    bench_stages,
    ingests,
    resume,
)
from tests.bench.cluster import cluster
from tests.bench.figures import printed, table
from tests.bench.machine import machine

RESULTS = Path("bench-results")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What is run, and with which arguments where time is short; `is_extra` runs only when it is named."""

    run: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    is_extra: bool = False


MEASUREMENTS: Mapping[str, Measurement] = {
    "ingest": Measurement(ingests.run, quick={"files": 400, "rounds": 1}),
    "resume": Measurement(resume.run, quick={"documents": 3_000}),
    "log": Measurement(bench_log.run, quick={"events": 10_000}),
    "search-10k": Measurement(bench_indexes.run, {"chunks": 10_000}, {"chunks": 10_000}),
    "search-100k": Measurement(bench_indexes.run, {"chunks": 100_000}, {"chunks": 20_000}),
    "artifacts": Measurement(bench_artifacts.run, is_extra=True),
    "backends": Measurement(bench_backends.run, is_extra=True),
    "cluster": Measurement(cluster.run, quick={"documents": 400, "events": 20_000, "requests": 8_000}, is_extra=True),
    "codec": Measurement(bench_codec.run, is_extra=True),
    "embed": Measurement(bench_embed.run, is_extra=True),
    "planner": Measurement(bench_planner.run, is_extra=True),
    "stages": Measurement(bench_stages.run, is_extra=True),
}


def main() -> None:
    """Measure, print the table, and write everything as JSON."""
    options = _options()
    facts = machine()
    print(" · ".join(f"{name} {value}" for name, value in facts.items()))
    names = options.names or [name for name, one in MEASUREMENTS.items() if not one.is_extra]
    measured = {}
    for name in names:
        began_s = time.perf_counter()
        measured[name] = _measured(MEASUREMENTS[name], is_quick=options.quick)
        print(f"{name}: {time.perf_counter() - began_s:.0f} s")
    rows = list(table(measured))
    print(*_inputs(measured, is_quick=options.quick), "", *map(printed, rows), sep="\n")
    result = {"machine": facts, "is_quick": options.quick, "table": rows, "measured": measured}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\nas JSON, with all that was measured: {options.json}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure refold on this machine.")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="smaller inputs: minutes instead of an hour")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    parser.add_argument("--json", type=Path, default=RESULTS / f"{stamp}.json", help="where the figures are written")
    options = parser.parse_args()
    unknown = set(options.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no measurement is named {min(unknown)}; there are: {', '.join(MEASUREMENTS)}")
    return options


def _measured(measurement: Measurement, *, is_quick: bool) -> dict[str, Any]:
    arguments = measurement.quick if is_quick else measurement.arguments
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(measurement.run, **arguments).result()


def _inputs(measured: Mapping[str, Mapping[str, Any]], *, is_quick: bool) -> list[str]:
    lines = ["", "quick: small inputs, so that what a start costs weighs more than it should" if is_quick else ""]
    if "ingest" in measured:
        ingest = measured["ingest"]
        lines.append(f"real files: {ingest['corpus']}; {ingest['chunks']:,} chunks, floor {ingest['floor_chunks']:,}")
        lines.append(f"naive loop: {ingest['naive_documents']} of them")
    if "resume" in measured:
        lines.append(f"small files: {measured['resume']['documents']:,} of 60 words, killed at 90%")
    if "log" in measured:
        lines.append(f"log: {measured['log']['events']:,} events, {measured['log']['batch']} per append")
    if "cluster" in measured:
        lines += cluster.described(measured["cluster"])
    return lines


if __name__ == "__main__":
    main()
