"""A registry on a server: rolled out, away, behind a password, and not one at all."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.avro_files import released_schemas
from schemas.codec import FRAME_BYTES, Codec
from schemas.errors import FatalError, TransientError, UnreachableError, UsageError
from schemas.events import JobPaused, Meta
from schemas.ids import EventId, JobId
from schemas.registries.confluent import ConfluentRegistry, register_schemas
from schemas.registries.confluent_client import ConfluentClient
from schemas.registries.memory import MemoryRegistry
from schemas.registry import SchemaConflict, SchemaNotRegistered
from tests.servers.registry import RegistryServer

PREFIX = "refold.library."
PAUSED, RESUMED = (schema for schema in released_schemas() if schema.record in {"JobPaused", "JobResumed"})
SUBJECT = "refold.library.jobs-refold.events.JobPaused"


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    started = RegistryServer().start()
    yield started
    started.stop()


@pytest.fixture
def client(server: RegistryServer) -> Iterator[ConfluentClient]:
    opened = ConfluentClient(server.url)
    yield opened
    opened.close()


def test_schemas_stand_under_topic_and_record_and_new_versions_must_be_compatible_in_full(
    server: RegistryServer, client: ConfluentClient
) -> None:
    (registered,) = register_schemas(client, prefix=PREFIX, schemas=[PAUSED])
    assert (registered.subject, registered.is_new) == (SUBJECT, True)
    assert server.rules == {SUBJECT: "FULL_TRANSITIVE"}
    assert server.texts == [PAUSED.canonical]


def test_registering_again_changes_nothing(server: RegistryServer, client: ConfluentClient) -> None:
    first = register_schemas(client, prefix=PREFIX)
    asked = len(server.asked)
    again = register_schemas(client, prefix=PREFIX)
    assert [one.schema_id for one in again] == [one.schema_id for one in first]
    assert not any(one.is_new for one in again)
    assert all(question.startswith("GET") for question in server.asked[asked:])


def test_frames_are_those_of_the_embedded_engine_but_for_the_id(client: ConfluentClient) -> None:
    register_schemas(client, prefix=PREFIX, schemas=[RESUMED])  # so that ids differ
    register_schemas(client, prefix=PREFIX)
    meta = Meta(event_id=EventId("e"), occurred_at=datetime(2026, 3, 1, tzinfo=UTC), pipeline_id="p", job_id=JobId("j"))
    here, there = Codec(MemoryRegistry()), Codec(ConfluentRegistry(client, prefix=PREFIX))
    mine, theirs = here.encode(JobPaused(meta=meta)), there.encode(JobPaused(meta=meta))
    assert (mine[0], mine[FRAME_BYTES:]) == (theirs[0], theirs[FRAME_BYTES:])
    assert mine[:FRAME_BYTES] != theirs[:FRAME_BYTES]
    assert there.decode(theirs) == here.decode(mine)


def test_a_writer_finds_its_schemas_registered_and_registers_none(
    server: RegistryServer, client: ConfluentClient
) -> None:
    with pytest.raises(SchemaNotRegistered) as caught:
        ConfluentRegistry(client, prefix=PREFIX)
    assert "refold schema register" in str(caught.value.hint)
    assert server.subjects == {}


def test_a_reader_needs_none_and_sees_what_is_registered_later(client: ConfluentClient) -> None:
    reader = ConfluentRegistry(client, prefix=PREFIX, read_only=True)
    (registered,) = register_schemas(client, prefix=PREFIX, schemas=[PAUSED])
    assert reader.schema_of(registered.schema_id) == PAUSED
    assert reader.id_of("JobPaused", 1) == registered.schema_id


def test_a_reader_refuses_another_schema_too(server: RegistryServer, client: ConfluentClient) -> None:
    server.answer("POST", f"/subjects/{SUBJECT}/versions", authorization=None, body={"schema": RESUMED.canonical})
    with pytest.raises(SchemaConflict, match="JobPaused version 1"):
        ConfluentRegistry(client, prefix=PREFIX, read_only=True)


def test_what_is_asked_twice_is_asked_of_the_server_once(server: RegistryServer, client: ConfluentClient) -> None:
    register_schemas(client, prefix=PREFIX)
    registry = ConfluentRegistry(client, prefix=PREFIX)
    asked = len(server.asked)
    ids = [registry.id_of(schema.record, schema.version) for schema in released_schemas()]
    assert [registry.schema_of(schema_id) for schema_id in ids] == list(released_schemas())
    assert len(server.asked) == asked


def test_a_corpus_does_not_see_the_subjects_of_another(client: ConfluentClient) -> None:
    (registered,) = register_schemas(client, prefix="refold.archive.", schemas=[PAUSED])
    reader = ConfluentRegistry(client, prefix=PREFIX, read_only=True)
    assert reader.schema_of(registered.schema_id) is None
    with pytest.raises(SchemaNotRegistered):
        reader.id_of("JobPaused", 1)


def test_a_registry_that_is_down_at_the_start_is_said_to_be(server: RegistryServer) -> None:
    server.stop()
    client = ConfluentClient(server.url)
    for start in (ConfluentRegistry, register_schemas):
        with pytest.raises(UnreachableError, match="cannot be reached") as caught:
            start(client, prefix=PREFIX)
        assert "check that the registry runs" in str(caught.value.hint)
    client.close()


def test_while_the_registry_is_away_known_ids_go_on_and_unknown_ones_are_tried_again(
    server: RegistryServer, client: ConfluentClient
) -> None:
    (paused,) = register_schemas(client, prefix=PREFIX, schemas=[PAUSED])
    registry = ConfluentRegistry(client, prefix=PREFIX, schemas=[PAUSED])
    (resumed,) = register_schemas(ConfluentClient(server.url), prefix=PREFIX, schemas=[RESUMED])
    server.stop()
    assert registry.schema_of(paused.schema_id) == PAUSED
    assert registry.id_of("JobPaused", 1) == paused.schema_id
    with pytest.raises(TransientError):
        registry.schema_of(resumed.schema_id)
    with pytest.raises(TransientError):
        registry.id_of("JobResumed", 1)
    server.start()
    assert registry.schema_of(resumed.schema_id) == RESUMED


def test_a_registry_that_is_not_well_says_when_to_come_back(server: RegistryServer, client: ConfluentClient) -> None:
    registry = ConfluentRegistry(client, prefix=PREFIX, read_only=True)
    for status in (429, 500, 503):
        server.answer_instead = (status, {"error_code": 50001, "message": "the store is not ready"})
        with pytest.raises(TransientError, match="the store is not ready"):
            registry.schema_of(7)


def test_a_version_is_not_registered_before_those_below_it(client: ConfluentClient) -> None:
    with pytest.raises(SchemaNotRegistered, match="version 3 would be number 1"):
        register_schemas(client, prefix=PREFIX, schemas=[replace(PAUSED, version=3)])


def test_nothing_is_registered_when_one_schema_is_refused(server: RegistryServer, client: ConfluentClient) -> None:
    register_schemas(client, prefix=PREFIX, schemas=[RESUMED])
    changed = replace(RESUMED, canonical='"null"', fingerprint="00" * 32)
    with pytest.raises(SchemaConflict):
        register_schemas(client, prefix=PREFIX, schemas=[PAUSED, changed])
    assert SUBJECT not in server.subjects


def test_a_user_may_stand_in_the_address_or_beside_it_and_is_never_shown() -> None:
    server = RegistryServer(user="ada", password="p@ss").start()  # noqa: S106 - of a test
    beside = ConfluentClient(server.url, user="ada", password="p@ss")  # noqa: S106 - of a test
    inside = ConfluentClient(server.url.replace("//", "//ada:p%40ss@"))
    for client in (beside, inside):
        assert client.versions("nobody") == []
        assert "p%40ss" not in client.address
    with pytest.raises(UsageError, match="401 Unauthorized") as caught:
        register_schemas(ConfluentClient(server.url, user="ada", password="guess"), prefix=PREFIX)  # noqa: S106
    assert "password" in str(caught.value.hint)
    server.stop()


@pytest.mark.parametrize("answer", [(200, "<html>welcome</html>"), (404, "no such page"), (302, ""), (404, {"a": 1})])
def test_what_is_no_registry_is_said_to_be_none(
    server: RegistryServer, client: ConfluentClient, answer: tuple[int, object]
) -> None:
    server.answer_instead = answer
    with pytest.raises(FatalError, match="no schema registry") as caught:
        ConfluentRegistry(client, prefix=PREFIX)
    assert "ccompat" in str(caught.value.hint)


@pytest.mark.parametrize("url", ["localhost:8081", "ftp://host", "", "http://", "https://host:port"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        ConfluentClient(url)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_of_ones_own_is_trusted_where_its_authority_is_named(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(
        [*make.split(), *subject.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = RegistryServer(tls=tls).start()
    trusting = ConfluentClient(server.url, ca_file=certificate)
    assert len(register_schemas(trusting, prefix=PREFIX)) == len(released_schemas())
    with pytest.raises(UnreachableError, match=r"(?i)certificate"):
        register_schemas(ConfluentClient(server.url), prefix=PREFIX)
    with pytest.raises(UsageError, match="holds no certificates"):
        ConfluentClient(server.url, ca_file=key.with_name("none.pem"))
    server.stop()


def run_register(url: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the answer of the command, in a process of its own."""
    typed = ("schema", "register", "--registry", url, "--prefix", PREFIX, "--json")
    ended = subprocess.run([sys.executable, "-m", "refold", *typed], check=False, capture_output=True, timeout=60)
    return ended.returncode, json.loads(ended.stdout)


def test_the_command_registers_and_ends_with_3_where_no_registry_is(server: RegistryServer) -> None:
    code, answer = run_register(server.url)
    assert code == 0
    assert {(one["record"], one["version"]) for one in answer["schemas"]} == {
        (schema.record, schema.version) for schema in released_schemas()
    }
    server.stop()
    code, answer = run_register(server.url)
    assert code == 3
    assert answer["error"]["hint"].startswith("check that the registry runs")


@pytest.mark.parametrize(
    ("package", "module"),
    [("httpx", "schemas.registries.confluent_client"), ("confluent_kafka", "streams.logs.kafka.log")],
)
def test_without_the_extra_the_command_to_install_it_is_told(package: str, module: str) -> None:
    lines = (
        "import sys",
        f"sys.modules[{package!r}] = None",
        "from schemas.errors import UsageError",
        f"try: import {module}",
        "except UsageError as exc: print(exc.hint)",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout == "pip install 'refold[kafka]'\n"
