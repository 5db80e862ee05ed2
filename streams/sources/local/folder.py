"""The adapter of local files: a folder, a single file, or a glob pattern."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote_to_bytes

from schemas.errors import UsageError
from streams.documents.uris import InvalidUri, file_uri, folder_file_uri, path_of
from streams.source import Found, Unreadable
from streams.sources.local.files import finding_of
from streams.sources.local.patterns import BadPattern, GlobPattern, IgnoreRules, Selection, has_magic, split_magic
from streams.sources.local.walk import Folder, FolderWalk


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """What of a folder is taken; a file named by itself is taken whatever these say.

    Attributes:
        suffixes: Only files that end in one of these, compared without case; empty takes all.
        include: Only files that match one of these patterns (gitignore's syntax); empty takes all.
        ignore: Leave out what matches these patterns; a `.refoldignore` may bring it back.
        shows_hidden: Take names that begin with a dot, too.
        name: Name documents ``folder:NAME/relative/path`` instead of by their real path, for a root that moves.
        never_enter: Folders that are not looked into wherever they lie: the data folder.
    """

    suffixes: Sequence[str] = ()
    include: Sequence[str] = ()
    ignore: Sequence[str] = ()
    shows_hidden: bool = False
    name: str | None = None
    never_enter: Sequence[str] = ()

    def as_parameters(self) -> Mapping[str, str]:
        """These options as JobSubmitted keeps them, so that a job can be planned again."""
        return {"folder": json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """The options that `as_parameters` wrote."""
        kept: dict[str, Any] = json.loads(parameters.get("folder", "{}"))
        options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in kept.items()}
        return cls(**options)


class FolderAdapter:
    """Connects a folder, a single file or a glob pattern such as ``docs/**/*.md``; `Files` reads what it finds.

    What a pattern describes is files; patterns compare case, and ``**`` stands for any number of folders. Where the
    source is a symbolic link, its real path is meant. `source_root` names the source in every request, and removals are
    told per source: a folder's uri (ends in a slash), a file's own uri, or the uri of the pattern's folder followed by
    the pattern. With `FolderOptions.name` these are ``folder:`` uris.

    Raises:
        UsageError: the source does not exist, is neither file nor folder, or an option is no pattern.
    """

    name: str = "folder"

    def __init__(
        self, source: str, options: FolderOptions | None = None, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._options = options or FolderOptions()
        self._clock_ns = clock_ns
        path, self._glob = _located(source)
        self._path = _real_path(path)
        self._is_folder = self._looks_like_folder(path)
        self._rules, self._selection = self._patterns()

    @property
    def source_root(self) -> str:
        """What names the source in requests: see above."""
        name = self._options.name
        if name is None:
            return self.source_uri
        if not self._is_folder:
            return folder_file_uri(name, Path(self._path).name)
        return folder_file_uri(name, "") + ("" if self._glob is None else self._glob.uri_text)

    @property
    def source_uri(self) -> str:
        """Where the source is, as a uri that makes this adapter again from anywhere on this machine."""
        if not self._is_folder:
            return file_uri(self._path)
        return file_uri(self._path.rstrip("/") + "/") + ("" if self._glob is None else self._glob.uri_text)

    @property
    def place(self) -> str:
        """The folder as its documents' uris begin with it, or the file's own uri; see the port."""
        name = self._options.name
        if not self._is_folder:
            return self.source_root
        return file_uri(self._path.rstrip("/") + "/") if name is None else folder_file_uri(name, "")

    def covers(self, uri: str) -> bool:
        """Whether `uri` is the file's, or lies in the folder and matches the pattern; see the port."""
        if not self._is_folder:
            return uri == self.source_root
        is_below = uri.startswith(self.place)
        return is_below and (self._glob is None or self._glob.matches(_unquoted(uri.removeprefix(self.place))))

    def still_holds(self, uri: str) -> bool:
        """Whether a file is there that the rules leave out; see the port."""
        try:
            path = self._path_of(uri)
            seen, real_path = path.stat(), os.path.realpath(path)
        except (FileNotFoundError, NotADirectoryError, ValueError, InvalidUri):
            return False
        except OSError:
            return True  # nobody knows
        is_linked = real_path != str(path)
        if not stat.S_ISREG(seen.st_mode) or (is_linked and self._options.name is None):
            return False  # something else has taken its place
        has_other_names = is_linked or seen.st_nlink > 1
        return not (has_other_names and self._is_folder and self._walk().takes(str(path)))

    def _path_of(self, uri: str) -> Path:
        """Where the document of `uri` lies, by its real path or, under a name, as a user sees it."""
        if self._options.name is None:
            return path_of(uri)
        return Path(self._path, _unquoted(uri.removeprefix(self.place))) if self._is_folder else Path(self._path)

    def scan(self) -> Iterator[Found | Unreadable]:
        """What the source holds, each document once; see the port and `walk.py`."""
        return iter(self._walk()) if self._is_folder else self._single_file()

    def _walk(self) -> FolderWalk:
        path = self._path.rstrip("/") + "/"
        uri = file_uri(path)
        name = self._options.name
        root = Folder(
            path=path,
            relative="",
            uri=uri if name is None else folder_file_uri(name, ""),
            file_uri=uri,
            rules=self._rules,
        )
        never_enter = [os.path.realpath(entry).rstrip("/") + "/" for entry in self._options.never_enter]
        return FolderWalk(root, selection=self._selection, never_enter=never_enter, clock_ns=self._clock_ns)

    def _single_file(self) -> Iterator[Found | Unreadable]:
        try:
            seen = Path(self._path).lstat()
        except FileNotFoundError as exc:
            raise _missing(self._path) from exc
        finding, is_trustworthy = finding_of(file_uri(self._path), seen, now_ns=self._clock_ns())
        yield Found(self.source_root, finding, is_trustworthy=is_trustworthy)

    def _looks_like_folder(self, source: str) -> bool:
        mode = Path(self._path).stat().st_mode
        if stat.S_ISDIR(mode):
            return True
        if self._glob is not None:
            raise UsageError("the pattern's folder is no folder", op="open source", subject=source)
        if not stat.S_ISREG(mode):
            raise UsageError("the source is neither a file nor a folder", op="open source", subject=source)
        return False

    def _patterns(self) -> tuple[IgnoreRules, Selection]:
        options = self._options
        try:
            rules = IgnoreRules(options.ignore, shows_hidden=options.shows_hidden)
            return rules, Selection(suffixes=options.suffixes, include=options.include, glob=self._glob)
        except (BadPattern, ValueError) as exc:
            raise UsageError(
                f"this is no pattern: {exc}", op="open source", hint="patterns are written as in a .gitignore file"
            ) from exc


def _located(source: str) -> tuple[str, GlobPattern | None]:
    """The path of `source` (a path, or a ``file:`` uri) and its pattern, if it has one."""
    if source.startswith("file:"):
        return _located_by_uri(source)
    if os.path.lexists(source) or not has_magic(source):
        return source, None
    folder, pattern = split_magic(source)
    return folder, GlobPattern(pattern)


def _located_by_uri(uri: str) -> tuple[str, GlobPattern | None]:
    glob = None
    if has_magic(uri):
        uri, pattern = split_magic(uri)
        uri, glob = uri + "/", GlobPattern(_unquoted(pattern))
    try:
        return str(path_of(uri)), glob
    except InvalidUri as exc:
        raise UsageError(str(exc), op="open source", subject=uri) from exc


def _unquoted(relative_uri: str) -> str:
    return os.fsdecode(unquote_to_bytes(relative_uri))


def _real_path(source: str) -> str:
    try:
        return os.path.realpath(source, strict=True)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise _missing(source) from exc
    except OSError as exc:
        raise UsageError(
            f"the source cannot be reached: {exc.strerror or exc}", op="open source", subject=source
        ) from exc


def _missing(path: str) -> UsageError:
    return UsageError(
        f"the source does not exist: {path}",
        op="open source",
        subject=path,
        hint=f"check the path; to remove documents whose source is gone, say: refold documents remove {path}",
    )
