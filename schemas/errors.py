"""The errors of refold.

```text
RefoldError                    op, subject, position, hint
├── TransientError             try again: retry_after_s may say when
├── PoisonError                this document, event or item will never pass: set it aside
└── FatalError                 stop: going on would break a promise
    ├── UsageError             what was asked cannot be (exit code 2)
    ├── UnreachableError       a server cannot be reached (exit code 3)
    └── MachineError           this machine or folder: disk, lock, damage, version (exit code 4)
        ├── DataFolderLocked   another process owns the folder
        ├── DataFolderDamaged  what is stored does not read back
        ├── DataFolderVersion  written by a newer release
        └── DiskFull           no space, or a quota is reached
```

A port's own errors stand beside the port and derive from these (`streams/log.py`: Fenced, UnknownOutcome, …).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RefoldError(Exception):
    """Something refold cannot do.

    Args:
        message: One sentence; the class's own docstring line when empty.
        op: What was being done, such as ``append``.
        subject: What it was done to: a path, a uri, a topic.
        position: The log position it happened at, in its compact string form.
        hint: What to do next, if possible as a command.
        retry_after_s: Of a TransientError: when to try again, if that is known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        op: str | None = None,
        subject: str | None = None,
        position: str | None = None,
        hint: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message or (type(self).__doc__ or "").splitlines()[0])
        self.op = op
        self.subject = subject
        self.position = position
        self.hint = hint
        self.retry_after_s = retry_after_s


class TransientError(RefoldError):
    """It may pass if tried again."""


class PoisonError(RefoldError):
    """It will never pass, however often it is tried."""


class FatalError(RefoldError):
    """Going on would break a promise."""


class UsageError(FatalError):
    """What was asked cannot be done as asked."""


class UnreachableError(FatalError):
    """A server cannot be reached."""


class MachineError(FatalError):
    """This machine or folder does not allow it."""


class DataFolderLocked(MachineError):  # noqa: N818 - the error tree names states, not suffixes
    """Another process owns the data folder."""


class DataFolderDamaged(MachineError):  # noqa: N818 - as above
    """What the data folder holds does not read back."""


class DataFolderVersion(MachineError):  # noqa: N818 - as above
    """The data folder was written by a newer release."""


class DiskFull(MachineError):  # noqa: N818 - as above
    """There is no space left to write to."""


@contextmanager
def reached_at_start() -> Iterator[None]:
    """Turns TransientError into UnreachableError (exit code 3).

    At start-up nothing is running yet and a person is watching, so failing beats retrying.
    """
    try:
        yield
    except TransientError as exc:
        raise UnreachableError(str(exc), op=exc.op, subject=exc.subject, hint=exc.hint) from exc
