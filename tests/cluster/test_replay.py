"""What a log that is read again, held up, or cut off does to projections that are at work, over real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, Table

from projections.fold.progress import ProjectionStatus
from projections.fold.runner import Runner
from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql.databases import open_postgres, open_sqlite
from projections.sql.leases import Leases
from refold.cluster.client.engine import ClientEngine
from refold.cluster.projector.projector import Projector
from refold.cluster.projector.upkeep import Kept, WentOn
from refold.engine.engine import SQL_VIEWS
from refold.engine.trimming import RequestsTrimmer
from schemas.events import DocumentRequested
from schemas.positions import Position, TopicPartition
from streams.log import Draft, EventLog, PositionExpired
from streams.logs.kafka.clients import make_producer
from streams.logs.kafka.read import ReadStalled
from tests.samples.histories import Histories, drafts_of
from tests.servers.kafka_corpora import KafkaCorpora, kafka_corpora, uris_of
from tests.worlds.cluster import ClusterWorld, cluster_world
from tests.worlds.waiting import wait_until

PATIENCE_S = 90.0
OWN = TopicPartition("documents", 0)
REQUESTS = TopicPartition("requests", 0)


# All positions back to zero, on a live system


Rows = Mapping[str, Sequence[tuple[Any, ...]]]

POSITION_TABLES = ("sql_positions", "index_positions")
"""Where every projection of a corpus stands: rows that are gone mean zero."""

KEPT = ("served", "parked", "generations", *SQL_VIEWS)
"""Tables of which nothing may change, or whose names begin so."""

GROWING = ("_taken", "_counted")
"""Tables that say how far others are: they change with what is new, and only then."""


@contextmanager
def database_of(world: ClusterWorld) -> Iterator[Engine]:
    """The corpus's schema in PostgreSQL."""
    engine = open_postgres(str(world.values["cluster"]["postgres"]), schema=f"refold_{world.corpus}")
    try:
        yield engine
    finally:
        engine.dispose()


def rows_of(world: ClusterWorld) -> Rows:
    """Every row of the tables KEPT."""
    with database_of(world) as engine, engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        tables = {name: table for name, table in found.tables.items() if name.startswith(KEPT)}
        return {
            name: sorted(map(tuple, connection.execute(table.select())), key=repr) for name, table in tables.items()
        }


def has_garbage(world: ClusterWorld) -> bool:
    """Whether superseded chunks are still there for queries that may have found them."""
    with database_of(world) as engine, engine.connect() as connection:
        return bool(connection.exec_driver_sql("SELECT count(*) FROM garbage").scalar_one())


def forget_positions(world: ClusterWorld) -> None:
    """What an operator would do to have everything read again."""
    with database_of(world) as engine, engine.begin() as connection:
        for table in POSITION_TABLES:
            connection.execute(Table(table, MetaData()).delete())


def contents_of(client: ClientEngine) -> Mapping[str, set[Any]]:
    """What is really in both indexes."""
    assert not client.index_errors
    return {name: set(view.scan()) for name, view in client.parts.views.indexes.items()}


def all_at_head(client: ClientEngine) -> bool:
    statuses = client.statuses()
    return len(statuses) == 5 and not any(status.lag_events for status in statuses)


def lacking(before: Rows, after: Rows) -> dict[str, list[tuple[Any, ...]]]:
    """Rows that are not there any more as they were."""
    gone = {name: [row for row in rows if row not in set(after[name])] for name, rows in before.items()}
    return {name: rows for name, rows in gone.items() if rows}


def pages(folder: Path, numbers: range, *, edition: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nEdition {edition}: heron {number} stands still.\n")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_all_positions_set_to_zero_on_a_live_system_change_nothing(tmp_path: Path) -> None:
    with cluster_world(tmp_path) as world:
        for command in ("projector", "projector", "worker"):
            world.start(command)
        first = pages(tmp_path / "first", range(12))
        world.cli("ingest", str(first), "--json")
        pages(first, range(4), edition=2)
        (first / "11.md").unlink()
        world.cli("ingest", str(first), "--json")
        with world.client() as client:
            wait_until(lambda: all_at_head(client) and not has_garbage(world), world.logs, timeout_s=PATIENCE_S)
            rows, contents, head = rows_of(world), contents_of(client), client.end()

            forget_positions(world)
            wait_until(lambda: all_at_head(client), world.logs, timeout_s=PATIENCE_S)  # though nothing new has come
            after = rows_of(world)
            assert (lacking(rows, after), lacking(after, rows)) == ({}, {})
            assert (contents_of(client), client.end()) == (contents, head)

            forget_positions(world)
            second = world.cli("ingest", str(pages(tmp_path / "second", range(100, 104))), "--json").json
            assert (second["outcome"], second["completed"], second["searchable"]) == ("SUCCEEDED", 4, True)
            wait_until(lambda: all_at_head(client), world.logs, timeout_s=PATIENCE_S)

            assert [name for name in lacking(rows, rows_of(world)) if not name.endswith(GROWING)] == []
            assert all(contents[name] <= found for name, found in contents_of(client).items())
            log, jobs = client.parts.log, client.parts.log.partitions("jobs")
            told = [recorded.event for batch in log.read(jobs, head) for recorded in batch.recorded]
            assert {event.meta.job_id for event in told} == {second["job_id"]}  # the first ones are not finished again
            assert world.cli("verify", "--json").json["consistent"]
        assert troubles_of(world) == []


STARTING = "waiting for a projector to make the views"
"""What a worker says that was quicker at the start: no trouble."""


def troubles_of(world: ClusterWorld) -> list[str]:
    """Lines of the processes' logs that tell of an error, or of anything that does not go on."""
    lines = "\n".join(path.read_text() for path in world.folder.glob("*.log")).splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    events = [line["event"] for line in told if line["level"] in {"warning", "error", "critical"}]
    return [one for one in events if one != STARTING] + [line for line in lines if line.startswith("Traceback")]


# A projector of one manifest, in this process


class ManifestKeeper:
    """A projector that keeps a manifest over `log`."""

    def __init__(self, log: EventLog, folder: Path) -> None:
        self.log = log
        self._file = folder / "manifest.sqlite"
        self._leases = Leases(open_sqlite(folder / "leases.sqlite"), duration_s=600.0)
        self._projector: Projector | None = None
        self._holders = 0

    def view(self) -> ManifestView:
        """The view, opened anew."""
        return ManifestView(open_sqlite(self._file), log_id=self.log.log_id)

    def start(self) -> None:
        self._holders += 1
        self._projector = Projector(
            self._leases, holder=f"keeper-{self._holders}", makers={"manifest": self._make}, monotonic=lambda: 0.0
        )
        self._projector.turn()

    def stop(self) -> None:
        if self._projector is not None:
            self._projector.leave()

    @property
    def status(self) -> ProjectionStatus | None:
        assert self._projector is not None
        return next(iter(self._projector.statuses()), None)

    @property
    def not_ready(self) -> Sequence[str]:
        assert self._projector is not None
        return self._projector.not_ready()

    def is_at_head(self) -> bool:
        return self.status is not None and self.status.lag_events == 0

    def _make(self, _went_on: WentOn) -> Kept:
        view = self.view()
        return Kept(Runner(self.log, ManifestProjection(), view, clock=lambda: datetime.now(UTC)), view.close)


@pytest.fixture
def corpora() -> Iterator[KafkaCorpora]:
    with kafka_corpora() as made:
        yield made


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[[EventLog], ManifestKeeper]]:
    keepers: list[ManifestKeeper] = []

    def begin(log: EventLog) -> ManifestKeeper:
        keepers.append(ManifestKeeper(log, tmp_path))
        return keepers[-1]

    yield begin
    for keeper in keepers:
        keeper.stop()


def append_taken(log: EventLog, made: Histories, uris: Sequence[str]) -> None:
    """Have requests for `uris` taken, as the slot that owns them would."""
    before = len(made.recorded)
    for uri in uris:
        made.queued(uri)
    log.append(None, drafts_of(made.recorded[before:]))


def test_a_projector_does_not_pass_a_hanging_transaction_of_somebody_else(
    corpora: KafkaCorpora, keep: Callable[[EventLog], ManifestKeeper]
) -> None:
    log = corpora.open(stall_timeout_s=1.0)
    keeper, made, uris = keep(log), Histories(), uris_of(0, 5)
    append_taken(log, made, uris[:2])
    hanging = make_producer(corpora.client, transactional_id=f"{corpora.names('log').corpus}-hanging")
    hanging.init_transactions(30)
    hanging.begin_transaction()
    hanging.produce(corpora.names("log").topic("documents"), value=b"for ever pending", partition=0)
    assert hanging.flush(30) == 0
    append_taken(log, made, uris[2:])

    keeper.start()
    wait_until(lambda: keeper.status is not None and isinstance(keeper.status.error, ReadStalled), timeout_s=PATIENCE_S)
    assert keeper.status is not None
    assert keeper.status.lag_events == 4  # the pending record and what stands behind it
    assert not keeper.status.is_stopped  # it tries again
    assert keeper.view().position().offset(OWN) == 2

    hanging.abort_transaction(30)
    wait_until(keeper.is_at_head, timeout_s=PATIENCE_S)
    assert keeper.view().counts().open_requests == len(uris)


def test_a_projector_that_was_stopped_beyond_retention_refuses_and_tells_the_lost_range(
    corpora: KafkaCorpora, keep: Callable[[EventLog], ManifestKeeper]
) -> None:
    log = corpora.open()
    keeper, made, uris = keep(log), Histories(), uris_of(0, 9)
    append_taken(log, made, uris[:3])
    keeper.start()
    wait_until(keeper.is_at_head, timeout_s=PATIENCE_S)
    keeper.stop()
    append_taken(log, made, uris[3:])
    delete_records(corpora, "documents", before=7)

    keeper.start()
    wait_until(lambda: bool(keeper.not_ready), timeout_s=PATIENCE_S)
    assert "the records 3 to 6 of documents:0 are no longer kept" in keeper.not_ready[0]
    assert keeper.view().position().offset(OWN) == 3
    assert keeper.view().counts().open_requests == 3


def delete_records(corpora: KafkaCorpora, topic: str, *, before: int) -> None:
    """What a topic's retention does: forget the records of partition 0 below `before`."""
    from confluent_kafka import TopicPartition as KafkaPartition  # noqa: PLC0415 - an extra

    below = KafkaPartition(corpora.names("log").topic(topic), 0, before)
    for answer in corpora.admin.delete_records([below]).values():
        answer.result()


def test_requests_are_trimmed_up_to_what_was_taken_and_no_further(
    corpora: KafkaCorpora, keep: Callable[[EventLog], ManifestKeeper]
) -> None:
    log = corpora.open()
    made = Histories(log_id=log.log_id)
    keeper, uris = keep(log), uris_of(0, 40)
    log.append(None, [asked(uri) for uri in uris])
    trimmer = RequestsTrimmer(log, keeper.view(), every=5)
    trimmer.step()
    assert log.begin([REQUESTS]) == Position()  # nothing was taken

    append_taken(log, made, uris[:10])  # each stands two requests after the one before: the last is at 20
    trimmer.step()
    assert log.begin([REQUESTS]) == Position()  # taken, but not durably in the manifest
    keeper.start()
    wait_until(keeper.is_at_head, timeout_s=PATIENCE_S)
    trimmer.step()
    assert log.begin([REQUESTS]) == Position({REQUESTS: 21})
    left = [recorded.offset for batch in log.read([REQUESTS], log.begin([REQUESTS])) for recorded in batch.recorded]
    assert left == list(range(21, 40))
    with pytest.raises(PositionExpired, match="the records 0 to 20 of requests:0 are no longer kept"):
        list(log.read([REQUESTS], Position()))


def asked(uri: str) -> Draft:
    """A request for `uri`, as a planner publishes it."""
    queued = Histories().queued(uri)
    request = DocumentRequested(meta=queued.meta, document_id=queued.document_id, uri=uri, adapter="push")
    return Draft("requests", request.document_id, request)
