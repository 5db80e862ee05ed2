"""The port for how far groups of subscribers have come: a file of the data folder, or Kafka's own groups."""

from __future__ import annotations

from typing import Protocol

from schemas.positions import Position


class GroupPositions(Protocol):
    """Durable positions in one log, by the name of a group. Thread-safe."""

    def get(self, group: str) -> Position | None:
        """How far `group` has come; None for one that has never handled anything."""

    def put(self, group: str, position: Position) -> None:
        """`group` has handled everything before `position`; durable when this returns."""

    def close(self) -> None:
        """Let go of what is open; idempotent."""
