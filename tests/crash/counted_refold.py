"""refold's command line, which also writes down what goes to the stage pool: ``python counted_refold.py ARGUMENT...``.

Each document that is handed to a pool process, and so to a parser, is a line in the file that TRIPS_FILE names: the
SHA-256 of its content, and the microseconds since the epoch. A kill may cut none of them: each is one write.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256

from refold.cli import main
from streams.attempts.pool import StagePool
from streams.attempts.task import StageAnswer, StageTask

_run = StagePool.run
_trips = os.open(os.environ["TRIPS_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _counted_run(pool: StagePool, task: StageTask) -> StageAnswer:
    content_hash = sha256(task.content or b"").hexdigest()
    os.write(_trips, f"{content_hash} {time.time_ns() // 1_000}\n".encode())
    return _run(pool, task)


StagePool.run = _counted_run  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
