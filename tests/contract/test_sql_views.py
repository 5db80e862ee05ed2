"""What holds for every SQL view on every database."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from projections.fold.projection import Projection
from projections.fold.view import PositionConflict
from projections.sql.databases import open_sqlite
from projections.sql.store import POSITIONS, ViewMissing, ViewOutdated
from projections.sql.view import SqlView, rebuild_sql_view
from schemas.errors import DataFolderDamaged, FatalError
from schemas.events import Action, SkipReason
from schemas.positions import Position, TopicPartition
from streams.log import Recorded
from streams.logs.memory import MemoryLog
from tests.samples.histories import Histories, drafts_of, position_after
from tests.servers.sql_views import DATABASES, VIEWS, apply, rows_of, tables_of

ViewCase = tuple[str, Projection[Any], SqlView[Any, Any], Engine]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    opened = DATABASES[database](tmp_path)
    yield opened
    opened.dispose()


@pytest.fixture(params=VIEWS)
def case(request: pytest.FixtureRequest, engine: Engine) -> ViewCase:
    projection, make_view = VIEWS[request.param]
    return request.param, projection, make_view(engine, log_id="log-a"), engine


def a_busy_history() -> Histories:
    """Two documents and a job: updates, a failure tried again, a removal, a crash, a superseded request."""
    made = Histories()
    made.job_submitted("import")
    report = made.queued("folder:docs/report.md", job="import", metadata={"team": "legal"})
    notes = made.queued("folder:docs/notes.md", job="import")
    made.started(report)
    made.completed(report)
    made.job_planned("import", requested=2)
    made.started(notes)
    made.failed(notes, is_final=False)
    made.started(notes)
    made.started(notes)  # after a crash
    made.failed(notes)
    made.job_finished("import")
    edited = made.queued("folder:docs/report.md", modified_at_ns=2)
    again = made.queued("folder:docs/report.md", modified_at_ns=3)
    made.skipped(edited, SkipReason.SUPERSEDED)
    made.started(again)
    made.completed(again, text="edited", chunk_count=7)
    made.removed(made.queued("folder:docs/report.md", action=Action.REMOVE))
    return made


def end_of(projection: Projection[Any], recorded: Sequence[Recorded]) -> Position:
    """Where a view of `projection` stands after `recorded`."""
    return position_after(recorded).only(projection.topics)


def applied_elsewhere(name: str, recorded: Sequence[Recorded], folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The rows after `recorded` is applied at once to a fresh view."""
    folder.mkdir()
    engine = open_sqlite(folder / "reference.sqlite")
    projection, make_view = VIEWS[name]
    apply(make_view(engine, log_id="log-a"), projection, recorded)
    rows = rows_of(engine, name)
    engine.dispose()
    return rows


def test_batches_cut_at_every_event_give_the_rows_of_one_batch(case: ViewCase, tmp_path: Path) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded, cuts=range(len(recorded)))
    assert rows_of(engine, name) == applied_elsewhere(name, recorded, tmp_path / "reference")


@pytest.mark.parametrize("cut", range(1, 19, 3))
def test_one_cut_anywhere_gives_the_rows_of_one_batch(case: ViewCase, tmp_path: Path, cut: int) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded, cuts=[cut])
    assert rows_of(engine, name) == applied_elsewhere(name, recorded, tmp_path / "reference")


def test_topics_may_come_in_any_order_among_each_other(case: ViewCase, tmp_path: Path) -> None:
    name, projection, view, engine = case
    made = a_busy_history()
    apply(view, projection, made.of("documents") + made.of("jobs"), cuts=[len(made.of("documents"))])
    expected = applied_elsewhere(name, made.of("jobs") + made.of("documents"), tmp_path / "reference")
    assert rows_of(engine, name) == expected


def test_a_writer_that_is_behind_is_refused_and_changes_nothing(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded[:9])
    before = rows_of(engine, name)
    stale = end_of(projection, recorded[:4])
    with pytest.raises(PositionConflict):
        view.apply([c for r in recorded[4:] for c in projection.changes(r)], stale, end_of(projection, recorded))
    assert rows_of(engine, name) == before


def test_a_writer_that_is_ahead_is_refused(case: ViewCase) -> None:
    _, projection, view, _ = case
    recorded = a_busy_history().recorded
    with pytest.raises(PositionConflict):
        view.apply(
            [c for r in recorded[4:] for c in projection.changes(r)],
            end_of(projection, recorded[:4]),
            end_of(projection, recorded),
        )
    assert view.position() == Position()


def test_only_partitions_that_move_are_compared(case: ViewCase) -> None:
    _, _, view, _ = case
    documents, jobs = TopicPartition("documents", 0), TopicPartition("jobs", 0)
    view.apply([], Position(), Position({documents: 5}))
    view.apply([], Position(), Position({jobs: 3}))
    assert view.position() == Position({documents: 5, jobs: 3})


def test_a_position_does_not_go_back(case: ViewCase) -> None:
    _, _, view, _ = case
    documents = TopicPartition("documents", 0)
    view.apply([], Position(), Position({documents: 5}))
    with pytest.raises(ValueError, match="does not go back"):
        view.apply([], Position({documents: 5}), Position({documents: 4}))


def test_events_nobody_needs_still_move_the_position(case: ViewCase) -> None:
    _, _, view, _ = case
    view.apply([], Position(), Position.parse("documents:0=7"))
    assert view.position() == Position.parse("documents:0=7")


def test_a_view_whose_position_was_set_back_counts_nothing_twice(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    before = rows_of(engine, name)
    with engine.begin() as connection:
        connection.execute(POSITIONS.delete().where(POSITIONS.c.view == name))
    apply(view, projection, recorded)
    assert rows_of(engine, name) == before, "sums need a table of `projections/sql/counted.py`"


def statements_of_one_apply(name: str, recorded: Sequence[Recorded], folder: Path) -> Sequence[str]:
    folder.mkdir()
    engine = open_sqlite(folder / "counted.sqlite")
    projection, make_view = VIEWS[name]
    view = make_view(engine, log_id="log-a")
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    apply(view, projection, recorded)
    engine.dispose()
    return statements


def test_a_failure_at_any_statement_of_an_apply_leaves_what_was_there(case: ViewCase, tmp_path: Path) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    position = apply(view, projection, recorded[:9])
    before = rows_of(engine, name)
    changes = [change for r in recorded[9:] for change in projection.changes(r)]
    at = end_of(projection, recorded)
    countdown = [0]

    def fail_when_counted_down(*_: object) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise OSError("the connection is gone")

    event.listen(engine, "before_cursor_execute", fail_when_counted_down)
    for nth in range(1, len(statements_of_one_apply(name, recorded, tmp_path / "counted"))):
        countdown[0] = nth
        try:
            view.apply(changes, position, at)
        except OSError:
            countdown[0] = 0
            assert rows_of(engine, name) == before, f"after a failure at statement {nth}"
        else:
            break
    assert nth > 3, "every statement of the apply was reached"
    countdown[0] = 0
    assert rows_of(engine, name) == applied_elsewhere(name, recorded, tmp_path / "reference")


CHILD_PATH = str(Path(__file__).parents[2])
"""Where a child finds the project, and what its tests share."""

KILLED_CHILD = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from tests.contract.test_sql_views import a_busy_history
from tests.servers.sql_views import DATABASES, VIEWS, apply

database, folder, name, statement = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
projection, make_view = VIEWS[name]
engine = DATABASES[database](folder)
view = make_view(engine, log_id="log-a")
recorded = a_busy_history().recorded
apply(view, projection, recorded[:9])

def die(conn, cursor, sql, *rest):
    if statement in sql:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(engine, "after_cursor_execute", die)
apply(view, projection, recorded[9:])
"""


@pytest.mark.parametrize("name", VIEWS)
def test_a_writer_killed_within_an_apply_leaves_what_was_there(database: str, name: str, tmp_path: Path) -> None:
    engine = DATABASES[database](tmp_path)
    statements = statements_of_one_apply(name, a_busy_history().recorded, tmp_path / "counted")
    writes = re.findall(rf"INTO {name}_1_\w+", "\n".join(statements))
    assert writes, "a_busy_history has no event for this view: add one to its second half"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_CHILD, database, str(tmp_path), name, writes[-1]],
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": CHILD_PATH},
    )
    assert killed.returncode == -signal.SIGKILL, "or the second half of a_busy_history has no event for this view"
    recorded = a_busy_history().recorded
    assert rows_of(engine, name) == applied_elsewhere(name, recorded[:9], tmp_path / "before")

    projection, make_view = VIEWS[name]
    apply(make_view(engine, log_id="log-a"), projection, recorded[9:])
    assert rows_of(engine, name) == applied_elsewhere(name, recorded, tmp_path / "reference")
    engine.dispose()


def a_log(recorded: Sequence[Recorded]) -> MemoryLog:
    log = MemoryLog()
    log.append(None, drafts_of(recorded))
    return log


def test_a_rebuild_gives_the_same_rows_in_new_tables(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    before, old_tables = rows_of(engine, name), tables_of(engine, name)
    rebuild_sql_view(a_log(recorded), projection, view)
    assert rows_of(engine, name) == before

    VIEWS[name][1](engine, log_id="log-a")  # the next time it is opened
    assert rows_of(engine, name) == before
    assert not set(tables_of(engine, name)) & set(old_tables)
    assert len(tables_of(engine, name)) == len(old_tables)


def test_a_rebuild_heals_rows_that_were_tampered_with(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    before = rows_of(engine, name)
    with engine.begin() as connection:
        for table in tables_of(engine, name):
            connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - a table's name
    assert rows_of(engine, name) != before
    rebuild_sql_view(a_log(recorded), projection, view)
    assert rows_of(engine, name) == before


def test_the_old_tables_are_read_and_written_until_the_new_ones_have_caught_up(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded[:9])
    beside = view.build_beside()
    apply(beside, projection, recorded[:9])
    apply(view, projection, recorded[9:])
    after = rows_of(engine, name)

    assert not view.swap_in(beside, log_end=end_of(projection, recorded))
    assert rows_of(engine, name) == after
    apply(beside, projection, recorded[9:])
    assert view.swap_in(beside, log_end=end_of(projection, recorded))
    assert rows_of(engine, name) == after
    assert view.position() == end_of(projection, recorded)


def test_a_rebuild_that_was_left_is_dropped_by_the_next(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    table_count = len(tables_of(engine, name))
    left = view.build_beside()
    apply(left, projection, recorded[:5])
    rebuild_sql_view(a_log(recorded), projection, view)
    assert len(tables_of(engine, name)) == table_count * 2, "those that were served are there for their readers"
    with pytest.raises(PositionConflict):
        left.apply(
            [], left_position := end_of(projection, recorded[:5]), left_position.joined(end_of(projection, recorded))
        )


def test_opening_a_view_leaves_a_rebuild_that_is_under_way(case: ViewCase) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    before = rows_of(engine, name)
    beside = view.build_beside()
    apply(beside, projection, recorded[:5])
    reopened = VIEWS[name][1](engine, log_id="log-a")
    apply(beside, projection, recorded[5:])
    assert reopened.swap_in(beside, log_end=end_of(projection, recorded))
    assert rows_of(engine, name) == before


def test_a_reader_within_a_swap_keeps_the_tables_it_began_with(case: ViewCase) -> None:
    _, projection, view, _ = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    entries = view.scan()
    first = next(entries)
    rebuild_sql_view(a_log(recorded), projection, view)
    assert [first, *entries] == list(view.scan())


def test_a_view_of_another_version_is_not_read_but_rebuilt(case: ViewCase, monkeypatch: pytest.MonkeyPatch) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    before = rows_of(engine, name)

    monkeypatch.setattr(type(projection), "version", projection.version + 1)
    newer = VIEWS[name][1](engine, log_id="log-a")
    assert newer.is_outdated
    with pytest.raises(ViewOutdated):
        newer.position()
    with pytest.raises(ViewOutdated):
        newer.apply([], Position(), Position.parse("documents:0=1"))
    assert view.position() == end_of(projection, recorded), "the release that made it still reads it"

    rebuild_sql_view(a_log(recorded), projection, newer)
    assert not VIEWS[name][1](engine, log_id="log-a").is_outdated
    assert rows_of(engine, name) == before
    with pytest.raises(ViewOutdated):
        view.position()


def test_a_view_made_from_a_longer_log_is_outdated_and_rebuilt(case: ViewCase, tmp_path: Path) -> None:
    name, projection, view, engine = case
    recorded = a_busy_history().recorded
    apply(view, projection, recorded)
    other = VIEWS[name][1](engine, log_id="log-b")
    assert other.is_outdated
    rebuild_sql_view(a_log(recorded[:6]), projection, other)
    assert rows_of(engine, name) == applied_elsewhere(name, recorded[:6], tmp_path / "reference")


READER = """
import sys
from pathlib import Path
from tests.servers.sql_views import DATABASES, VIEWS

engine = DATABASES[sys.argv[1]](Path(sys.argv[2]), read_only=True)
view = VIEWS[sys.argv[3]][1](engine, log_id="log-a", is_read_only=True)
for line in sys.stdin:
    print(view.position(), len(list(view.scan())), sep=";", flush=True)
"""


@pytest.mark.parametrize("name", VIEWS)
def test_another_process_reads_while_the_owner_writes_and_rebuilds(database: str, name: str, tmp_path: Path) -> None:
    projection, make_view = VIEWS[name]
    engine = DATABASES[database](tmp_path)
    view = make_view(engine, log_id="log-a")
    recorded = a_busy_history().recorded
    with subprocess.Popen(
        [sys.executable, "-c", READER, database, str(tmp_path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": CHILD_PATH},
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None

        def read() -> str:
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write("read\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        assert read() == ";0"
        apply(view, projection, recorded[:9])
        assert read() == f"{end_of(projection, recorded[:9])};{len(list(view.scan()))}"
        rebuild_sql_view(a_log(recorded), projection, view)
        assert read() == f"{end_of(projection, recorded)};{len(list(view.scan()))}"
        reader.stdin.close()
    assert reader.returncode == 0
    engine.dispose()


@pytest.mark.parametrize("name", VIEWS)
def test_a_closed_view_can_be_read_without_writing(database: str, name: str, tmp_path: Path) -> None:
    projection, make_view = VIEWS[name]
    recorded = a_busy_history().recorded
    view = make_view(DATABASES[database](tmp_path), log_id="log-a")
    apply(view, projection, recorded)
    view.close()
    reader = make_view(DATABASES[database](tmp_path, read_only=True), log_id="log-a", is_read_only=True)
    assert reader.position() == end_of(projection, recorded)
    with pytest.raises(FatalError, match=r"read-?only"):
        reader.apply([], Position(), Position.parse("documents:1=1"))
    reader.close()


@pytest.mark.parametrize("name", VIEWS)
def test_reading_a_view_that_was_never_written_says_so(database: str, name: str, tmp_path: Path) -> None:
    _, make_view = VIEWS[name]
    DATABASES[database](tmp_path).connect().close()
    with pytest.raises(ViewMissing):
        make_view(DATABASES[database](tmp_path, read_only=True), log_id="log-a", is_read_only=True)


@pytest.mark.parametrize("name", VIEWS)
def test_reading_a_file_that_is_not_there_says_so(name: str, tmp_path: Path) -> None:
    _, make_view = VIEWS[name]
    with pytest.raises(FatalError, match="unable to open"):
        make_view(open_sqlite(tmp_path / "none.sqlite", read_only=True), log_id="log-a", is_read_only=True)


@pytest.mark.parametrize("name", VIEWS)
def test_a_file_that_is_no_database_is_damage(name: str, tmp_path: Path) -> None:
    _, make_view = VIEWS[name]
    (tmp_path / "torn.sqlite").write_bytes(b"not a database, and longer than the header of one" * 40)
    with pytest.raises(DataFolderDamaged) as caught:
        make_view(open_sqlite(tmp_path / "torn.sqlite"), log_id="log-a")
    assert caught.value.hint
