"""Going on without events that the log of a data folder has lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime

from refold.embedded.group_positions import SqliteGroupPositions
from refold.engine.data_folder import DataFolder
from schemas.events import Meta, OperatorActed
from schemas.ids import event_id_of, random_id
from schemas.positions import Position
from streams.log import TOPIC_NAMES, Draft, EventLog
from streams.logs.sqlite.end import lost_events, told_losses
from streams.logs.sqlite.log import SqliteLog


def accept_lost_events(folder: DataFolder, *, clock: Callable[[], datetime]) -> Mapping[str, int]:
    """Take the log of `folder`, which the caller owns, as it is, and return how many events of each topic it has lost.

    Everything that is folded from the log is rebuilt at the next opening. The loss is reported until the last of these
    steps is done, so whoever dies in between begins again:

    1. the log reads to its end,
    2. the views are gone: they may hold what the log does not,
    3. groups of subscribers stand where the log is,
    4. the log says what was lost, and with that its end is kept.

    Raises:
        LogDamaged: what is left of the log does not read; nothing was changed.
    """
    folder.create()  # which refuses what a newer release wrote
    lost = lost_events(folder.log)
    if not lost:
        return {}
    with closing(SqliteLog(folder.log, accepts_loss=True)) as log:
        end = _read_through(log)
        for path in folder.views.glob("*.sqlite*"):
            path.unlink()
        _set_groups_back(folder, log.log_id, end)
        log.append(None, [_told(lost, end, now=clock())])
    return lost


def _read_through(log: EventLog) -> Position:
    """The end of `log`, after everything before it was read."""
    partitions = [tp for topic in TOPIC_NAMES for tp in log.partitions(topic)]
    for _ in log.read(partitions, log.begin(partitions)):
        pass
    return log.end(partitions)


def _set_groups_back(folder: DataFolder, log_id: str, end: Position) -> None:
    path = folder.path / "subscriptions.sqlite"
    if path.exists():
        with closing(SqliteGroupPositions(path, log_id=log_id)) as groups:
            groups.set_back(end)


def _told(lost: Mapping[str, int], end: Position, *, now: datetime) -> Draft:
    meta = Meta(event_id=event_id_of(random_id(), "OperatorActed"), occurred_at=now, pipeline_id=random_id())
    action = f"went on without lost events: {told_losses(lost)}"
    return Draft("operations", "log", OperatorActed(meta=meta, actor="refold rebuild", action=action, target=str(end)))
