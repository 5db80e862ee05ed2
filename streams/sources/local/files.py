"""Looking at and reading local files, without trusting them to hold still."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from schemas.errors import PoisonError
from schemas.events import Finding
from streams.documents.uris import InvalidUri, path_of
from streams.source import (
    CLOCK_GRAIN_NS,
    Content,
    SourceChanged,
    SourceGone,
    SourceTooLarge,
    SourceUnavailable,
    SourceUnreadable,
)

_SECOND_NS = 1_000_000_000
_READABLE_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
# Non-blocking, so that opening what has become a pipe since it was looked at does not hang.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


class PathNotAllowed(PoisonError):  # noqa: N818 - a state, as in the error tree
    """The file lies outside the folders that may be read here."""


def finding_of(uri: str, seen: os.stat_result, *, now_ns: int) -> tuple[Finding, bool]:
    """What `seen` says of the file at `uri`, and whether a later change could not hide behind the same finding.

    Size and time tell two states apart, with two additions in `validators`. A file that not everybody may read has
    ``changed_at_ns`` (its ctime), so that giving permission makes a new finding. One seen within the grain of a clock
    that counts whole seconds has ``seen_at_ns``, which no later finding equals.
    """
    modified_at_ns = seen.st_mtime_ns
    is_settled = abs(now_ns - modified_at_ns) >= CLOCK_GRAIN_NS
    if is_settled and seen.st_mode & _READABLE_BY_ALL == _READABLE_BY_ALL:
        return Finding(uri=uri, size_bytes=seen.st_size, modified_at_ns=modified_at_ns), True
    validators: dict[str, str] = {}
    if seen.st_mode & _READABLE_BY_ALL != _READABLE_BY_ALL:
        validators["changed_at_ns"] = str(seen.st_ctime_ns)
    if not is_settled and modified_at_ns % _SECOND_NS == 0:
        validators["seen_at_ns"] = str(now_ns)
    finding = Finding(uri=uri, size_bytes=seen.st_size, modified_at_ns=modified_at_ns, validators=validators)
    return finding, is_settled


class Files:
    """Reads the files that findings name. Thread-safe.

    A file that has changed since it was found is read as it is now; only a change while reading is SourceChanged.

    Args:
        clock_ns: Tells a file that is too young to trust.
        allowed_roots: The folders that may be read, with all below them; links are followed first, so that one which
            leads out of them is refused. None allows every path: the findings are this user's own. Where strangers may
            name files this must be given. A hard link to a file elsewhere is a file like any other.
    """

    def __init__(
        self, clock_ns: Callable[[], int] = time.time_ns, *, allowed_roots: Sequence[Path] | None = None
    ) -> None:
        self._clock_ns = clock_ns
        self._roots = None if allowed_roots is None else tuple(map(_real, allowed_roots))

    def read(self, finding: Finding, *, limit_bytes: int | None = None) -> Content:
        """The whole file; it has to fit into memory.

        Raises:
            PathNotAllowed: it lies outside the allowed roots, whether it is there or not; the rest is the port's.
        """
        file = _OpenFile(finding.uri, self._roots)
        try:
            size_bytes = file.opened.st_size
            if limit_bytes is not None and size_bytes > limit_bytes:
                raise SourceTooLarge(
                    f"the file has {size_bytes} bytes, more than the {limit_bytes} that may be read",
                    op="read file",
                    subject=finding.uri,
                )
            data = file.read(size_bytes + 1)  # one more than there should be
            file.check_unchanged(len(data))
        finally:
            file.close()
        return Content(data, finding_of(finding.uri, file.opened, now_ns=self._clock_ns())[0])


class _OpenFile:
    """A regular file, open."""

    def __init__(self, uri: str, roots: Sequence[Path] | None) -> None:
        self._uri = uri
        self._roots = roots
        try:
            path = path_of(uri)
            self._check_allowed(path)  # before looking: whether a forbidden file is there is nobody's business
            self._refuse_special(os.lstat(path))  # before opening: to open a device may already do something
            self._fd = os.open(path, _OPEN_FLAGS)
        except InvalidUri as exc:
            raise SourceUnreadable(str(exc), op="read file", subject=uri) from exc
        except OSError as exc:
            raise self._source_error(exc) from exc
        try:
            self.opened = os.fstat(self._fd)
            self._refuse_special(self.opened)
            self._check_opened(path)
        except BaseException:
            self.close()
            raise

    def read(self, size_bytes: int) -> bytes:
        """Up to `size_bytes` more; fewer only at the end."""
        pieces: list[bytes] = []
        while size_bytes > 0 and (piece := self._read_once(size_bytes)):
            pieces.append(piece)
            size_bytes -= len(piece)
        return b"".join(pieces)

    def check_unchanged(self, read_bytes: int) -> None:
        """Raise SourceChanged unless all of the file was read, and it looks as it did when it was opened."""
        now = os.fstat(self._fd)
        before = (self.opened.st_size, self.opened.st_mtime_ns)
        if read_bytes != before[0] or (now.st_size, now.st_mtime_ns) != before:
            raise SourceChanged("the file changed while it was being read", op="read file", subject=self._uri)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _read_once(self, size_bytes: int) -> bytes:
        try:
            return os.read(self._fd, size_bytes)
        except OSError as exc:
            raise self._source_error(exc) from exc

    def _check_allowed(self, path: Path) -> Path:
        """The real path of `path`, if it may be read."""
        real = path if self._roots is None else _real(path)
        if self._roots is not None and not any(real.is_relative_to(root) for root in self._roots):
            raise PathNotAllowed(
                op="read file",
                subject=self._uri,
                hint="add its folder to the roots that the workers may read, or push the content",
            )
        return real

    def _check_opened(self, path: Path) -> None:
        """Look again, by what is open now: a folder on the way may have become a link since."""
        if self._roots is None:
            return
        try:
            is_same = os.path.samestat(self._check_allowed(path).stat(), self.opened)
        except OSError as exc:
            raise self._source_error(exc) from exc
        if not is_same:
            raise SourceChanged("another file has taken the file's place", op="read file", subject=self._uri)

    def _refuse_special(self, seen: os.stat_result) -> None:
        if stat.S_ISLNK(seen.st_mode):
            raise SourceGone("a symbolic link has taken the file's place", op="read file", subject=self._uri)
        if not stat.S_ISREG(seen.st_mode):
            raise SourceUnreadable("this is no regular file", op="read file", subject=self._uri)

    def _source_error(self, exc: OSError) -> SourceGone | SourceUnreadable | SourceUnavailable:
        match exc:
            case FileNotFoundError() | NotADirectoryError():
                return SourceGone("the file is no longer there", op="read file", subject=self._uri)
            case PermissionError():
                return SourceUnreadable(
                    "permission to read the file is denied",
                    op="read file",
                    subject=self._uri,
                    hint="give read permission to the user who runs refold, and ingest again",
                )
            case _:
                reason = exc.strerror or str(exc)
                return SourceUnavailable(f"the file cannot be read now: {reason}", op="read file", subject=self._uri)


def _real(path: Path) -> Path:
    """`path` without links; what is not there stays as it is written."""
    return Path(os.path.realpath(path))
