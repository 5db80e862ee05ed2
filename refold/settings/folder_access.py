"""Who may read a data folder, beside the user whose process it is."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

_FOLDER_MODES = {"user": 0o700, "group": 0o770, "all": 0o775}


class FolderAccess(StrEnum):
    """USER: nobody else. GROUP: the folder's group reads, and asks its owner. ALL: and everybody may read."""

    USER = "user"
    GROUP = "group"
    ALL = "all"

    @property
    def folder_mode(self) -> int:
        """Of folders."""
        return _FOLDER_MODES[self.value]

    @property
    def file_mode(self) -> int:
        """Of files."""
        return self.folder_mode & 0o666

    @property
    def socket_mode(self) -> int:
        """Of the socket where the owner answers: all who may write to it command the corpus."""
        return self.folder_mode & 0o660

    def make_folder(self, path: Path) -> None:
        """Make `path` and what is missing above it; at no moment can anyone enter it who may not."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=self.folder_mode)
        except FileExistsError:
            self._settle_for_others(path, self.folder_mode)
        else:
            self._settle(path, self.folder_mode)

    def make_file(self, path: Path) -> Path:
        """`path`, where an empty file is made if there is none; SQLite takes that for a new one of its own."""
        try:
            path.touch(mode=self.file_mode, exist_ok=False)
        except FileExistsError:
            self._settle_for_others(path, self.file_mode)
        else:
            self._settle(path, self.file_mode)
        return path

    @contextlib.contextmanager
    def mask(self) -> Iterator[None]:
        """Within the block every file that this process makes is for the same people; for a process of our own."""
        before = os.umask(0o777 & ~self.folder_mode)
        try:
            yield
        finally:
            os.umask(before)

    def _settle_for_others(self, path: Path, mode: int) -> None:
        """The same for what was there before: what its own user may do, who may have made it read-only, stays."""
        self._settle(path, (path.stat().st_mode & stat.S_IRWXU) | (mode & ~stat.S_IRWXU))

    def _settle(self, path: Path, mode: int) -> None:
        """Give what is there, of whatever umask or release, the mode it has to have, if it is this user's."""
        found = path.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o777 != mode:
            with contextlib.suppress(OSError):  # a file system that keeps no modes: what is there is used as it is
                path.chmod(mode | (stat.S_IMODE(found.st_mode) & ~0o777))
