"""Going on without lost events: what was folded from them is gone first; a death at any step tells the loss again."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from refold.embedded import lost_events as module
from refold.embedded.group_positions import SqliteGroupPositions
from refold.embedded.lost_events import accept_lost_events
from refold.engine.data_folder import DataFolder
from schemas.errors import DataFolderVersion
from schemas.events import OperatorActed
from schemas.positions import Position
from streams.log import LogDamaged
from streams.logs.sqlite.end import lost_events
from streams.logs.sqlite.log import SqliteLog
from tests.samples.flipped_bits import tamper
from tests.samples.log_drafts import NOON, requested

KEPT = Position.parse("requests:0=2")


class Died(BaseException):
    """The process ends here."""


def die(*_: object) -> None:
    raise Died


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """One whose log has lost the last 3 of 5 requests, with a view and a group that have seen them all."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteLog(folder.log)) as log:
        log.append(None, [requested("a"), requested("b")])
    shutil.copy2(folder.log, tmp_path / "older")
    with closing(SqliteLog(folder.log)) as log:
        end = log.append(None, [requested("c"), requested("d"), requested("e")])
    with closing(groups_of(folder, log.log_id)) as groups:
        groups.put("ahead", end)
        groups.put("behind", Position.parse("requests:0=1"))
    shutil.copy2(tmp_path / "older", folder.log)
    for name in ("manifest.sqlite", "manifest.sqlite-wal"):
        (folder.views / name).write_text("what a view holds")
    return folder


def groups_of(folder: DataFolder, log_id: str) -> SqliteGroupPositions:
    return SqliteGroupPositions(folder.path / "subscriptions.sqlite", log_id=log_id)


def accepted(folder: DataFolder) -> dict[str, int]:
    return dict(accept_lost_events(folder, clock=lambda: NOON))


def assert_all_is_as_the_log_says(folder: DataFolder) -> None:
    assert lost_events(folder.log) == {}
    assert list(folder.views.iterdir()) == []
    with closing(SqliteLog(folder.log)) as log:
        (said,) = [
            recorded.event
            for batch in log.read(log.partitions("operations"), Position())
            for recorded in batch.recorded
        ]
        assert log.end(log.partitions("requests")) == KEPT
    assert isinstance(said, OperatorActed)
    assert said.action == "went on without lost events: 3 of requests"
    assert said.target == str(KEPT)
    with closing(groups_of(folder, log.log_id)) as groups:
        assert groups.get("ahead") == KEPT
        assert groups.get("behind") == Position.parse("requests:0=1")


def test_what_was_folded_from_lost_events_is_gone_and_the_log_says_so(folder: DataFolder) -> None:
    assert accepted(folder) == {"requests": 3}
    assert_all_is_as_the_log_says(folder)


def test_where_nothing_is_lost_nothing_is_done(folder: DataFolder) -> None:
    accepted(folder)
    (folder.views / "manifest.sqlite").write_text("made anew")
    assert accepted(folder) == {}
    assert (folder.views / "manifest.sqlite").exists()
    with closing(SqliteLog(folder.log)) as log:
        assert log.end(log.partitions("operations")) == Position.parse("operations:0=1")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(module, "_read_through"), (Path, "unlink"), (module, "_set_groups_back"), (SqliteLog, "append")],
)
def test_a_death_before_any_step_tells_the_loss_again(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, die)
        with pytest.raises(Died):
            accepted(folder)
    assert lost_events(folder.log) == {"requests": 3}
    assert accepted(folder) == {"requests": 3}
    assert_all_is_as_the_log_says(folder)


def test_a_log_that_does_not_read_is_not_accepted(folder: DataFolder) -> None:
    tamper(folder.log, "UPDATE requests SET frame = flip_bit(frame) WHERE offset = 0")
    with pytest.raises(LogDamaged, match="record 0 of requests:0"):
        accepted(folder)
    assert lost_events(folder.log) == {"requests": 3}
    assert (folder.views / "manifest.sqlite").exists()


def test_a_folder_of_a_newer_release_is_left_alone(folder: DataFolder) -> None:
    (folder.path / "format.json").write_text('{"format": 9}')
    with pytest.raises(DataFolderVersion):
        accepted(folder)
    assert lost_events(folder.log) == {"requests": 3}


def test_a_log_that_is_gone_begins_anew(folder: DataFolder) -> None:
    folder.log.unlink()
    assert accepted(folder) == {"requests": 5}
    assert lost_events(folder.log) == {}
