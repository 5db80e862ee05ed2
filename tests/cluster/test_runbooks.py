"""What the runbooks of a cluster say, done: lost servers, lost events, another release, more partitions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from projections.manifest.view import ManifestProjection, ManifestView
from projections.sql.databases import open_postgres, open_sqlite
from projections.sql.store import ViewOutdated
from projections.sql.view import rebuild_sql_view
from refold.cluster.awaited_views import once_there
from refold.cluster.client.lag import status_of
from schemas.errors import UnreachableError
from streams.log import EventLog, PositionExpired
from streams.transfer.log import export_log, import_log
from tests.commands.cli_here import CliHere
from tests.samples.histories import Histories, drafts_of
from tests.servers.kafka_corpora import SLOTS, KafkaCorpora, kafka_corpora, uris_of
from tests.worlds.cluster import ClusterWorld, cluster_world

# Servers that lost what they held


def pages(folder: Path, *, edition: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(4):
        (folder / f"{number}.md").write_text(f"# Page {number}\n\nEdition {edition}: heron {number} stands still.\n")
    return folder


NOBODY = "http://127.0.0.1:9"
"""An address where no server is: the port that RFC 863 gives to those that discard."""

NO_DATABASE = "postgresql://postgres@127.0.0.1:9/postgres"

ADDRESS_OF = {"vector": "REFOLD_CLUSTER__QDRANT", "keyword": "REFOLD_CLUSTER__OPENSEARCH"}


def lose_collections(world: ClusterWorld) -> None:
    from qdrant_client import QdrantClient  # noqa: PLC0415 - an extra

    client = QdrantClient(url=world.values["cluster"]["qdrant"], check_compatibility=False)
    for collection in client.get_collections().collections:
        if collection.name.startswith(f"refold-{world.corpus}-"):
            client.delete_collection(collection.name)


def replace_collections(world: ClusterWorld) -> None:
    """Somebody makes collections of the same names, for vectors of his own."""
    from qdrant_client import QdrantClient, models  # noqa: PLC0415 - an extra

    client = QdrantClient(url=world.values["cluster"]["qdrant"], check_compatibility=False)
    names = [one.name for one in client.get_collections().collections if one.name.startswith(f"refold-{world.corpus}-")]
    lose_collections(world)
    for name in names:
        vectors = models.VectorParams(size=3, distance=models.Distance.COSINE)
        client.create_collection(name, vectors_config=vectors)


def replace_indexes(world: ClusterWorld) -> None:
    """Somebody makes indexes of the same names, which would take everything."""
    from opensearchpy import OpenSearch  # noqa: PLC0415 - an extra

    client = OpenSearch([world.values["cluster"]["opensearch"]])
    names = list(client.indices.get(index=f"refold-{world.corpus}-*"))
    lose_indexes(world)
    for name in names:
        client.indices.create(index=name, body={"aliases": {f"{name}-writes": {}}})


def lose_indexes(world: ClusterWorld) -> None:
    from opensearchpy import OpenSearch  # noqa: PLC0415 - an extra

    OpenSearch([world.values["cluster"]["opensearch"]]).indices.delete(index=f"refold-{world.corpus}-*")


def lose_database(world: ClusterWorld) -> None:
    engine = open_postgres(world.values["cluster"]["postgres"], schema=f"refold_{world.corpus}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f'DROP SCHEMA "refold_{world.corpus}" CASCADE')
    engine.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ClusterWorld]:
    with cluster_world(tmp_path) as world:
        yield world


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("index", "other", "lose"),
    [
        ("vector", "keyword", lose_collections),
        ("keyword", "vector", lose_indexes),
        ("vector", "keyword", replace_collections),
        ("keyword", "vector", replace_indexes),
    ],
)
def test_an_index_that_its_server_has_lost_is_told_and_rebuilt(
    world: ClusterWorld, tmp_path: Path, index: str, other: str, lose: Callable[[ClusterWorld], None]
) -> None:
    world.start("projector")
    world.start("worker")
    library = pages(tmp_path / "library", edition=1)
    world.cli("ingest", str(library))
    away = CliHere(tmp_path / "unused", environment={**world.cli.environment, ADDRESS_OF[index]: NOBODY})
    assert away("search", "heron", "--mode", index, "--json", exit_code=3).json["error"]["hint"].startswith("start it")
    assert [one["index"] for one in away("search", "heron", "--json").json["unavailable"]] == [index]
    assert away("search", "heron", "--mode", other, "--json").json["hits"]
    lose(world)
    refused = world.cli("search", "heron", "--mode", index, "--json", exit_code=4).json["error"]
    assert f"the {index} index is not where it was written" in refused["message"]
    assert refused["hint"] == f"refold rebuild {index}"
    assert world.cli("search", "heron", "--mode", other, "--json").json["hits"]
    hybrid = world.cli("search", "heron", "--json").json
    assert [bool(hybrid["hits"]), [one["index"] for one in hybrid["unavailable"]]] == [True, [index]]
    told = {one["name"]: one.get("error") for one in world.cli("status", "--json").json["projections"]}
    assert f"the {index} index is not where it was written" in told.pop(index)
    assert set(told.values()) == {None}
    pages(library, edition=2)
    world.cli("ingest", str(library), exit_code=4)  # the documents are done; that they can be found is not claimed
    world.wait_until_logged("a projection does not go on")
    rebuilt = world.cli("rebuild", index, "--json").json["rebuilt"][index]
    assert (rebuilt["generation"], rebuilt["parser_calls"], rebuilt["embedder_calls"]) == ("g2", 0, 0)
    assert world.cli("verify", "--json").json["consistent"]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_lost_database_is_folded_again_from_the_log(world: ClusterWorld, tmp_path: Path) -> None:
    away = CliHere(tmp_path / "unused", environment={**world.cli.environment, "REFOLD_CLUSTER__POSTGRES": NO_DATABASE})
    assert "PostgreSQL server runs" in away("status", "--json", exit_code=3).json["error"]["hint"]
    projector = world.start("projector")
    world.start("worker")
    library = pages(tmp_path / "library", edition=1)
    world.cli("ingest", str(library))
    lose_database(world)
    projector.send_signal(signal.SIGTERM)
    assert projector.wait(60) == 0, world.logs()
    world.start("projector")
    pages(library, edition=2)
    done = world.cli("ingest", str(library), "--json").json
    assert (done["outcome"], done["completed"], done["searchable"]) == ("SUCCEEDED", 4, True)
    assert world.cli("verify", "--json").json["consistent"]
    documents = world.cli("documents", "list", "--json").json["documents"]
    assert {document["version"] for document in documents} == {2}  # their first versions are known


# Lag, and events that are gone


@pytest.fixture
def corpora() -> Iterator[KafkaCorpora]:
    with kafka_corpora() as made:
        yield made


def open_manifest(folder: Path, log: EventLog) -> ManifestView:
    return ManifestView(open_sqlite(folder / "manifest.sqlite"), log_id=log.log_id)


def now() -> datetime:
    return datetime.now(UTC)


def test_status_tells_the_lag_of_a_projection_that_nobody_keeps_and_what_the_log_has_lost(
    corpora: KafkaCorpora, tmp_path: Path
) -> None:
    from confluent_kafka import TopicPartition as KafkaPartition  # noqa: PLC0415 - an extra

    log, made = corpora.open(), Histories()
    for uri in uris_of(0, 9):
        made.queued(uri)
    log.append(None, drafts_of(made.recorded))
    view = open_manifest(tmp_path, log)
    status = status_of(view, ManifestProjection(), log, clock=now)
    assert (status.lag_events, status.error) == (9, None)
    assert status.lag_s > 0

    below = KafkaPartition(corpora.names("log").topic("documents"), 0, 4)
    for answer in corpora.admin.delete_records([below]).values():
        answer.result()
    status = status_of(view, ManifestProjection(), log, clock=now)
    assert isinstance(status.error, PositionExpired)
    assert "the records 0 to 3 of documents:0 are no longer kept" in str(status.error)


# Two releases


def test_views_of_another_release_are_rebuilt_by_its_projector_and_refused_to_the_rest(
    corpora: KafkaCorpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, made = corpora.open(), Histories()
    for uri in uris_of(0, 3):
        made.ingested(uri)
    log.append(None, drafts_of(made.recorded))
    old = open_manifest(tmp_path, log)
    rebuild_sql_view(log, ManifestProjection(), old)
    before = list(old.scan())

    monkeypatch.setattr(ManifestProjection, "version", 99)
    with pytest.raises(UnreachableError, match="no projector of this release"):
        once_there(lambda: open_manifest(tmp_path, log), timeout_s=0.0)  # a worker of the next release, too early
    new = open_manifest(tmp_path, log)
    assert new.is_outdated
    assert rebuild_sql_view(log, ManifestProjection(), new) == log.end(log.partitions("documents"))
    assert list(new.scan()) == before
    with pytest.raises(ViewOutdated):
        old.position()

    monkeypatch.undo()  # and back again
    back = open_manifest(tmp_path, log)
    rebuild_sql_view(log, ManifestProjection(), back)
    assert list(back.scan()) == before
    with pytest.raises(ViewOutdated):
        new.position()


# Another number of partitions


def test_a_log_moves_to_a_corpus_with_more_partitions(corpora: KafkaCorpora, tmp_path: Path) -> None:
    old, made = corpora.open("old"), Histories()
    for uri in uris_of(0, 12):
        made.ingested(uri)
    old.append(None, drafts_of(made.recorded))
    export_log(old, tmp_path / "moved")

    corpora.names("new")
    corpora.delete("new", ("requests", "documents"))
    corpora.create("new", slots=4 * SLOTS)
    new = corpora.open("new")
    assert import_log(new, tmp_path / "moved").counts["documents"] == len(made.recorded)
    assert new.log_id != old.log_id
    used = [tp for tp, end in new.end(new.partitions("documents")).items() if end]
    assert len(used) > 1
    view = open_manifest(tmp_path, new)
    rebuild_sql_view(new, ManifestProjection(), view)
    assert {state.document_id: state.sequence for state in view.scan()} == {
        document_id: state.sequence for document_id, state in made.states.items()
    }
