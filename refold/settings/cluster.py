"""The settings of the cluster engine: where the servers are, and what its processes are allowed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer, model_validator

LEASE_S = 10.0
"""A projector that is gone is missed this long; renewing costs one small statement per lease and third of it."""

MASK = "**********"

VARIABLES: Mapping[str, str] = {
    "registry": "SCHEMA_REGISTRY_URL",
    "postgres": "POSTGRES_URL",
    "opensearch": "OPENSEARCH_URL",
    "qdrant": "QDRANT_URL",
}
"""Where an address is taken from that no setting names; `KAFKA_BOOTSTRAP_SERVERS` beside them."""


class ClusterSettings(BaseModel):
    """Servers and roles; used by ``engine: cluster`` only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str = Field(default="default", description="Names the topics, the schemas and the indexes.")
    kafka: Mapping[str, str] = Field(default={}, description="librdkafka's settings, for every client.")
    registry: SecretStr | None = Field(default=None, description="URL of the schema registry.")
    postgres: SecretStr | None = Field(default=None, description="URL of the PostgreSQL database.")
    opensearch: SecretStr | None = Field(default=None, description="URL of OpenSearch.")
    qdrant: str | None = Field(default=None, description="URL of Qdrant.")
    qdrant_api_key: SecretStr | None = Field(default=None, description="If Qdrant asks for one.")
    qdrant_grpc_port: int | None = Field(default=6334, description="Of Qdrant; None: HTTP only.")
    search_timeout_s: float = Field(default=10.0, ge=1, description="For each request of a search to an index server.")
    artifacts: str | None = Field(default=None, description="s3://BUCKET/PREFIX, or a folder that all share.")
    artifacts_endpoint: str | None = Field(default=None, description="Of an S3 storage other than AWS.")
    artifacts_region: str = Field(default="us-east-1", description="The bucket's.")
    shares_paths: bool = Field(default=False, description="Whether workers read files by the planner's paths.")
    allowed_roots: tuple[Path, ...] = Field(default=(), description="Folders whose files workers may read.")
    scratch: Path | None = Field(default=None, description="A folder for temporary tables; None: the system's.")
    lease_s: float = Field(default=LEASE_S, ge=1, le=600, description="How long a projector's lease holds.")
    session_timeout_s: float = Field(default=45.0, ge=6, le=600, description="After which a silent worker is given up.")
    health_host: str = Field(default="127.0.0.1", description="Where workers and projectors show how they are.")
    health_port: int | None = Field(default=None, ge=0, le=65_535, description="The port; None: nowhere.")

    @model_validator(mode="before")
    @classmethod
    def _from_variables(cls, values: Any) -> Any:
        """Addresses that no setting names come from the variables that other tools know, too."""
        if not isinstance(values, Mapping):
            return values
        given = dict(values)
        for name, variable in VARIABLES.items():
            if given.get(name) is None and os.environ.get(variable):
                given[name] = os.environ[variable]
        servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        kafka = given.get("kafka") or {}
        if servers and isinstance(kafka, Mapping) and "bootstrap.servers" not in kafka:
            given["kafka"] = {**kafka, "bootstrap.servers": servers}
        return given

    @field_serializer("kafka")
    def _mask(self, kafka: Mapping[str, str]) -> dict[str, str]:
        """What `refold config show` shows of the client's settings."""
        return {name: MASK if _is_secret(name) else value for name, value in kafka.items()}


def _is_secret(name: str) -> bool:
    return "password" in name or "secret" in name or name.endswith((".key", ".key.pem"))
