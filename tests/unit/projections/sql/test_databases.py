"""What views on PostgreSQL do when the server, a rival or a value is difficult."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from projections.fold.runner import Runner
from projections.fold.view import PositionConflict
from projections.index.books.batch import Bookings
from projections.index.books.books import IndexBooks
from projections.index.books.generations import Generation, Generations
from projections.index.changes import IndexSpec
from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql import databases
from projections.sql.databases import open_postgres
from projections.sql.dialects import NUL_SHOWN
from projections.sql.view import rebuild_sql_view
from schemas.errors import MachineError, TransientError, UnreachableError, UsageError, reached_at_start
from schemas.positions import Position, TopicPartition
from streams.log import Recorded
from tests.contract.test_sql_views import a_busy_history, a_log, end_of
from tests.samples.histories import NOON, Histories
from tests.servers.run import address_of
from tests.servers.sql_views import DATABASES, apply, open_postgres_of, rows_of, tables_of

DOCUMENTS = TopicPartition("documents", 0)
SPEC = IndexSpec(name="keyword", mapping="words-1")
NOTHING = Bookings(served=(), parked=(), cleared=(), garbage=())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_postgres_of(tmp_path)
    yield opened
    opened.dispose()


def changes_of(recorded: list[Recorded]) -> list[Any]:
    return [change for one in recorded for change in ManifestProjection().changes(one)]


def cut_off(engine: Engine, victim: Any) -> None:
    """End the session of `victim`, a driver's connection, as an administrator or a dying server does."""
    with engine.connect() as other:
        other.exec_driver_sql("SELECT pg_terminate_backend(%s, 5000)", (victim.info.backend_pid,))


def test_a_session_cut_off_at_any_statement_leaves_what_was_there_and_is_tried_again(engine: Engine) -> None:
    recorded = a_busy_history().recorded
    view = ManifestView(engine, log_id="log-a")
    position = apply(view, ManifestProjection(), recorded[:9])
    before, at = rows_of(engine, "manifest"), end_of(ManifestProjection(), recorded)
    countdown = [0]

    def cut_off_when_counted_down(connection: Any, *_: object) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            cut_off(engine, connection.connection.driver_connection)

    event.listen(engine, "before_cursor_execute", cut_off_when_counted_down)
    for nth in range(1, 100):
        countdown[0] = nth
        try:
            view.apply(changes_of(recorded[9:]), position, at)
        except TransientError as error:
            assert error.hint  # noqa: PT017 - which statement is the last one is not known
            countdown[0] = 0
            assert rows_of(engine, "manifest") == before, f"cut off at statement {nth}"
            assert view.position() == position
        else:
            break
    assert nth > 6
    countdown[0] = 0
    assert view.position() == at


def test_a_session_cut_off_before_its_commit_leaves_what_was_there(engine: Engine) -> None:
    recorded = a_busy_history().recorded
    view = ManifestView(engine, log_id="log-a")
    position = apply(view, ManifestProjection(), recorded[:9])
    before = rows_of(engine, "manifest")
    event.listen(engine, "commit", lambda c: cut_off(engine, c.connection.driver_connection), once=True)
    with pytest.raises(TransientError):
        view.apply(changes_of(recorded[9:]), position, end_of(ManifestProjection(), recorded))
    assert rows_of(engine, "manifest") == before


def test_a_runner_goes_on_after_its_session_was_cut_off(engine: Engine) -> None:
    recorded = a_busy_history().recorded
    log = a_log(recorded)
    view = ManifestView(engine, log_id="log-a")
    cut = threading.Event()

    def cut_off_once(connection: Any, _cursor: object, sql: str, *_: object) -> None:
        if "manifest_1_history" in sql and not cut.is_set():
            cut.set()
            cut_off(engine, connection.connection.driver_connection)

    event.listen(engine, "before_cursor_execute", cut_off_once)
    runner = Runner(log, ManifestProjection(), view, clock=lambda: NOON)
    runner.start()
    assert runner.wait_for(log.end([DOCUMENTS]), 60)
    runner.stop()
    assert cut.is_set()
    assert view.position() == log.end([DOCUMENTS])


def test_a_server_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"postgresql://refold:secret@127.0.0.1:{unheard.getsockname()[1]}/{tmp_path.name}"
        engine = open_postgres(url, schema="corpus")
        with pytest.raises(TransientError) as caught:
            ManifestView(engine, log_id="log-a")
        with pytest.raises(UnreachableError), reached_at_start():
            ManifestView(engine, log_id="log-a")
    assert "server runs" in str(caught.value.hint)
    assert "secret" not in str(caught.value)


def raced(*works: Callable[[], object]) -> list[Exception | None]:
    """What each of `works` raised, begun at the same moment in threads of their own."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> Exception | None:
        start.wait()
        try:
            work()
        except Exception as exc:  # noqa: BLE001 - the outcome is what is asked for
            return exc
        return None

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_of_two_writers_at_the_same_position_one_is_refused(tmp_path: Path) -> None:
    recorded = a_busy_history().recorded
    engines = [open_postgres_of(tmp_path) for _ in range(2)]
    views = [ManifestView(engine, log_id="log-a") for engine in engines]
    cuts = [0, 3, 9, 14, len(recorded)]
    for start, stop in pairwise(cuts):
        expected, at = end_of(ManifestProjection(), recorded[:start]), end_of(ManifestProjection(), recorded[:stop])
        batch = changes_of(recorded[start:stop])
        outcomes = raced(*(partial(view.apply, batch, expected, at) for view in views))
        assert [type(outcome) for outcome in outcomes if outcome] == [PositionConflict]
        assert views[0].position() == at
    reference = ManifestView(open_postgres_of(tmp_path / "reference"), log_id="log-a")
    apply(reference, ManifestProjection(), recorded)
    assert list(views[0].scan()) == list(reference.scan())
    for opened in (*views, reference):
        opened.close()


def begun(database: Engine) -> Generation:
    with Generations(database).locked(SPEC.name) as generations:
        return generations.begin(SPEC, log_id="log-a")


def test_of_two_writers_of_an_index_at_the_same_position_one_is_refused(tmp_path: Path) -> None:
    engines = [open_postgres_of(tmp_path) for _ in range(2)]
    generation = begun(engines[0])
    books = [IndexBooks(engine, generation) for engine in engines]
    position = Position()
    for offset in range(1, 8):
        at = Position({DOCUMENTS: offset})
        outcomes = raced(*(partial(one.commit, lambda _: NOTHING, now_us=1, expected=position, at=at) for one in books))
        assert [type(outcome) for outcome in outcomes if outcome] == [PositionConflict]
        position = at
    assert books[0].position() == position
    for engine in engines:
        engine.dispose()


def test_a_writer_of_an_index_whose_generation_is_gone_is_refused(engine: Engine) -> None:
    zombie = IndexBooks(engine, begun(engine))
    begun(engine)
    with pytest.raises(PositionConflict):
        zombie.commit(lambda _: NOTHING, now_us=1, expected=Position(), at=Position({DOCUMENTS: 1}))


def test_many_may_make_the_schema_and_its_tables_at_once(tmp_path: Path) -> None:
    engines = [open_postgres_of(tmp_path) for _ in range(4)]
    works: list[Callable[[], object]] = [partial(ManifestView, engine, log_id="log-a") for engine in engines]
    works += [partial(Generations, engine) for engine in engines]
    assert raced(*works) == [None] * 8
    outcomes = raced(*(partial(begun, engine) for engine in engines))
    assert outcomes == [None] * 4
    for engine in engines:
        engine.dispose()


def test_a_rebuild_does_not_wait_for_who_still_reads_older_tables(engine: Engine) -> None:
    log = a_log(a_busy_history().recorded)
    view = ManifestView(engine, log_id="log-a")
    rebuild_sql_view(log, ManifestProjection(), view)
    entries = view.scan()
    first = next(entries)
    rebuild_sql_view(log, ManifestProjection(), view)
    rebuild_sql_view(log, ManifestProjection(), view)
    assert any("manifest_2_" in table for table in tables_of(engine, "manifest"))
    assert [first, *entries] == list(view.scan())
    ManifestView(engine, log_id="log-a")
    assert not any("manifest_2_" in table for table in tables_of(engine, "manifest"))


def test_a_writer_waits_for_another_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = open_postgres_of(tmp_path)
    ManifestView(holder, log_id="log-a")
    monkeypatch.setattr(databases, "LOCK_TIMEOUT_S", 0.05)
    impatient = ManifestView(open_postgres_of(tmp_path), log_id="log-a")
    with holder.begin() as connection:
        connection.exec_driver_sql("SELECT * FROM sql_views FOR UPDATE")
        with pytest.raises(TransientError, match="lock timeout"):
            impatient.apply([], Position(), Position({DOCUMENTS: 1}))
    impatient.apply([], Position(), Position({DOCUMENTS: 1}))
    impatient.close()
    holder.dispose()


def test_text_with_the_one_character_that_postgresql_cannot_hold_is_stored_without_it(engine: Engine) -> None:
    made = Histories()
    made.ingested("folder:docs/torn\0name.md")
    view = ManifestView(engine, log_id="log-a")
    apply(view, ManifestProjection(), made.recorded)
    (document,) = view.documents(limit=2)
    assert document.uri == f"folder:docs/torn{NUL_SHOWN}name.md"
    (state,) = view.scan()
    assert state.live is not None
    assert state.live.uri == "folder:docs/torn\0name.md"


def test_corpora_of_one_database_do_not_see_each_other(tmp_path: Path) -> None:
    mine, other = (DATABASES["postgres"](tmp_path / name) for name in ("mine", "other"))
    apply(ManifestView(mine, log_id="log-a"), ManifestProjection(), a_busy_history().recorded)
    assert ManifestView(other, log_id="log-b").position() == Position()
    assert tables_of(other, "jobs") == []
    for engine in (mine, other):
        engine.dispose()


def test_a_reader_is_not_let_write(tmp_path: Path) -> None:
    open_postgres_of(tmp_path).connect().close()
    engine = open_postgres_of(tmp_path, read_only=True)
    with pytest.raises(MachineError, match="read-only"):
        Generations(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["mysql://refold@host/db", "host", "postgresql://[::1/db", "postgresql://host/db?colour=blue"]
)
def test_what_is_no_address_of_postgresql_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_postgres(url, schema="corpus")
    assert url not in str(caught.value)


@pytest.mark.parametrize("schema", ["", "4711", 'a"b', "a b", "a,b", "x" * 64])
def test_what_cannot_name_a_schema_is_refused(schema: str) -> None:
    with pytest.raises(UsageError):
        open_postgres("postgresql://refold@host/db", schema=schema)


def test_a_schema_may_be_named_like_a_corpus(tmp_path: Path) -> None:
    engine = open_postgres(address_of("postgres"), schema=f"Team-{abs(hash(tmp_path))}")
    with engine.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        assert name.startswith("Team-")
        connection.exec_driver_sql(f'DROP SCHEMA "{name}"')
    engine.dispose()


def test_without_the_extra_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError) as caught:
        open_postgres("postgresql://refold@localhost/postgres", schema="corpus")
    assert caught.value.hint == "pip install 'refold[postgres]'"
