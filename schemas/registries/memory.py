"""The schema registry of one process: the reference, and what tests use."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.avro_files import released_schemas
from schemas.registry import SchemaNotRegistered, WriterSchema, require_same


class MemoryRegistry:
    """A registry that forgets; ids count from 1 in the order of registration."""

    def __init__(self, schemas: Sequence[WriterSchema] | None = None) -> None:
        self._by_id: dict[int, WriterSchema] = {}
        self._ids: dict[tuple[str, int], int] = {}
        for schema in released_schemas() if schemas is None else schemas:
            self.register(schema)

    def register(self, schema: WriterSchema) -> int:
        """The id of `schema`, which is registered if it is not yet.

        Raises:
            SchemaConflict: its record and version stand for another schema.
        """
        known = self._ids.get((schema.record, schema.version))
        if known is None:
            known = len(self._by_id) + 1
            self._ids[schema.record, schema.version] = known
            self._by_id[known] = schema
        else:
            hint = "a released schema never changes: put the change into a new version"
            require_same(schema, self._by_id[known], where="here", hint=hint)
        return known

    def id_of(self, record: str, version: int) -> int:
        """The id of that schema."""
        known = self._ids.get((record, version))
        if known is None:
            raise SchemaNotRegistered(
                f"{record} version {version} is not registered", op="look up schema", subject=record
            )
        return known

    def schema_of(self, schema_id: int) -> WriterSchema | None:
        """The schema of that id, or None."""
        return self._by_id.get(schema_id)
