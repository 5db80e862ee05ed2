"""What the stage pool costs, and how many real documents a second go through it, beside the stages in this process.

The documents are HTML that the standard library's own `pydoc` writes and the sources it was written from.
"""

from __future__ import annotations

import json
import os
import pydoc
import sysconfig
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import process_time
from typing import Any

import psutil

from streams.attempts.attempts import THREADS_PER_PROCESS
from streams.attempts.pool import StagePool
from streams.attempts.pool_process import PoolConfiguration
from streams.attempts.task import StageAnswer, StageTask
from streams.attempts.work import StageWork
from streams.stages.embed import load_embedder
from streams.stages.fingerprints import DEFAULT_EMBEDDER, StageSettings
from tests.worlds.waiting import timed

TINY_DOCUMENTS = 2_000
DOCUMENTS_OF_A_KIND = 150


def run() -> dict[str, Any]:
    """The pool's overhead on tiny documents, and rates and stage shares on real ones."""
    settings, embedder = StageSettings(), load_embedder(DEFAULT_EMBEDDER)
    pool = StagePool(PoolConfiguration(settings=settings, embedder=embedder), processes=os.cpu_count() or 1)
    work = StageWork(settings, embedder)
    tiny = [StageTask(media_type="text/plain", content=b"document %d" % number) for number in range(TINY_DOCUMENTS)]
    real = _real_tasks()
    try:
        start_s, _ = timed(lambda: pool.run(tiny[0]))
        _through(pool, tiny[:50])
        tiny_pool_s, _ = timed(lambda: _through(pool, tiny))
        tiny_bare_s, _ = timed(lambda: [work.answer(task) for task in tiny])
        before_s, main_before_s = _pool_cpu_s(pool), process_time()
        real_s, answers = timed(lambda: _through(pool, real))
        pool_cpu_s, main_cpu_s = _pool_cpu_s(pool) - before_s, process_time() - main_before_s
    finally:
        pool.close()
    stage_ms = Counter[str]()
    for output in (output for answer in answers for output in answer.outputs):
        stage_ms[output.stage.lower()] += output.duration_ms
    return {
        "input": {"documents": len(real), "bytes": sum(len(task.content or b"") for task in real)},
        "processes": pool.processes,
        "first_document_s": round(start_s, 2),
        "tiny_ms_per_document": round(1000 * tiny_pool_s / TINY_DOCUMENTS, 3),
        "tiny_overhead_ms_per_document": round(1000 * (tiny_pool_s - tiny_bare_s / pool.processes) / TINY_DOCUMENTS, 3),
        "documents_per_s": round(len(real) / real_s, 1),
        "chunks_per_s": round(sum(answer.outputs[1].counts["chunks"] for answer in answers) / real_s),
        "pool_cpu_ms_per_document": round(1000 * pool_cpu_s / len(real), 2),
        "main_cpu_ms_per_document": round(1000 * main_cpu_s / len(real), 2),
        "stage_ms_per_document": {stage: round(ms / len(real), 2) for stage, ms in stage_ms.items()},
    }


def _real_tasks() -> Sequence[StageTask]:
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:DOCUMENTS_OF_A_KIND]
    pages = [_page(source.stem) for source in sources if not source.stem.startswith(("_", "anti", "this"))]
    return [
        *(StageTask(media_type="text/html", content=page) for page in pages if page),
        *(StageTask(media_type="text/plain", content=source.read_bytes()) for source in sources),
    ]


def _page(module: str) -> bytes:
    try:
        return pydoc.HTMLDoc().document(pydoc.safeimport(module)).encode()
    except (pydoc.ErrorDuringImport, AttributeError, TypeError):
        return b""


def _through(pool: StagePool, tasks: Sequence[StageTask]) -> list[StageAnswer]:
    with ThreadPoolExecutor(pool.processes * THREADS_PER_PROCESS) as threads:
        return list(threads.map(pool.run, tasks))


def _pool_cpu_s(pool: StagePool) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pool.pids)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
