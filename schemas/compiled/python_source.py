"""Python source in the making."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class PythonSource:
    """Lines of Python, and the names they find around them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._indent = 0
        self._count = 0

    def add(self, *lines: str) -> None:
        """Add `lines` to the block that is open."""
        self.lines.extend("    " * self._indent + line for line in lines)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Open the block under the line `head` until this ends."""
        self.add(head)
        self._indent += 1
        yield
        self._indent -= 1

    def name(self, word: str) -> str:
        """A name that begins with `word` and is not taken yet."""
        self._count += 1
        return f"{word}{self._count}"

    def assign(self, word: str, expression: str) -> str:
        """A new name, to which `expression` is assigned."""
        name = self.name(word)
        self.add(f"{name} = {expression}")
        return name

    def run(self) -> Mapping[str, Any]:
        """All names after the lines have run."""
        # The lines are made of the names in schema files that are part of this package.
        exec("\n".join(self.lines), self.names)  # noqa: S102 - as dataclasses itself does
        return self.names
