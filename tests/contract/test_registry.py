from __future__ import annotations

import json
import multiprocessing
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.avro_files import released_schemas
from schemas.canonical import canonical_form, fingerprint_of
from schemas.errors import DataFolderDamaged, MachineError
from schemas.ids import random_id
from schemas.registries.confluent import ConfluentRegistry, register_schemas
from schemas.registries.confluent_client import ConfluentClient
from schemas.registries.embedded import EmbeddedRegistry
from schemas.registries.memory import MemoryRegistry
from schemas.registry import SchemaConflict, SchemaNotRegistered, SchemaRegistry, WriterSchema
from tests.servers.run import address_of

STARTED, *OTHERS = (
    schema for schema in released_schemas() if schema.record in {"DocumentStarted", "JobPaused", "JobResumed"}
)
NEWER_CANONICAL = canonical_form(
    {
        **json.loads(STARTED.canonical),
        "fields": [*json.loads(STARTED.canonical)["fields"], {"name": "mood", "type": "string", "default": ""}],
    }
)
NEWER = replace(STARTED, version=2, canonical=NEWER_CANONICAL, fingerprint=fingerprint_of(NEWER_CANONICAL))
CHANGED = replace(STARTED, canonical='"null"', fingerprint="00" * 32)

Opened = Callable[[Sequence[WriterSchema]], SchemaRegistry]
"""Opens the same registry with the schemas of one release after the other."""


def memory(_: Path) -> Opened:
    registry = MemoryRegistry([])

    def opened(schemas: Sequence[WriterSchema]) -> SchemaRegistry:
        for schema in schemas:
            registry.register(schema)
        return registry

    return opened


def embedded(folder: Path) -> Opened:
    return lambda schemas: EmbeddedRegistry(folder / "log.sqlite", schemas=schemas)


def confluent(_: Path) -> Opened:
    """Subjects of their own on the server; it is never told to forget them."""
    client, prefix = ConfluentClient(address_of("registry")), f"refold.{random_id()}."

    def opened(schemas: Sequence[WriterSchema]) -> SchemaRegistry:
        register_schemas(client, prefix=prefix, schemas=schemas)
        return ConfluentRegistry(client, prefix=prefix, schemas=schemas)

    return opened


@pytest.fixture(params=[memory, embedded, confluent], ids=lambda backend: backend.__name__)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    made: Opened = request.param(tmp_path)
    return made


def test_every_schema_has_an_id_that_leads_back_to_it(opened: Opened) -> None:
    registry = opened(released_schemas())
    ids = [registry.id_of(schema.record, schema.version) for schema in released_schemas()]
    assert [registry.schema_of(schema_id) for schema_id in ids] == list(released_schemas())
    assert len(set(ids)) == len(ids)
    assert all(0 <= schema_id < 2**32 for schema_id in ids)


def test_an_id_keeps_its_meaning_when_a_later_release_adds_schemas(opened: Opened) -> None:
    before = opened([STARTED]).id_of(STARTED.record, 1)
    registry = opened([*OTHERS, STARTED, NEWER])
    assert registry.id_of(STARTED.record, 1) == before
    assert registry.schema_of(before) == STARTED
    assert registry.schema_of(registry.id_of(STARTED.record, 2)) == NEWER


def test_what_an_earlier_release_registered_stays(opened: Opened) -> None:
    before = opened([STARTED]).id_of(STARTED.record, 1)
    assert opened(OTHERS).schema_of(before) == STARTED


def test_another_schema_under_a_known_version_is_refused(opened: Opened) -> None:
    opened([STARTED])
    with pytest.raises(SchemaConflict, match="DocumentStarted version 1") as caught:
        opened([CHANGED])
    assert caught.value.hint is not None


def test_a_version_that_nobody_registered_has_no_id(opened: Opened) -> None:
    registry = opened([STARTED])
    for record, version in ((STARTED.record, 2), ("DocumentTeleported", 1)):
        with pytest.raises(SchemaNotRegistered, match=record):
            registry.id_of(record, version)


def test_an_id_that_nobody_gave_has_no_schema(opened: Opened) -> None:
    registry = opened([STARTED])
    for schema_id in (0, 4711, 2**32 - 1):
        assert registry.schema_of(schema_id) is None


def test_several_threads_may_ask_at_once(opened: Opened) -> None:
    registry = opened(released_schemas())
    answers: list[int] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        for schema in released_schemas():
            answers.append(registry.id_of(schema.record, schema.version))
            registry.schema_of(9999)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4 * len(released_schemas())
    assert len(set(answers)) == len(released_schemas())


def test_a_server_refuses_a_version_that_old_or_new_readers_could_not_read() -> None:
    client, prefix = ConfluentClient(address_of("registry")), f"refold.{random_id()}."
    register_schemas(client, prefix=prefix, schemas=[STARTED])
    schema = json.loads(STARTED.canonical)
    demanding = canonical_form({**schema, "fields": [*schema["fields"], {"name": "mood", "type": "string"}]})
    newer = replace(STARTED, version=2, canonical=demanding, fingerprint=fingerprint_of(demanding))
    with pytest.raises(SchemaConflict, match="refuses the schema"):
        register_schemas(client, prefix=prefix, schemas=[STARTED, newer])
    client.close()


def schemas_seen_from_elsewhere(path: Path) -> list[WriterSchema | None]:
    registry = EmbeddedRegistry(path, read_only=True)
    return [registry.schema_of(registry.id_of(schema.record, schema.version)) for schema in released_schemas()]


def test_a_reader_in_another_process_sees_the_same_schemas(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    EmbeddedRegistry(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(schemas_seen_from_elsewhere, (path,)) == list(released_schemas())


def test_a_reader_sees_what_is_registered_after_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    EmbeddedRegistry(path, schemas=[STARTED])
    reader = EmbeddedRegistry(path, read_only=True, schemas=[STARTED])
    later = EmbeddedRegistry(path, schemas=[STARTED, *OTHERS])
    for schema in OTHERS:
        schema_id = later.id_of(schema.record, 1)
        assert reader.schema_of(schema_id) == schema
        assert reader.id_of(schema.record, 1) == schema_id


def test_a_reader_registers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    EmbeddedRegistry(path, schemas=[STARTED])
    reader = EmbeddedRegistry(path, read_only=True)
    with pytest.raises(SchemaNotRegistered, match="JobPaused"):
        reader.id_of("JobPaused", 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM schemas").fetchone() == (1,)


def test_nothing_of_a_release_is_registered_when_one_of_its_schemas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    EmbeddedRegistry(path, schemas=[STARTED])
    with pytest.raises(SchemaConflict):
        EmbeddedRegistry(path, schemas=[*OTHERS, CHANGED])
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT record FROM schemas").fetchall() == [(STARTED.record,)]


def test_a_reader_of_a_log_that_is_being_made_finds_nothing_yet(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY)")
    reader = EmbeddedRegistry(path, read_only=True, schemas=[STARTED])
    assert reader.schema_of(1) is None
    assert EmbeddedRegistry(path, schemas=[STARTED]).schema_of(1) == reader.schema_of(1) == STARTED


def test_a_reader_refuses_another_schema_too(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    EmbeddedRegistry(path, schemas=[STARTED])
    with pytest.raises(SchemaConflict):
        EmbeddedRegistry(path, read_only=True, schemas=[CHANGED])


def test_the_table_stands_beside_others_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO records VALUES (7)")
    EmbeddedRegistry(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT id FROM records").fetchall() == [(7,)]
        assert connection.execute("SELECT count(*) FROM schemas").fetchone() == (len(released_schemas()),)


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"log\.sqlite"):
        EmbeddedRegistry(tmp_path / "log.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"not a database at all, but a letter to a friend" * 20, b"SQLite format 3\x00" + b"?" * 4080]
)
@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_a_file_that_is_no_database_is_damage(tmp_path: Path, content: bytes, *, read_only: bool) -> None:
    path = tmp_path / "log.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataFolderDamaged, match=r"log\.sqlite"):
        EmbeddedRegistry(path, read_only=read_only)
    assert path.read_bytes() == content
