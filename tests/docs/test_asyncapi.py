"""The AsyncAPI document is what the code says, whole, and what AsyncAPI allows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import yaml

from refold.asyncapi import CHANNELS, as_yaml, asyncapi
from schemas.avro_files import newest, released_schemas
from schemas.canonical import canonical_form
from schemas.events import TOPICS
from tests.commands.markdown_blocks import ROOT
from tests.servers.run import lacking

PAGE = ROOT / "ops" / "asyncapi.yaml"
KINDS = {kind.__name__: topic for topic, kinds in TOPICS.items() for kind in kinds}


def specification() -> Any:
    """AsyncAPI's own JSON Schema, where it is."""
    folder = Path(os.environ.get("ASYNCAPI_SPECS", Path.home() / ".cache" / "refold-asyncapi-specs"))
    path = folder / "schemas" / "3.0.0.json"
    if not path.exists():
        lacking("asyncapi", "AsyncAPI's JSON Schema is not here; .ci/tools gets it from npm's @asyncapi/specs")
    return json.loads(path.read_text())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_the_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text() == as_yaml(), "run: refold schema asyncapi > ops/asyncapi.yaml"
    assert yaml.safe_load(PAGE.read_text()) == json.loads(json.dumps(asyncapi()))


def test_every_topic_is_a_channel_and_every_event_a_message_of_its_own() -> None:
    document = asyncapi()
    assert list(document["channels"]) == list(TOPICS) == list(CHANNELS)
    assert document["components"]["messages"].keys() == document["components"]["schemas"].keys() == KINDS.keys()
    for topic, channel in document["channels"].items():
        assert list(channel["messages"]) == [kind.__name__ for kind in TOPICS[topic]]
        assert channel["address"] == f"refold.{{corpus}}.{topic}"
        assert channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == -1
    sent = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert sent == {f"#/channels/{topic}" for topic in TOPICS}


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi()
    for reference in set(references(document)):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_payload_is_the_newest_schema_of_its_event() -> None:
    schemas = asyncapi()["components"]["schemas"]
    for record, schema in newest(released_schemas()).items():
        assert canonical_form(schemas[record]["schema"]) == schema.canonical
        fastavro.parse_schema(schemas[record]["schema"])


def test_asyncapi_itself_finds_no_fault_with_it() -> None:
    validator = jsonschema.Draft7Validator(specification())
    assert [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(asyncapi())] == []


def test_asyncapi_itself_would_find_a_fault() -> None:
    broken = asyncapi()
    broken["operations"]["receiveRequests"]["action"] = "subscribe"
    del broken["info"]["title"]
    assert len(list(jsonschema.Draft7Validator(specification()).iter_errors(broken))) == 2
