"""The topics of a corpus and their events as an AsyncAPI 3.0 document, made from what the code itself goes by.

`ops/asyncapi.yaml` is what `as_yaml` gives; a test compares. It describes refold as the application: it receives
requests, and sends everything else.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import yaml

from schemas.avro_files import AVRO_FOLDER, NAMESPACE, file_stem, newest, released_schemas
from schemas.events import TOPICS
from streams.documents.request_contract import MAX_CONTENT_BYTES
from streams.logs.topic_plan import TopicPlan, load_topics

AVRO_FORMAT: Final = "application/vnd.apache.avro;version=1.9.0"
KAFKA_BINDING: Final = "0.5.0"

HEAD: Final = "# Written by `refold schema asyncapi > ops/asyncapi.yaml`: change the code it is made from instead.\n"

_UUID: Final = {"type": "string", "format": "uuid"}
_INTEGERS: Final = frozenset({"retention.ms", "retention.bytes", "max.message.bytes"})
"""What AsyncAPI's Kafka binding wants as numbers; Kafka itself, and so `topics.yaml`, keeps texts."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What no schema says of a topic: what its key is, and who writes it."""

    key: str
    key_schema: Mapping[str, str]
    writers: str
    summary: str


CHANNELS: Final[Mapping[str, Channel]] = {
    "requests": Channel(
        "document_id",
        _UUID,
        "anyone: planners, producers in any language; a slot's owner sends on what stands in the wrong partition",
        "What is asked for. ops/producers.md is the contract.",
    ),
    "documents": Channel(
        "document_id",
        _UUID,
        "the owner of the slot, which is the partition, only",
        "What became of each document. A request that was taken has exactly one final answer here.",
    ),
    "jobs": Channel(
        "job_id",
        {"type": "string"},
        "planners, the keeper of the jobs view, people",
        "Calls to ingest, and how far they are.",
    ),
    "adapters": Channel(
        "the adapter's name; `requests` for RequestRejected",
        {"type": "string"},
        "planners; the owner of a slot for RequestRejected",
        "What sources did, and which records in requests were none.",
    ),
    "operations": Channel(
        "the index or the operation",
        {"type": "string"},
        "whoever verifies, rebuilds, repairs, backs up",
        "What was done to indexes and to the whole corpus.",
    ),
}


def asyncapi() -> dict[str, Any]:
    """The document, as JSON would hold it."""
    plans = load_topics()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "refold: the events of a corpus",
            "version": version("refold"),
            "description": " ".join(_DESCRIPTION.split()),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "avro/binary",
        "channels": {topic: _channel(topic, plans[topic]) for topic in TOPICS},
        "operations": _operations(),
        "components": {
            "messages": {kind.__name__: _message(topic, kind) for topic, kinds in TOPICS.items() for kind in kinds},
            "schemas": {
                kind.__name__: {"schemaFormat": AVRO_FORMAT, "schema": _avro(kind.__name__)}
                for kinds in TOPICS.values()
                for kind in kinds
            },
        },
    }


def as_yaml() -> str:
    """The document as YAML."""
    text = yaml.dump(asyncapi(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=118)
    return HEAD + str(text)


_DESCRIPTION = f"""\
Every record is one event: 0x00, the id of its schema as 4 bytes big-endian, and the Avro body (Confluent framing).
The registry's subjects are `<topic>-{NAMESPACE}.<record>` (TopicRecordNameStrategy), FULL_TRANSITIVE; producers
register nothing. Keys are UTF-8 text and choose the partition by murmur2, as Kafka's own Java client does; librdkafka
needs partitioner=murmur2_random. Content of at most {MAX_CONTENT_BYTES} bytes may travel within a request. Readers read
committed records only. Within a partition records keep their order, between partitions and topics they have none.
"""


class _Plain(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, data: object) -> bool:
        """Always."""
        del data
        return True


def _channel(topic: str, plan: TopicPlan) -> dict[str, Any]:
    channel = CHANNELS[topic]
    return {
        "address": f"refold.{{corpus}}.{topic}",
        "title": topic,
        "summary": channel.summary,
        "description": f"Key: {channel.key}. Written by: {channel.writers}. {plan.why}",
        "parameters": {"corpus": {"description": "The name of the corpus: letters, digits, - and _."}},
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in TOPICS[topic]},
        "bindings": {
            "kafka": {
                "partitions": plan.partitions,
                "replicas": plan.replication_factor,
                "topicConfiguration": {name: _configured(name, value) for name, value in plan.config.items()},
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _configured(name: str, value: str) -> int | str | list[str]:
    if name == "cleanup.policy":
        return value.split(",")
    return int(value) if name in _INTEGERS else value


def _message(topic: str, kind: type) -> dict[str, Any]:
    name = kind.__name__
    return {
        "name": name,
        "title": name,
        "summary": _first_paragraph(kind),
        "headers": {
            "type": "object",
            "properties": {
                "kind": {
                    "type": "string",
                    "const": name,
                    "description": "For tools that do not decode; no reader needs it.",
                },
                "traceparent": {"type": "string", "description": "W3C trace context, where there is one."},
            },
        },
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {
            "kafka": {
                "key": {**CHANNELS[topic].key_schema, "description": CHANNELS[topic].key},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "4",
                "schemaLookupStrategy": "TopicRecordNameStrategy",
                "bindingVersion": KAFKA_BINDING,
            }
        },
        "x-subject": f"refold.{{corpus}}.{topic}-{NAMESPACE}.{name}",
    }


def _operations() -> dict[str, Any]:
    receives = {
        "receiveRequests": _operation(
            "receive",
            "requests",
            "A worker takes requests in. Producers send here; what they get back is sendDocuments and sendAdapters.",
            group="{corpus}-workers",
        )
    }
    sends = {
        f"send{topic.capitalize()}": _operation("send", topic, f"Written by: {channel.writers}. Consumers read here.")
        for topic, channel in CHANNELS.items()
    }
    return receives | sends


def _operation(action: str, topic: str, summary: str, *, group: str | None = None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{kind.__name__}"} for kind in TOPICS[topic]],
    }
    if group is not None:
        group_id = {"type": "string", "description": group}
        operation["bindings"] = {"kafka": {"groupId": group_id, "bindingVersion": KAFKA_BINDING}}
    return operation


def _avro(record: str) -> Any:
    """The newest schema of `record`, as its file has it."""
    schema = newest(released_schemas())[record]
    return json.loads((AVRO_FOLDER / f"{file_stem(record)}.v{schema.version}.avsc").read_text(encoding="utf-8"))


def _first_paragraph(kind: type) -> str:
    lines: Sequence[str] = (inspect.getdoc(kind) or "").partition("\n\n")[0].splitlines()
    return " ".join(lines)
