"""Real files for the tests of the folder adapter and the planner."""

import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

LONG_AGO_NS = 1_600_000_000_123_456_789
NOBODY = 65534
T = TypeVar("T")


def write(path: Path, text: str = "some text", *, modified_at_ns: int = LONG_AGO_NS) -> Path:
    """A file old enough to be trusted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(modified_at_ns, modified_at_ns))
    return path


def open_to_all(folder: Path) -> Path:
    """`folder`, so that other users can reach what lies in it."""
    for above in (folder, *folder.parents[:-2]):
        above.chmod(above.stat().st_mode | stat.S_IXOTH)
    folder.chmod(0o755)
    return folder


def open_descriptors() -> int:
    """How many files this process holds open, give or take the same one."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def as_nobody(work: Callable[[], T]) -> T:
    """What `work` answers when a user without privileges does it: permission means nothing to root."""
    if os.getuid() != 0:
        return work()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pickle.loads(pipe.read())  # noqa: S301 - our own child wrote it
    os.waitpid(child, 0)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _answer(work: Callable[[], T], writing: int) -> None:
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            answer = pickle.dumps(work())
        except Exception as exc:  # noqa: BLE001 - it is raised in the parent
            answer = pickle.dumps(AssertionError(f"as nobody: {exc!r}"))
        os.write(writing, answer)
    finally:
        os._exit(0)
