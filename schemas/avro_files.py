"""The Avro schemas of this release, read from `schemas/avro/`: one file ``<record>.v<version>.avsc`` per version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from schemas.canonical import canonical_form, fingerprint_of
from schemas.errors import FatalError
from schemas.registry import WriterSchema

AVRO_FOLDER = Path(__file__).parent / "avro"
NAMESPACE = "refold.events"
_FILE_NAME = re.compile(r"([a-z0-9_]+)\.v([1-9][0-9]*)\.avsc")


class SchemaFileBroken(FatalError):  # noqa: N818 - a state, as in the error tree
    """A schema file is not what its name says."""


@cache
def released_schemas() -> tuple[WriterSchema, ...]:
    """Every version of every record that this release ships."""
    return tuple(read_schema(path) for path in sorted(AVRO_FOLDER.glob("*.avsc")))


def newest(schemas: Iterable[WriterSchema]) -> dict[str, WriterSchema]:
    """The highest version of each record."""
    return {schema.record: schema for schema in sorted(schemas, key=lambda schema: schema.version)}


def read_schema(path: Path) -> WriterSchema:
    """The schema in the file at `path`.

    Raises:
        SchemaFileBroken: it is no JSON, no record, or the record of another file name.
    """
    matched = _FILE_NAME.fullmatch(path.name)
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
        record, namespace = schema["name"], schema["namespace"]
        canonical = canonical_form(schema)
    except (ValueError, KeyError, TypeError) as exc:
        raise SchemaFileBroken(f"{path.name} holds no Avro record: {exc}", op="read schema", subject=str(path)) from exc
    if matched is None or namespace != NAMESPACE or matched[1] != file_stem(record):
        raise SchemaFileBroken(
            f"{path.name} holds the record {namespace}.{record}",
            op="read schema",
            subject=str(path),
            hint=f"name it {file_stem(record)}.v1.avsc, with the namespace {NAMESPACE}",
        )
    return WriterSchema(record, int(matched[2]), canonical, fingerprint_of(canonical))


def file_stem(record: str) -> str:
    """How the files of `record` begin: DocumentQueued gives document_queued."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record).lower()
