"""refold: every index is a fold of one log.

```python
async with refold.open("data/") as pipeline:
    result = await pipeline.run(["docs/"])
    answer = await pipeline.search("what happens on backpressure?", wait_for=result.position)
```

Importing connects to nothing and loads next to nothing: names are resolved at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.index.backend import Filters
    from projections.search.hits import Hit
    from projections.search.search import SearchAnswer
    from refold.api.event_filters import EventFilter, errors_only, kinds, progress_only
    from refold.api.pipeline import Pipeline
    from refold.api.pipeline import open_pipeline as open  # noqa: A004 - read as refold.open
    from refold.api.subscription import Delivery
    from refold.commands.results import DocumentResult, PipelineResult
    from refold.settings.settings import Settings
    from schemas import events
    from schemas.errors import RefoldError
    from schemas.positions import Position

__version__ = "0.1.0"

_HOMES = {
    "Delivery": "refold.api.subscription",
    "DocumentResult": "refold.commands.results",
    "EventFilter": "refold.api.event_filters",
    "Filters": "projections.index.backend",
    "Hit": "projections.search.hits",
    "Pipeline": "refold.api.pipeline",
    "PipelineResult": "refold.commands.results",
    "Position": "schemas.positions",
    "RefoldError": "schemas.errors",
    "SearchAnswer": "projections.search.search",
    "Settings": "refold.settings.settings",
    "errors_only": "refold.api.event_filters",
    "kinds": "refold.api.event_filters",
    "progress_only": "refold.api.event_filters",
}

__all__ = [
    "Delivery",
    "DocumentResult",
    "EventFilter",
    "Filters",
    "Hit",
    "Pipeline",
    "PipelineResult",
    "Position",
    "RefoldError",
    "SearchAnswer",
    "Settings",
    "errors_only",
    "events",
    "kinds",
    "open",
    "progress_only",
]


def __getattr__(name: str) -> object:
    if name == "open":
        return import_module("refold.api.pipeline").open_pipeline
    if name == "events":
        return import_module("schemas.events")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'refold' has no attribute {name!r}")
