"""The schema registry of a cluster: a server that knows subjects, one per topic and record."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from schemas.avro_files import NAMESPACE, released_schemas
from schemas.canonical import canonical_form, fingerprint_of
from schemas.errors import FatalError, reached_at_start
from schemas.events import TOPICS
from schemas.registries.confluent_client import COMPATIBILITY, ConfluentClient
from schemas.registry import SchemaConflict, SchemaNotRegistered, WriterSchema, require_same

LARGEST_ID = 2**31 - 1
"""Such registries count in signed 32 bits, from 1."""

REGISTER_HINT = "refold schema register, with the release that is going to write"

_TOPIC_OF = {kind.__name__: topic for topic, kinds in TOPICS.items() for kind in kinds}


class ConfluentRegistry:
    """The subjects of one corpus in a registry.

    It registers nothing: that is a step of its own when a release is rolled out (`register_schemas`). What it has
    learnt it keeps, so that it goes on while the registry is away; an id it has not seen is then a TransientError.

    Args:
        client: Of the registry; closed with this.
        prefix: Of the corpus's topics, such as ``refold.library.``.
        read_only: Does not need this release's schemas to be registered.
        schemas: Of this release.

    Raises:
        SchemaConflict: the registry holds another schema under a record and version of `schemas`.
        SchemaNotRegistered: it does not hold one of `schemas`, and is to be written with.
        UnreachableError: it cannot be reached now, at the start.
    """

    def __init__(
        self,
        client: ConfluentClient,
        *,
        prefix: str,
        read_only: bool = False,
        schemas: Sequence[WriterSchema] | None = None,
    ) -> None:
        self._client = client
        self._subjects = Subjects(prefix)
        own = released_schemas() if schemas is None else schemas
        self._own = {(schema.record, schema.version): schema for schema in own}
        self._lock = Lock()
        self._by_id: dict[int, WriterSchema] = {}
        self._ids: dict[tuple[str, int], int] = {}
        with reached_at_start():
            missing = [schema for schema in own if self._look_up(schema.record, schema.version) is None]
        if missing and not read_only:
            raise self._not_registered(missing[0].record, missing[0].version)

    def id_of(self, record: str, version: int) -> int:
        """The id of that schema."""
        known = self._look_up(record, version)
        if known is None:
            raise self._not_registered(record, version)
        return known

    def schema_of(self, schema_id: int) -> WriterSchema | None:
        """The schema of that id, or None where no subject of this corpus has it."""
        known = self._by_id.get(schema_id)
        if known is not None or not 0 < schema_id <= LARGEST_ID:
            return known
        for subject, version in self._client.places_of(schema_id):
            record = self._subjects.record_of(subject)
            text = self._client.text_of(schema_id) if record is not None else None
            if record is not None and text is not None:
                return self._keep(schema_id, _schema(record, version, text, client=self._client))
        return None

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        self._client.close()

    def _look_up(self, record: str, version: int) -> int | None:
        known = self._ids.get((record, version))
        subject = self._subjects.of(record)
        if known is not None or subject is None:
            return known
        held = self._client.version(subject, version)
        if held is None:
            return None
        self._keep(held.schema_id, _schema(record, version, held.text, client=self._client))
        return held.schema_id

    def _keep(self, schema_id: int, schema: WriterSchema) -> WriterSchema:
        own = self._own.get((schema.record, schema.version))
        if own is not None:
            _require_same(own, schema, self._client)
        with self._lock:
            self._by_id[schema_id] = schema
            self._ids[schema.record, schema.version] = schema_id
        return schema

    def _not_registered(self, record: str, version: int) -> SchemaNotRegistered:
        return SchemaNotRegistered(
            f"{record} version {version} is not registered at {self._client.address}",
            op="look up schema",
            subject=self._subjects.of(record) or record,
            hint=REGISTER_HINT,
        )


class Subjects:
    """How a registry names the records of a corpus: ``<topic>-<full name>``, so that each evolves by itself."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._pattern = re.compile(rf"{re.escape(prefix)}[a-z]+-{re.escape(NAMESPACE)}\.(\w+)")

    def of(self, record: str) -> str | None:
        """The subject of `record`; None if this release knows no topic for it."""
        topic = _TOPIC_OF.get(record)
        return f"{self._prefix}{topic}-{NAMESPACE}.{record}" if topic is not None else None

    def record_of(self, subject: str) -> str | None:
        """The record of a subject of this corpus, also of a later release; None for another's subject."""
        found = self._pattern.fullmatch(subject)
        return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Registration:
    """What has become of one schema; `is_new` if it was not there before."""

    schema: WriterSchema
    subject: str
    schema_id: int
    is_new: bool


def register_schemas(
    client: ConfluentClient, *, prefix: str, schemas: Sequence[WriterSchema] | None = None
) -> list[Registration]:
    """Register what is not yet, and set FULL_TRANSITIVE for every subject; doing it again changes nothing.

    All that is there is compared before anything is registered. What is registered stands under the same version as
    here.

    Raises:
        SchemaConflict: another schema stands under a record and version, or a new one is not compatible.
        SchemaNotRegistered: a version in between is missing in the registry, so that the numbers would differ.
        FatalError: the registry does not take the rule.
        UnreachableError: it cannot be reached.
    """
    subjects = Subjects(prefix)
    own = sorted(released_schemas() if schemas is None else schemas, key=lambda one: (one.record, one.version))
    with reached_at_start():
        known = [_held(client, schema, _subject_of(subjects, schema)) for schema in own]
        for subject in dict.fromkeys(_subject_of(subjects, schema) for schema in own):
            _require_rule(client, subject)
        return [
            Registration(schema, subject, _registered(client, schema, subject) if held is None else held, held is None)
            for schema, held in zip(own, known, strict=True)
            for subject in [_subject_of(subjects, schema)]
        ]


def _require_same(own: WriterSchema, held: WriterSchema, client: ConfluentClient) -> None:
    hint = "use the release that registered it, or install an unmodified refold"
    require_same(own, held, where=f"at {client.address}", hint=hint)


def _subject_of(subjects: Subjects, schema: WriterSchema) -> str:
    subject = subjects.of(schema.record)
    if subject is None:
        raise SchemaNotRegistered(f"{schema.record} is of no topic", op="register schema", subject=schema.record)
    return subject


def _held(client: ConfluentClient, schema: WriterSchema, subject: str) -> int | None:
    held = client.version(subject, schema.version)
    if held is None:
        return None
    _require_same(schema, _schema(schema.record, schema.version, held.text, client=client), client)
    return held.schema_id


def _registered(client: ConfluentClient, schema: WriterSchema, subject: str) -> int:
    last = max(client.versions(subject), default=0)
    if last < schema.version - 1:
        raise SchemaNotRegistered(
            f"{schema.record} version {schema.version} would be number {last + 1} at {client.address}",
            op="register schema",
            subject=subject,
            hint="register the versions before it first, with the release that has them",
        )
    client.register(subject, schema.canonical)
    schema_id = _held(client, schema, subject)
    if schema_id is None:
        raise SchemaConflict(
            f"{schema.record} version {schema.version} was stored as another version at {client.address}",
            op="register schema",
            subject=subject,
            hint="versions were deleted in the registry: restore them, or choose another topic prefix",
        )
    return schema_id


def _require_rule(client: ConfluentClient, subject: str) -> None:
    if client.compatibility(subject) == COMPATIBILITY:
        return
    client.set_compatibility(subject)
    level = client.compatibility(subject)
    if level != COMPATIBILITY:
        raise FatalError(
            f"{client.address} keeps {level} for {subject}",
            op="register schema",
            subject=subject,
            hint=f"let the user set compatibility, or set {COMPATIBILITY} for the subject",
        )


def _schema(record: str, version: int, text: str, *, client: ConfluentClient) -> WriterSchema:
    try:
        canonical = canonical_form(json.loads(text))
    except (ValueError, KeyError, TypeError) as exc:
        raise SchemaConflict(
            f"{record} version {version} at {client.address} is no Avro schema: {exc}",
            op="compare schemas",
            subject=record,
            hint="something else writes to the subjects of this corpus: choose another topic prefix",
        ) from exc
    return WriterSchema(record, version, canonical, fingerprint_of(canonical))
