"""The data folder: its layout, its format number, and its one owner.

```text
refold-data/
├── format.json          {"format": 1}: an older format is upgraded, a newer one refused
├── owner.lock           flock'ed by the owner; the pid in it is information
├── control.sock         where the owner answers other commands (or control.path, naming a short folder with it)
├── log.sqlite           the truth: topics, schemas
├── log.end              where the log ended at the last append: tells that the disk has lost events
├── artifacts/           texts, chunks, vectors, pushed contents, by SHA-256
├── views/               manifest, jobs, stage_results (disposable), indexes (bookkeeping of the indexes)
└── indexes/vector|keyword/<generation>/
```
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refold.process import forked
from refold.settings.folder_access import FolderAccess
from schemas.errors import DataFolderDamaged, DataFolderLocked, DataFolderVersion, MachineError, UsageError

FORMAT = 1
"""Raised when the layout changes; each raise comes with an upgrade."""

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where everything of one corpus is kept; opening one creates what is missing."""

    path: Path
    access: FolderAccess = FolderAccess.USER

    @property
    def log(self) -> Path:
        """The log's file."""
        return self.path / "log.sqlite"

    @property
    def log_end(self) -> Path:
        """The file beside the log that says where it ends."""
        return self.log.with_suffix(".end")

    @property
    def artifacts(self) -> Path:
        """The artifact store's folder."""
        return self.path / "artifacts"

    @property
    def views(self) -> Path:
        """The folder of SQL views."""
        return self.path / "views"

    @property
    def indexes(self) -> Path:
        """The folder of index generations."""
        return self.path / "indexes"

    @property
    def lock(self) -> Path:
        """The file whose lock makes the owner."""
        return self.path / "owner.lock"

    def exists(self) -> bool:
        """Whether this is a data folder already."""
        return (self.path / "format.json").is_file()

    def create(self) -> None:
        """Make the folder, or check what is there.

        Raises:
            MachineError: it cannot be made or written.
            UsageError: something else lives there.
            DataFolderVersion: a newer release wrote it.
        """
        try:
            self.access.make_folder(self.path)
            if not self.exists():
                self._refuse_foreign()
                self._write_format()
            for folder in (self.views, self.indexes, self.artifacts):
                self.access.make_folder(folder)
            for file in (self.log, self.log_end, self.path / "format.json"):
                self.access.make_file(file)
        except OSError as error:
            raise folder_error(error, self.path) from error
        self._check_format()

    def _refuse_foreign(self) -> None:
        ours = {"owner.lock"}
        if any(entry.name not in ours for entry in self.path.iterdir()):
            raise MachineError(
                f"{self.path} is not empty and no data folder of refold",
                op="open",
                subject=str(self.path),
                hint="name an empty or new folder with --data",
            )

    def _write_format(self) -> None:
        temporary = self.access.make_file(self.path / "format.json.new")
        temporary.write_text(json.dumps({"format": FORMAT}) + "\n")
        temporary.rename(self.path / "format.json")

    def _check_format(self) -> None:
        try:
            found = json.loads((self.path / "format.json").read_text())["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataFolderDamaged(
                f"{self.path / 'format.json'} does not read", op="open", hint="restore it from a backup of the folder"
            ) from error
        if found > FORMAT:
            raise DataFolderVersion(
                f"{self.path} has format {found}, this release knows {FORMAT}",
                op="open",
                subject=str(self.path),
                hint="upgrade refold: pip install --upgrade refold",
            )


class Ownership:
    """The lock on a data folder: one process owns it at a time."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._fd: int | None = None
        self._process = os.getpid()

    def try_take(self) -> bool:
        """Become the owner now, or return False."""
        try:
            self._folder.access.make_folder(self._folder.path)
            fd = os.open(self._folder.access.make_file(self._folder.lock), os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise folder_error(error, self._folder.path) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            raise folder_error(error, self._folder.path) from error
        self._fd, self._process = fd, os.getpid()
        forked.withhold_folder(self._folder.path)
        with contextlib.suppress(OSError):  # the process id is information only: a full disk can do without
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        return True

    def take(self, wait_s: float, *, stop: threading.Event | None = None) -> None:
        """Become the owner, waiting up to `wait_s`, or until `stop`.

        Raises:
            DataFolderLocked: another process still owns it.
        """
        stop = stop or threading.Event()
        deadline = time.monotonic() + wait_s
        while not self.try_take():
            if stop.wait(_POLL_S) or time.monotonic() >= deadline:
                raise DataFolderLocked(
                    f"{self._folder.path} is owned by process {self.owner_pid()}",
                    op="open",
                    subject=str(self._folder.path),
                    hint="wait for it to end, or give more time with REFOLD_LOCK_WAIT_S",
                )

    def owner_pid(self) -> int | None:
        """The process that says it owns the folder; information only."""
        try:
            return int(self._folder.lock.read_text())
        except (OSError, ValueError):
            return None

    def release(self) -> None:
        """Give the folder up; idempotent. In a forked child there is nothing to give up."""
        fd, self._fd = self._fd, None
        if fd is None or self._process != os.getpid():
            return
        forked.forget_folder(self._folder.path)
        os.ftruncate(fd, 0)
        os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def folder_error(error: OSError, path: Path) -> MachineError | UsageError:
    """What an operating system's refusal means for the data folder."""
    told = os.strerror(error.errno) if error.errno else str(error)
    hints = {
        errno.EROFS: "the file system is read-only; name another folder with --data",
        errno.EACCES: "you may not write there; name another folder with --data",
        errno.EPERM: "you may not write there; name another folder with --data",
        errno.ENOSPC: "the disk is full; free some space",
        errno.EDQUOT: "your quota is used up; free some space",
        errno.ENOTDIR: "a part of the path is a file; name another folder with --data",
        errno.EEXIST: "there is a file of that name; name another folder with --data",
    }
    return MachineError(
        f"{path}: {told}", op="open", subject=str(path), hint=hints.get(error.errno or 0, "see: refold doctor")
    )
