"""A process is killed at each numbered step of the index view, and the next one comes to the same end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from projections.consistency.verify import verify
from projections.index.view.steps import STEPS, Fault, no_fault
from schemas.ids import document_id_of
from tests.servers.index_backends import DURABLE_BACKENDS, INDEX_OF, open_store_of
from tests.worlds.index import Index, World, projection_of, texts_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"
GONE = "folder:docs/gone.md"

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.servers.index_backends", "tests.worlds.index"]
)  # so that a child starts in milliseconds


def written_before(world: World) -> None:
    """What was applied before the process dies."""
    world.complete(REPORT, texts_of(REPORT, 1, 10))
    world.complete(LETTER, texts_of(LETTER, 1, 2))
    world.complete(GONE, texts_of(GONE, 1, 3))


def written_meanwhile(world: World) -> None:
    """What it dies of: an update, a removal, a new document, a version that cannot be read, a repair."""
    world.complete(REPORT, texts_of(REPORT, 2, 3))
    world.remove(GONE)
    world.complete("folder:docs/new.md", texts_of("new.md", 1, 4))
    lost = world.store(["these chunks are lost"])
    world.artifacts.delete([lost.chunks])
    world.complete(LETTER, [], stored=lost)
    for index in ("vector", "keyword"):
        world.ask_repair(index, [REPORT])


def open_index(world: World, folder: Path, backend: str, fault: Fault = no_fault) -> Index:
    index = Index(world, folder, projection_of(INDEX_OF[backend]), open_store_of(backend), fault=fault)
    index.view.open()
    return index


def die_at(folder: Path, backend: str, step: str) -> None:
    """Apply everything, in a process that is killed at `step` of what was written meanwhile."""
    armed = False

    def kill(reached: str) -> None:
        if armed and reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    world = World()
    index = open_index(world, folder, backend, kill)
    written_before(world)
    index.catch_up()
    written_meanwhile(world)
    armed = True
    index.catch_up()
    index.collect_all()


def in_a_process(do: Callable[[Path, str, str], None], folder: Path, backend: str, step: str) -> int | None:
    process = FORKS.Process(target=do, args=(folder, backend, step))
    process.start()
    process.join(60)
    return process.exitcode


def outcome(index: Index) -> object:
    """All that the index says of itself, but for the moments at which it switched."""
    documents = [document_id_of(uri) for uri in (REPORT, LETTER, GONE, "folder:docs/new.md")]
    served = {one: (row.version, row.sequence, row.last) for one, row in index.view.served(documents).items()}
    parked = {one: row.change for one, row in index.view.parked().items()}
    return index.entries(), served, parked, index.view.status().counts, index.view.position()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("backend", DURABLE_BACKENDS)
def test_killed_at_a_step_and_started_again_the_index_comes_to_the_same_end(
    backend: str, step: str, tmp_path: Path
) -> None:
    world = World()
    straight = open_index(world, tmp_path / "straight", backend)
    written_before(world)
    written_meanwhile(world)
    straight.catch_up()
    straight.collect_all()

    folder = tmp_path / "killed"
    assert in_a_process(die_at, folder, backend, step) == -signal.SIGKILL
    index = open_index(world, folder, backend)

    # What a reader finds by now is the old version or the new one, whole.
    assert index.served_version(REPORT) in {(1, 10), (2, 3)}
    version, chunk_count = index.served_version(REPORT) or (0, 0)
    assert index.served_chunks(REPORT) == chunk_count
    assert document_id_of(REPORT) in index.find(f"report edition {version}", limit=20)
    assert (
        verify([index.view], world.log, artifacts=world.artifacts, scratch=tmp_path).indexes[index.view.name].stale == 0
    )

    index.catch_up()
    index.collect_all()
    assert outcome(index) == outcome(straight)
    index.close()
    straight.close()
