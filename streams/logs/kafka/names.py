"""What a corpus is called in Kafka."""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.errors import UsageError
from streams.log import SlotNumber

_CORPUS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True)
class KafkaNames:
    """The names of topics, transactional ids and groups of `corpus`.

    A corpus has no dot, so that a rule of access control for the prefix `refold.<corpus>.` covers one corpus.

    Raises:
        UsageError: `corpus` is no word of letters, digits, - and _.
    """

    corpus: str

    def __post_init__(self) -> None:
        if not _CORPUS.fullmatch(self.corpus):
            raise UsageError(
                f"{self.corpus!r} cannot name a corpus in Kafka",
                op="name topics",
                subject=self.corpus,
                hint="use letters, digits, - and _, at most 100",
            )

    def topic(self, topic: str) -> str:
        """The name of `topic` in Kafka."""
        return f"refold.{self.corpus}.{topic}"

    def short(self, name: str | None) -> str:
        """The topic that Kafka calls `name`."""
        return (name or "").removeprefix(f"refold.{self.corpus}.")

    def transactional_id(self, slot: SlotNumber) -> str:
        """Under which the owner of `slot` writes."""
        return f"{self.corpus}-slot-{slot}"

    @property
    def workers(self) -> str:
        """The group of workers, among which Kafka shares out `requests`."""
        return f"refold.{self.corpus}.workers"

    def subscribers(self, group: str) -> str:
        """The group of subscribers that people call `group`."""
        return f"refold.{self.corpus}.subscribers.{group}"

    @property
    def group(self) -> str:
        """The group that readers name; nothing is ever committed for it."""
        return f"refold.{self.corpus}.readers"
