"""Calls to servers: tried again while they are busy, and cut down to what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from projections.backends.server_calls import LONGEST_WAIT_S, BatchRefused, Retries, write_or_halve
from projections.index.backend import IndexedChunk
from schemas.errors import PoisonError, TransientError, UsageError
from schemas.extras import extra
from tests.worlds.index_chunks import chunks_of


class BusyServer:
    """Answers after it was asked `times` times."""

    def __init__(self, times: int, *, retry_after_s: float | None = None) -> None:
        self._times = times
        self._retry_after_s = retry_after_s

    def __call__(self) -> str:
        self._times -= 1
        if self._times >= 0:
            raise TransientError(retry_after_s=self._retry_after_s)
        return "done"


def test_a_busy_server_is_asked_again_after_longer_and_longer_waits() -> None:
    waited: list[float] = []

    assert Retries(waits_s=(1, 2, 4), sleep=waited.append).run(BusyServer(3)) == "done"

    assert waited == [1, 2, 4]


def test_a_server_that_stays_busy_is_given_up_on() -> None:
    with pytest.raises(TransientError):
        Retries(waits_s=(1, 2), sleep=lambda _: None).run(BusyServer(3))


def test_what_the_server_asks_to_wait_is_waited_within_reason() -> None:
    waited: list[float] = []

    Retries(waits_s=(1,), sleep=waited.append).run(BusyServer(1, retry_after_s=0.5))
    Retries(waits_s=(1,), sleep=waited.append).run(BusyServer(1, retry_after_s=3_600))

    assert waited == [0.5, LONGEST_WAIT_S]


@pytest.mark.parametrize(("within_s", "calls"), [(60, 2), (20, 1), (1_000, 7)])
def test_a_server_that_hangs_is_not_asked_again_once_the_time_is_over(within_s: float, calls: int) -> None:
    now_s, called = 0.0, 0

    def hang() -> None:
        nonlocal now_s, called
        now_s += 30
        called += 1
        raise TransientError

    with pytest.raises(TransientError):
        Retries(sleep=lambda _: None, monotonic=lambda: now_s).run(hang, within_s=within_s)

    assert called == calls


@pytest.mark.parametrize("place", [0, 1, 6, 12])
def test_a_refused_batch_is_halved_until_the_chunk_to_blame_stands_alone(place: int) -> None:
    chunks, written = chunks_of("folder:a", 13), list[IndexedChunk]()

    def write(some: Sequence[IndexedChunk]) -> None:
        if chunks[place] in some:
            raise BatchRefused("too large")
        written.extend(some)

    with pytest.raises(PoisonError, match=f"chunk {place} of version 1 is refused: too large") as raised:
        write_or_halve(chunks, write)

    assert raised.value.subject == "folder:a"
    assert written == chunks[:place]


def test_a_missing_extra_is_told_with_the_command_that_installs_it() -> None:
    with pytest.raises(UsageError) as raised, extra("opensearch"):
        raise ImportError("No module named 'opensearchpy'")

    assert raised.value.hint == "pip install 'refold[opensearch]'"


def test_refold_runs_without_its_extras() -> None:
    forbidden = ["opensearchpy", "qdrant_client", "obstore", "confluent_kafka", "httpx"]
    hidden = f"import sys; [sys.modules.__setitem__(one, None) for one in {forbidden}]"
    code = f"{hidden}; import refold.cli, refold.embedded.wiring"

    subprocess.run([sys.executable, "-c", code], check=True)
