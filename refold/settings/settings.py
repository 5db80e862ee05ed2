"""Every setting, its default and the reason for it.

Sources, strongest first: the command line, ``REFOLD_*`` environment variables (nested with ``__``, such as
``REFOLD_CHUNKING__SIZE``), a YAML file (``--config FILE`` or ``REFOLD_CONFIG``), the defaults below. Unknown keys and
impossible combinations are refused with a hint.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from refold.settings.cluster import ClusterSettings
from refold.settings.folder_access import FolderAccess
from schemas.errors import UsageError
from streams.slot.retry import BASE_DELAY_S, MAX_ATTEMPTS, MAX_CRASHES, MAX_DELAY_S
from streams.slot.workload import IN_FLIGHT, IN_FLIGHT_BYTES
from streams.stages.fingerprints import (
    CHUNK_OVERLAP,
    CHUNK_SIZE,
    DEFAULT_EMBEDDER,
    MAX_DOCUMENT_BYTES,
    MAX_TEXT_CHARS,
    MEMORY_LIMIT_BYTES,
    MIB,
    TIMEOUT_S,
)

LONGEST_QUERY_S = 10.0
"""How long garbage is kept for queries that may have found it; a query that takes longer runs again."""

LOCK_WAIT_S = 30.0
"""How long a command waits for an owner that is starting or stopping."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSettings(_Section):
    """What folders are searched for."""

    ignore: tuple[str, ...] = Field(default=(), description="Patterns in gitignore syntax, beside .refoldignore files.")
    suffixes: tuple[str, ...] = Field(
        default=(), description="Only files with these suffixes, in any case; empty: all."
    )
    include: tuple[str, ...] = Field(default=(), description="Only files that match one of these globs; empty: all.")
    hidden: bool = Field(default=False, description="Whether files and folders whose name begins with a dot count.")


class ChunkingSettings(_Section):
    """How texts are cut."""

    size: int = Field(default=CHUNK_SIZE, ge=50, le=100_000, description="Characters per chunk, at most.")
    overlap: int = Field(default=CHUNK_OVERLAP, ge=0, description="Characters that neighbouring chunks share.")

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.overlap * 2 > self.size:
            raise ValueError("chunking.overlap must be at most half of chunking.size")
        return self


class LimitSettings(_Section):
    """What a document may cost."""

    document_bytes: int = Field(default=MAX_DOCUMENT_BYTES, ge=1024, description="Larger documents fail as too_large.")
    text_chars: int = Field(default=MAX_TEXT_CHARS, ge=1024, description="Longer texts fail as too_large.")
    parse_timeout_s: float = Field(
        default=TIMEOUT_S, gt=0, description="A document that takes longer fails as parse_timeout."
    )
    memory_bytes: int = Field(
        default=MEMORY_LIMIT_BYTES, ge=256 * MIB, description="Memory a pool process may take for a document."
    )


class PoolSettings(_Section):
    """The processes that parse, chunk and embed."""

    processes: int | None = Field(default=None, ge=1, le=256, description="Pool processes; None: one per core.")
    in_flight: int = Field(default=IN_FLIGHT, ge=1, le=10_000, description="Documents in work at the same time.")
    in_flight_bytes: int = Field(
        default=IN_FLIGHT_BYTES, ge=MIB, description="Bytes of documents in work at the same time."
    )


class RetrySettings(_Section):
    """How transient failures are tried again."""

    max_attempts: int = Field(default=MAX_ATTEMPTS, ge=1, description="Attempts before a transient failure is final.")
    base_delay_s: float = Field(
        default=BASE_DELAY_S, gt=0, description="Upper bound of the first delay; doubles each time."
    )
    max_delay_s: float = Field(default=MAX_DELAY_S, gt=0, description="Upper bound of every delay.")
    max_crashes: int = Field(
        default=MAX_CRASHES, ge=2, description="Crashes of the process before a document is given up as POISON."
    )


class IndexSettings(_Section):
    """The indexes."""

    embedder: str = Field(default=DEFAULT_EMBEDDER, description="Model of the vector index.")
    longest_query_s: float = Field(
        default=LONGEST_QUERY_S, gt=0, description="Superseded chunks stay this long for running queries."
    )


class Settings(BaseSettings):
    """All settings of one process; frozen."""

    model_config = SettingsConfigDict(
        env_prefix="REFOLD_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data: Path = Field(default=Path("refold-data"), description="The data folder: one corpus.")
    engine: Literal["embedded", "cluster"] = Field(default="embedded", description="Which engine runs the pipeline.")
    stage_cache: bool = Field(default=True, description="Whether known stage results are used again.")
    lock_wait_s: float = Field(
        default=LOCK_WAIT_S, ge=0, description="How long to wait for another owner of the folder."
    )
    folder_access: FolderAccess = Field(
        default=FolderAccess.USER, description="Who may read the data folder: user, group or all."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Of the process's own log."
    )
    sources: SourceSettings = SourceSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    limits: LimitSettings = LimitSettings()
    pool: PoolSettings = PoolSettings()
    retries: RetrySettings = RetrySettings()
    indexes: IndexSettings = IndexSettings()
    cluster: ClusterSettings = Field(default_factory=lambda: ClusterSettings.model_validate({}))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of sources, strongest first; pydantic-settings calls this."""
        yaml_file = _config_file.get()
        if yaml_file is None:
            return init_settings, env_settings
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=yaml_file)

    @property
    def fingerprint(self) -> str:
        """SHA-256 hex over what an owner and a forwarded command must agree on."""
        agreed = self.model_dump(mode="json", include=set(AGREED))
        return hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()

    @property
    def agreed(self) -> Mapping[str, Any]:
        """What a forwarded command sends the owner of its settings."""
        return self.model_dump(mode="json", include={*AGREED, *PLANNING})


AGREED = ("engine", "stage_cache", "chunking", "limits", "indexes")
"""Sections in which a forwarded command may not differ from the owner: they decide what versions contain."""

PLANNING = ("sources", "retries")
"""The same for a command that plans: they decide what is asked for, and what is removed, and how often it is tried."""

_config_file: ContextVar[Path | None] = ContextVar("_config_file", default=None)
"""The file of the call of `load_settings` that is under way: pydantic-settings asks the class for its sources."""


def load_settings(overrides: Mapping[str, Any] | None = None, *, config: Path | None = None) -> Settings:
    """The settings of this process: `overrides` (nested dicts), environment, `config` file, defaults.

    Raises:
        UsageError: an unknown key, a value of the wrong kind, an impossible combination, or no such file.
    """
    named = config or (Path(os.environ["REFOLD_CONFIG"]) if os.environ.get("REFOLD_CONFIG") else None)
    if named is not None and not named.is_file():
        raise UsageError(f"there is no settings file {named}", op="load settings", hint="check --config")
    _refuse_unknown_variables()
    in_force = _config_file.set(named)
    try:
        return Settings(**dict(overrides or {}))
    except ValidationError as error:
        raise _told(error) from error
    finally:
        _config_file.reset(in_force)


def _refuse_unknown_variables() -> None:
    known = {f"REFOLD_{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        top = name.partition("__")[0]
        if name.startswith("REFOLD_") and top not in known | OTHER_VARIABLES:
            raise UsageError(f"{name} is no setting", op="load settings", hint="see: refold config show")


OTHER_VARIABLES = {
    "REFOLD_CONFIG",
    "REFOLD_DEV_CACHE",
    "REFOLD_REQUIRE",
    "REFOLD_TEST_SERVERS",
    "REFOLD_MODEL_EXAMPLES",
    "REFOLD_FAULT",
}
"""Environment variables of ours that are no settings: names of a file and a folder, and switches of the tests."""


def _told(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    if first["type"] == "extra_forbidden":
        return UsageError(f"{where} is no setting", op="load settings", hint="see: refold config show")
    return UsageError(f"{where}: {first['msg']}", op="load settings", subject=where, hint="see: refold config show")
