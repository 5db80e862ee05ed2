"""Processes that end by SIGKILL, so that nothing is put in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def process(target: Callable[..., None], *args: object, **options: object) -> Iterator[int]:
    """The id of a process that runs `target`, and is dead, by SIGKILL, when this ends."""
    child = get_context("fork").Process(target=target, args=args, kwargs=options)
    child.start()
    assert child.pid is not None
    try:
        yield child.pid
    finally:
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
