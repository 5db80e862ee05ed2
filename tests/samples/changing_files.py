"""Files that change while they are read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def while_read(monkeypatch: pytest.MonkeyPatch, path: Path, act: Callable[[], object]) -> None:
    """Have `act` done once, between the first read of the file at `path` and the next."""
    file, read, done = path.stat(), os.read, list[bool]()

    def read_and_act(descriptor: int, size_bytes: int) -> bytes:
        piece = read(descriptor, size_bytes)
        if not done and os.path.samestat(os.fstat(descriptor), file):
            done.append(True)
            act()
        return piece

    monkeypatch.setattr(os, "read", read_and_act)
