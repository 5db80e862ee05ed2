"""Leases over every SQL database: one holder at a time, tokens that grow, zombies that are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from projections.sql.leases import LEASES, Leases
from tests.servers.sql_views import DATABASES, open_postgres_of

LONG_S = 600.0
SOON, PATIENCE = "50ms", "20s"


@pytest.fixture(params=sorted(DATABASES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = DATABASES[request.param](tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def leases(engine: Engine) -> Leases:
    return Leases(engine, duration_s=LONG_S)


@pytest.fixture
def expire(engine: Engine) -> Callable[[str], None]:
    """Lets the time of a lease pass at once."""
    return partial(let_time_pass, engine)


def let_time_pass(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(LEASES.update().where(LEASES.c.name == name).values(until_us=1))


def test_what_nobody_holds_is_taken_and_then_refused_to_others(leases: Leases) -> None:
    assert leases.take("vector/g1/0", "first") is not None
    assert leases.take("vector/g1/0", "second") is None
    assert leases.take("vector/g1/1", "second") is not None
    assert leases.holders() == {"vector/g1/0": "first", "vector/g1/1": "second"}


def test_a_released_lease_is_free_at_once_and_its_next_holder_has_a_greater_token(leases: Leases) -> None:
    first = leases.take("manifest", "first")
    assert first is not None
    leases.release(first)
    assert leases.holders() == {}
    second = leases.take("manifest", "second")
    assert second is not None
    assert second.token > first.token


def test_a_holder_that_takes_again_keeps_its_token(leases: Leases) -> None:
    assert leases.take("manifest", "first") == leases.take("manifest", "first")


def test_an_expired_lease_is_anybodys_and_its_holder_is_told(leases: Leases, expire: Callable[[str], None]) -> None:
    zombie = leases.take("manifest", "zombie")
    assert zombie is not None
    assert leases.renew(zombie)
    expire("manifest")
    assert not leases.renew(zombie)
    heir = leases.take("manifest", "heir")
    assert heir is not None
    assert heir.token > zombie.token
    assert not leases.renew(zombie)
    leases.release(zombie)
    assert leases.holders() == {"manifest": "heir"}


def test_a_holder_that_comes_back_after_its_time_has_a_new_token(leases: Leases, expire: Callable[[str], None]) -> None:
    before = leases.take("manifest", "same")
    expire("manifest")
    after = leases.take("manifest", "same")
    assert before is not None
    assert after is not None
    assert after.token == before.token + 1


def test_a_lease_ends_by_itself(engine: Engine) -> None:
    short = Leases(engine, duration_s=0.0)
    assert short.take("manifest", "first") is not None
    assert short.holders() == {}
    assert short.take("manifest", "second") is not None


def test_of_many_who_ask_at_once_one_gets_it(leases: Leases) -> None:
    together = threading.Barrier(8)

    def ask(number: int) -> bool:
        together.wait()
        return leases.take("manifest", f"process {number}") is not None

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(ask, range(8))) == 1


@pytest.mark.parametrize("gives_up", [False, True])
def test_an_heir_ends_what_a_holder_that_stands_still_has_open(tmp_path: Path, *, gives_up: bool) -> None:
    holder, heir = (open_postgres_of(tmp_path, owner=f"{name} of {tmp_path.name}") for name in ("holder", "heir"))
    leases = Leases(heir, duration_s=LONG_S)
    lease = leases.take("manifest", f"holder of {tmp_path.name}")
    assert lease is not None
    with heir.begin() as connection:
        connection.execute(text("CREATE TABLE rows (key int PRIMARY KEY)"))
        connection.execute(text("INSERT INTO rows VALUES (1)"))
    with closing(holder.connect()) as standing:
        standing.execute(text("UPDATE rows SET key = 2"))  # and never commits
        if gives_up:
            leases.release(lease)
        else:
            let_time_pass(heir, "manifest")
        assert leases.take("manifest", f"heir of {tmp_path.name}") is not None
        with heir.connect() as connection:
            connection.execute(text(f"SET lock_timeout = '{SOON if gives_up else PATIENCE}'"))
            if gives_up:  # it is alive, and its other work is its own
                with pytest.raises(OperationalError, match="lock timeout"):
                    connection.execute(text("UPDATE rows SET key = 3"))
            else:
                connection.execute(text("UPDATE rows SET key = 3"))
                with pytest.raises(OperationalError):
                    standing.execute(text("SELECT 1"))
        standing.invalidate()
    holder.dispose()
    heir.dispose()
