"""How old garbage is in a cluster: by the database's clock, whatever the machine of the projector believes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from projections.fold.follower import Follower, Joining
from projections.index.view.home import IndexHome
from projections.sql.clock import DatabaseClock
from refold.cluster.corpus import Corpus
from refold.settings.settings import Settings
from tests.servers.index_backends import open_store_of
from tests.worlds.index import BOOKS, World, projection_of, texts_of

REPORT = "folder:docs/report.md"


@pytest.fixture(params=BOOKS)
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = BOOKS[request.param](tmp_path)
    yield engine
    engine.dispose()


def test_the_databases_clock_is_its_own_and_in_utc(books: Engine) -> None:
    asked = "SELECT now() AT TIME ZONE 'UTC'" if books.dialect.name == "postgresql" else "SELECT datetime('now')"
    clock = DatabaseClock(books)
    with books.connect() as connection:
        before = connection.execute(text(asked)).scalar_one()
        told = clock()
    moment = before if isinstance(before, datetime) else datetime.fromisoformat(before)
    assert told.tzinfo is UTC
    assert timedelta(0) <= told - moment.replace(tzinfo=UTC) + timedelta(seconds=1) < timedelta(minutes=5)


def test_garbage_of_a_cluster_waits_although_the_projectors_clock_leaps(
    books: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = count()

    def leaping() -> datetime:
        return datetime.now(UTC) + timedelta(hours=next(hours))

    monkeypatch.setattr("refold.engine.assembly.now", leaping)
    monkeypatch.setattr("refold.cluster.corpus.now", leaping, raising=False)
    world, projection = World(), projection_of("keyword")
    corpus = Corpus(
        settings=Settings(),
        pipeline_id="projector-1",
        log=world.log,  # type: ignore[arg-type]  # a log in memory is one
        artifacts=world.artifacts,  # type: ignore[arg-type]
        database=books,
        homes={
            "keyword": IndexHome(
                projection.spec, log_id="a", store=open_store_of("memory")(tmp_path / "index"), database=books
            )
        },
        projections={"keyword": projection},
        scratch=tmp_path,
        closing=ExitStack(),
    )
    view = corpus.index("keyword")
    view.open()
    for version in (1, 2):
        world.complete(REPORT, texts_of(REPORT, version, 3))
        follower = Follower(world.log, projection, view, joining=Joining())
        follower.begin()
        follower.read_on()
        follower.apply()
    assert view.status().counts.garbage == 3
    assert view.collect_garbage() == 0
    view.close()
