"""The same files through both engines, and what must be equal then.

The long comparison, over real files of this machine::

    python -m tests.worlds.two_engines --files 2000

prints its figures as JSON; exit code 1 when something differs. The short one of every test run:
`tests/e2e/test_two_engines.py`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from projections.search.search import SearchMode
from refold.engine.data_folder import DataFolder, Ownership
from refold.engine.engine import Engine
from refold.settings.settings import load_settings
from tests.commands.cli_here import CliHere
from tests.worlds.cluster import ClusterWorld, cluster_world

HITS = 10
SCORES_EQUAL = 1e-5
"""What two ways of summing 256 float32 products may differ by."""

Document = tuple[str, int, str | None, str, int]


@dataclass(frozen=True)
class Comparison:
    """What was equal, and what was not: `problems`.

    `keyword_overlap` is the mean share of the ten best chunks of one engine among those of the other.
    """

    documents: int
    chunks: int
    queries: int
    keyword_overlap: float
    problems: Sequence[str]


@contextmanager
def embedded(data: Path) -> Iterator[Engine]:
    """The embedded engine of a data folder, in this process."""
    from refold.embedded.wiring import open_engine  # noqa: PLC0415 - heavy

    folder = DataFolder(data)
    with Ownership(folder) as ownership:
        assert ownership.try_take()
        with open_engine(load_settings({"data": data}), folder=folder) as engine:
            engine.wait_for(engine.end())
            yield engine


def ingest(cli: CliHere, files: Path) -> dict[str, Any]:
    """What `refold ingest` says; some documents may fail."""
    return cli("ingest", str(files), "--json", exit_code=None).json


def compare(one: Engine, other: Engine, *, queries: int, seed: int = 1) -> Comparison:
    """Everything that two engines over the same documents must agree in."""
    problems = []
    documents = manifest_of(one)
    if documents != (others := manifest_of(other)):
        differing = [uri for uri in documents.keys() | others.keys() if documents.get(uri) != others.get(uri)]
        problems.append(f"{len(differing)} documents differ, such as {differing[0]}")
    for name in ("vector", "keyword"):
        ids = ids_of(one, name)
        if ids != ids_of(other, name):
            problems.append(f"the {name} indexes hold different chunks")
    asked = queries_from(one, count=queries, seed=seed)
    problems += [f"vector hits differ for {query!r}" for query in asked if not same_vector_hits(one, other, query)]
    return Comparison(
        documents=len(documents),
        chunks=len(ids_of(one, "vector")),
        queries=len(asked),
        keyword_overlap=round(mean(keyword_overlap(one, other, query) for query in asked), 3),
        problems=problems,
    )


def manifest_of(engine: Engine) -> Mapping[str, Document]:
    """Every document: id, version, fingerprint, status, chunk count."""
    engine.wait_for(engine.end(), ["manifest"])
    found: dict[str, Document] = {}
    for d in engine.parts.views.manifest.documents(limit=1_000_000):
        found[d.uri] = (d.document_id, d.version, d.fingerprint, str(d.status), d.chunk_count)
    return found


def ids_of(engine: Engine, name: str) -> set[str]:
    """The ids of the chunks that an index really holds."""
    assert not engine.index_errors
    with engine.parts.views.indexes[name].searching() as opened:
        return {one for some in opened.backend.scan_ids() for one in some}


def queries_from(engine: Engine, *, count: int, seed: int) -> list[str]:
    """Queries of one to four words that stand in the documents."""
    rng = random.Random(seed)
    texts = [hit.text for hit in engine.parts.search.search("the", mode=SearchMode.KEYWORD, limit=200).hits]
    words = sorted({word for text in texts for word in text.split() if word.isalpha() and len(word) > 3})
    return [" ".join(rng.sample(words, k=rng.randint(1, 4))) for _ in range(count)]


def same_vector_hits(one: Engine, other: Engine, query: str) -> bool:
    """Whether both find the same chunks, in the same order but for equal scores."""
    first, second = (scores_of(engine, query, SearchMode.VECTOR) for engine in (one, other))
    if any(abs(a - b) > SCORES_EQUAL for a, b in zip(first.values(), second.values(), strict=False)):
        return False
    last = min(first.values(), default=0.0) + SCORES_EQUAL  # at the end one of equals may stand for another
    return len(first) == len(second) and all(chunk in second for chunk, score in first.items() if score > last)


def keyword_overlap(one: Engine, other: Engine, query: str) -> float:
    """The share of the best chunks by words that both find."""
    first, second = (scores_of(engine, query, SearchMode.KEYWORD).keys() for engine in (one, other))
    return len(first & second) / max(len(first), len(second), 1) if first or second else 1.0


def scores_of(engine: Engine, query: str, mode: SearchMode) -> dict[str, float]:
    """The best chunks and their scores."""
    return {hit.chunk_id: hit.score for hit in engine.parts.search.search(query, mode=mode, limit=HITS).hits}


def start(world: ClusterWorld) -> ClusterWorld:
    """A projector and a worker at work."""
    world.start("projector")
    world.start("worker")
    return world


def main() -> None:
    """Compare over real files and print the figures."""
    from tests.bench.corpus import EVERYTHING, collect  # noqa: PLC0415 - of the bench

    parser = argparse.ArgumentParser(description="The same files through both engines.")
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refold-engines-", dir=Path.cwd()) as scratch:
        folder = Path(scratch)
        collect(folder / "files", count=arguments.files, suffixes=EVERYTHING, max_bytes=20 * 1024 * 1024)
        (folder / "cluster").mkdir()
        with cluster_world(folder / "cluster") as world:
            start(world)
            told = ingest(world.cli, folder / "files")
            also = ingest(CliHere(folder / "data"), folder / "files")
            with world.client() as client, embedded(folder / "data") as engine:
                compared = compare(engine, client, queries=arguments.queries)
    answer = {"cluster": told, "embedded": also, "compared": asdict(compared)}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    sys.exit(1 if compared.problems else 0)


if __name__ == "__main__":
    main()
