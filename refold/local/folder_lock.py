"""One command at a time changes the servers of a folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from refold.process import forked
from schemas.errors import MachineError

LOCK: Final = ".lock"


@contextlib.contextmanager
def locked(folder: Path, *, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold `folder`, made if it is not there, until the block is left; then it goes again if it is empty.

    Waits for its holder, after a call of `on_wait`. A holder that is killed holds it no more; the servers that it
    has started do not inherit the lock.

    Raises:
        MachineError: `folder` is a file.
    """
    descriptor = _acquired(folder, on_wait)
    forked.withhold(descriptor)
    try:
        yield
    finally:
        (folder / LOCK).unlink(
            missing_ok=True
        )  # those who wait for this very file see that it is gone, and make another
        with contextlib.suppress(OSError):  # it holds servers, or what is not ours
            folder.rmdir()
        forked.forget(descriptor)
        os.close(descriptor)


def _acquired(folder: Path, on_wait: Callable[[], object]) -> int:
    while True:
        descriptor = _opened(folder)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_current(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(folder: Path) -> int:
    while True:
        with contextlib.suppress(FileNotFoundError, FileExistsError):  # its last holder has just deleted the folder
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(FileNotFoundError):  # asked once: between two questions it may come and go
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise MachineError(f"{folder} is no folder", op="dev", hint="name another one with --dir")


def _is_current(folder: Path, descriptor: int) -> bool:
    try:
        named = (folder / LOCK).stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
