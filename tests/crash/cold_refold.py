"""refold's command line, whose pool never becomes ready; who reads the pipe COLD_POOL is told when it waits for it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from refold.cli import main
from streams.attempts.pool_process import PoolProcess


def _wait_for_ever(_: PoolProcess) -> None:
    Path(os.environ["COLD_POOL"]).write_text("it waits\n")
    threading.Event().wait()


PoolProcess.wait_until_ready = _wait_for_ever  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
