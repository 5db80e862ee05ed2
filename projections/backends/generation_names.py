"""What generations and their alias are called on a server, where the names of many pipelines stand side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GenerationNames:
    """The names of the generations of `index` (``vector`` or ``keyword``) of the pipeline called `prefix`."""

    prefix: str
    index: str

    @property
    def alias(self) -> str:
        """By this name other readers find the live generation."""
        return f"{self.prefix}-{self.index}"

    @property
    def pattern(self) -> str:
        """Matches the name of every generation, and more."""
        return f"{self.alias}-g*"

    def of(self, generation: str) -> str:
        """The name of a generation's collection or index."""
        return f"{self.alias}-{generation}"

    def is_other(self, name: str, spared: str | None) -> bool:
        """Whether `name` is that of a generation of this index, and not of the `spared` one."""
        is_generation = re.fullmatch(rf"{re.escape(self.alias)}-g[0-9]+", name) is not None
        return is_generation and (spared is None or name != self.of(spared))

    def is_ours(self, mark: Mapping[str, Any] | None) -> bool:
        """Whether what bears `mark` was made as a generation of this index; by its name alone nothing is dropped."""
        return mark is not None and mark.get("index") == self.index and "generation" in mark
