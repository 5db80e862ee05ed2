"""What a forked child must not keep, because it would be held as long as the child lives.

A lock of flock(2) belongs to the open file that parent and child share: the owner's, and those that index libraries
keep on their folders. A connection ends when the last descriptor of it is closed. O_CLOEXEC concerns programs that are
executed, not children of os.fork and of multiprocessing's ``fork``.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_DESCRIPTORS = Path("/dev/fd")
_PATH_BYTES = 1024  # MAXPATHLEN of macOS, which F_GETPATH wants

_sockets: set[int] = set()
_folders: Counter[str] = Counter()


def withhold(descriptor: int) -> None:
    """Let children that are forked from now on find `descriptor` leading nowhere."""
    _sockets.add(descriptor)


def forget(descriptor: int) -> None:
    """`descriptor` is about to be closed; idempotent."""
    _sockets.discard(descriptor)


def withhold_folder(folder: Path) -> None:
    """The same for every descriptor of a file below `folder`, no matter what opened it."""
    _folders[str(folder.resolve())] += 1


def forget_folder(folder: Path) -> None:
    """Nothing below `folder` is open any more."""
    _folders[str(folder.resolve())] -= 1


def _let_go() -> None:
    """In a child: replaced, not closed, because the object that holds the number will close it once more."""
    withheld = {*_sockets, *_below([name for name, count in _folders.items() if count > 0])}
    _sockets.clear()
    _folders.clear()
    if withheld:
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for descriptor in withheld:
            os.dup2(nowhere, descriptor, inheritable=False)
        os.close(nowhere)


def _below(folders: list[str]) -> Iterator[int]:
    roots = tuple(f"{folder}/" for folder in folders)
    for descriptor in [int(entry.name) for entry in _DESCRIPTORS.iterdir()] if roots else ():
        with suppress(OSError):  # the listing's own descriptor is closed by now
            if _path_of(descriptor).startswith(roots):
                yield descriptor


def _path_of(descriptor: int) -> str:
    if hasattr(fcntl, "F_GETPATH"):
        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(_PATH_BYTES)).rstrip(b"\0"))
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


os.register_at_fork(after_in_child=_let_go)
