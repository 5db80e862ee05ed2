"""A projector of the manifest as its own process: ``python projector_process.py SERVERS CORPUS MANIFEST``."""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from projections.fold.runner import Runner
from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql.databases import open_sqlite
from schemas.registries.memory import MemoryRegistry
from streams.logs.kafka.log import KafkaLog


def main() -> None:
    """Follow the log until this is killed."""
    servers, corpus, manifest = sys.argv[1:]
    log = KafkaLog(corpus, {"bootstrap.servers": servers}, MemoryRegistry())
    view = ManifestView(open_sqlite(Path(manifest)), log_id=log.log_id)
    Runner(log, ManifestProjection(), view, clock=lambda: datetime.now(UTC)).start()
    print("following", flush=True)  # noqa: T201 - whoever started it waits for this line
    threading.Event().wait()


if __name__ == "__main__":
    main()
