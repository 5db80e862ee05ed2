"""A program of somebody's that ingests a folder by the public API and prints what came of it: FOLDER --data DATA."""

from __future__ import annotations

import asyncio
import json
import sys

import refold


async def main(folder: str, _: str, data: str) -> None:
    async with refold.open(data) as pipeline:
        result = await pipeline.run([folder])
    told = {
        "job_id": result.job_id,
        "resumed": list(result.resumed),
        "outcome": result.outcome,
        "documents": [document.uri.rpartition("/")[2] for document in result.documents],
        "errors": [document.uri.rpartition("/")[2] for document in result.errors],
        "completed": result.counts["completed"],
        "failed": result.counts["failed"],
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
