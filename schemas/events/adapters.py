"""The events of topic `adapters`, keyed by the adapter's name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.events.meta import Meta


class AdapterState(StrEnum):
    """What an adapter is doing."""

    UNKNOWN = "UNKNOWN"
    IDLE = "IDLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKING_OFF = "BACKING_OFF"
    PAUSED = "PAUSED"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterStateChange:
    """An adapter went from one state to another."""

    meta: Meta
    adapter: str = ""
    old_state: AdapterState = AdapterState.UNKNOWN
    new_state: AdapterState = AdapterState.UNKNOWN
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReported:
    """Something an adapter saw that is worth keeping: an unreadable folder, a symlink loop, a redirect."""

    meta: Meta
    adapter: str = ""
    kind: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRejected:
    """A record in `requests` that is no request; `sha256` is of its bytes."""

    meta: Meta
    topic: str = ""
    partition: int = 0
    offset: int = 0
    sha256: str = ""
    error: str = ""


AdapterEvent = AdapterStateChange | AdapterReported | RequestRejected
