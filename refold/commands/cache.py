"""The stage cache."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from refold.control.messages import Emit, Json
from refold.engine.engine import SQL_VIEWS, Engine


def stats(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Known results per stage, and what the artifacts take."""
    del arguments, emit, stop
    engine.wait_for(engine.end(), SQL_VIEWS)
    stages = Counter(str(entry.key.stage) for entry in engine.parts.views.stage_results.scan())
    count = size_bytes = 0
    for ref in engine.parts.artifacts.scan():
        count += 1
        size_bytes += ref.size_bytes
    return {"stages": dict(stages), "artifacts": {"count": count, "size_bytes": size_bytes}}
