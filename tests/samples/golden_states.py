"""What a golden log folds to, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from projections.fold.follower import Follower
from projections.fold.projection import Projection
from projections.index.changes import KeywordIndex, VectorIndex
from projections.sql.databases import open_sqlite
from streams.log import TOPIC_NAMES, EventLog
from streams.logs.sqlite.log import SqliteLog
from streams.transfer.log import import_log
from tests.servers.sql_views import VIEWS

INDEXES: Mapping[str, Projection[Any]] = {
    "vector": VectorIndex(embedder="words", dim=4),
    "keyword": KeywordIndex(),
}


def states_of(folder: Path, scratch: Path) -> dict[str, list[Any]]:
    """All that the SQL views keep and the indexes are told of the exported log in `folder`."""
    with closing(SqliteLog(scratch / "log.sqlite")) as log:
        import_log(log, folder)
        kept = {name: _kept(name, log, scratch) for name in VIEWS}
        told = {name: _told(projection, log) for name, projection in INDEXES.items()}
    states: dict[str, list[Any]] = json.loads(states_json({**kept, **told}))
    return states


def states_json(states: Mapping[str, list[Any]]) -> str:
    """`states` as they are committed."""
    return json.dumps(states, indent=1, sort_keys=True, default=_text, ensure_ascii=False) + "\n"


def _kept(name: str, log: EventLog, scratch: Path) -> list[Any]:
    projection, make = VIEWS[name]
    view = make(open_sqlite(scratch / f"{name}.sqlite"), log_id=log.log_id)
    with closing(view):
        Follower(log, projection, view).catch_up()
        return [asdict(entry) for entry in view.scan()]


def _told(projection: Projection[Any], log: EventLog) -> list[Any]:
    partitions = [tp for topic in TOPIC_NAMES if topic in projection.topics for tp in log.partitions(topic)]
    return [
        {type(change).__name__: asdict(change)}
        for batch in log.read(partitions, log.begin(partitions))
        for recorded in batch.recorded
        for change in projection.changes(recorded)
    ]


def _text(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
