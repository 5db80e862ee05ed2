"""One walk over a folder: every document in it once, by its real path.

Folders are listed one at a time and sorted, files first, then symbolic links, then the folders below; so the order is
stable, and memory holds one folder's names and the names on the way to it. Beyond that it remembers only what could be
met twice: files with several hard links, files reached by a symbolic link, and the folders that links lead to.

A symbolic link stands for what it leads to, wherever that is. A file is known by its real path: what the walk meets
anyway is not reported a second time for a link to it. A link to a folder it lies in is a loop, reported once and not
followed. A link that leads nowhere is nothing. Pipes, sockets and devices are never opened and are no documents.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import UsageError
from streams.documents.uris import file_uri, quoted
from streams.source import Found, Unreadable
from streams.sources.local.files import finding_of
from streams.sources.local.patterns import IGNORE_FILE, BadPattern, IgnoreRules, Selection

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""The folder was deleted, or something else took its place, after it was listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder about to be listed; all its strings but `trail` end in a slash, and `relative` is "" for the root.

    Attributes:
        path: The real path.
        relative: The path from the root as a user sees it, through links; patterns and ``folder:`` uris speak of it.
        uri: What its documents' uris begin with.
        file_uri: What its findings' uris begin with: the real path's.
        rules: Those in force here, without its own `.refoldignore`.
        trail: The real folders of the links that led here, which a further link must not lead back to.
    """

    path: str
    relative: str
    uri: str
    file_uri: str
    rules: IgnoreRules
    trail: tuple[str, ...] = ()

    def below(self, name: str, rules: IgnoreRules) -> Folder:
        """The folder `name` in this one."""
        segment = quoted(name) + "/"
        uri = self.uri + segment
        return Folder(
            path=f"{self.path}{name}/",
            relative=f"{self.relative}{name}/",
            uri=uri,
            file_uri=uri if self.uri == self.file_uri else self.file_uri + segment,
            rules=rules,
            trail=self.trail,
        )


@dataclass(slots=True)
class _Listing:
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    has_ignore_file: bool = False


class FolderWalk:
    """A walk that is made once. `never_enter` holds real paths, each ending in a slash."""

    def __init__(
        self, root: Folder, *, selection: Selection, never_enter: Collection[str], clock_ns: Callable[[], int]
    ) -> None:
        self._root = root
        self._selection = selection
        self._never_enter = tuple(never_enter)
        self._clock_ns = clock_ns
        self._trees: dict[str, Folder] = {root.path: root}
        self._waiting: deque[Folder] = deque([root])
        self._inodes: set[tuple[int, int]] = set()
        self._linked_files: set[str] = set()

    def __iter__(self) -> Iterator[Found | Unreadable]:
        while self._waiting:
            stack = [self._waiting.popleft()]
            while stack:
                folder = stack.pop()
                yield from self._folder(folder, stack)

    def takes(self, path: str) -> bool:
        """Whether the rules as they are on disk now let a walk meet a file at `path`, if there is one."""
        return path.startswith(self._root.path) and self._walks_in(self._root, path)

    def _folder(self, folder: Folder, stack: list[Folder]) -> Iterator[Found | Unreadable]:
        """What lies in `folder` itself; the folders below it go on `stack`."""
        try:
            # Without its last slash: a path that ends in one is followed through a link, whatever the flags say.
            fd = os.open(folder.path[:-1] or "/", _FOLDER_FLAGS)
        except OSError as exc:
            yield from self._unlisted(folder, exc)
            return
        try:
            listing = _listed(fd)
            rules = self._rules_in(folder, listing, fd)
            yield from self._files(folder, self._documents(folder, listing.files, rules), fd)
            for name in listing.links:
                yield from self._link(folder, name, rules)
        except OSError as exc:
            yield Unreadable(folder.uri, f"the folder cannot be read: {exc.strerror or exc}")
            return
        except BadPattern as exc:
            yield Unreadable(folder.uri, f"its {IGNORE_FILE} cannot be understood: {exc}")
            return
        finally:
            os.close(fd)
        below = (folder.below(name, rules) for name in reversed(listing.folders) if self._enters(folder, name, rules))
        stack.extend(f for f in below if f.path not in self._trees)

    def _unlisted(self, folder: Folder, exc: OSError) -> Iterator[Unreadable]:
        if exc.errno not in _VANISHED:
            yield Unreadable(folder.uri, f"the folder cannot be listed: {exc.strerror or exc}")
        elif folder is self._root:
            raise UsageError("the source does not exist", op="scan", subject=folder.path) from exc

    def _rules_in(self, folder: Folder, listing: _Listing, fd: int) -> IgnoreRules:
        if not listing.has_ignore_file:
            return folder.rules
        lines = _ignore_lines(IGNORE_FILE, dir_fd=fd)
        return folder.rules if lines is None else folder.rules.below(folder.relative, lines)

    def _documents(self, folder: Folder, names: list[str], rules: IgnoreRules) -> list[str]:
        if rules.has_patterns:
            names = [name for name in names if not rules.ignores(folder.relative + name, name)]
        else:
            names = [name for name in names if not rules.ignores_name(name)]
        if self._selection.takes_all:
            return names
        return [name for name in names if self._selection.takes(folder.relative + name, name)]

    def _enters(self, folder: Folder, name: str, rules: IgnoreRules) -> bool:
        relative = f"{folder.relative}{name}/"
        if self._is_forbidden(f"{folder.path}{name}/") or not self._selection.may_hold(relative):
            return False
        return not (rules.ignores(relative, name) if rules.has_patterns else rules.ignores_name(name))

    def _is_forbidden(self, path: str) -> bool:
        return bool(self._never_enter) and path.startswith(self._never_enter)

    def _files(self, folder: Folder, names: list[str], fd: int) -> Iterator[Found]:
        for name in names:
            try:
                seen = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            is_ordinary = seen.st_nlink == 1 and not self._linked_files
            if stat.S_ISREG(seen.st_mode) and (is_ordinary or self._is_first_sight(seen, folder, name)):
                yield self._found(folder, name, seen)

    def _is_first_sight(self, seen: os.stat_result, folder: Folder, name: str) -> bool:
        if folder.path + name in self._linked_files:
            return False
        return seen.st_nlink == 1 or self._is_new_inode(seen)

    def _is_new_inode(self, seen: os.stat_result) -> bool:
        inode = (seen.st_dev, seen.st_ino)
        is_new = inode not in self._inodes
        self._inodes.add(inode)
        return is_new

    def _found(self, folder: Folder, name: str, seen: os.stat_result) -> Found:
        segment = quoted(name)
        uri = folder.uri + segment
        where = uri if folder.uri == folder.file_uri else folder.file_uri + segment
        finding, is_trustworthy = finding_of(where, seen, now_ns=self._clock_ns())
        return Found(uri, finding, is_trustworthy=is_trustworthy)

    def _link(self, folder: Folder, name: str, rules: IgnoreRules) -> Iterator[Found | Unreadable]:
        link = folder.path + name
        try:
            seen = Path(link).stat()
        except OSError as exc:
            yield from self._unreachable(folder, name, rules, exc)
            return
        target = os.path.realpath(link)
        if stat.S_ISDIR(seen.st_mode):
            if self._enters(folder, name, rules):
                yield from self._linked_folder(folder, name, rules, target)
        elif stat.S_ISREG(seen.st_mode) and self._documents(folder, [name], rules):
            yield from self._linked_file(folder, name, target, seen)

    def _unreachable(self, folder: Folder, name: str, rules: IgnoreRules, exc: OSError) -> Iterator[Unreadable]:
        if exc.errno == errno.ENOENT or not self._documents(folder, [name], rules):
            return
        if exc.errno == errno.ELOOP:
            yield Unreadable(folder.uri + quoted(name), "this symbolic link leads back to itself")
            return
        target = os.path.realpath(folder.path + name)
        uri = file_uri(target) if folder.uri == folder.file_uri else folder.uri + quoted(name)
        yield Unreadable(uri, f"a symbolic link cannot be followed: {exc.strerror or exc}")

    def _linked_file(self, folder: Folder, name: str, target: str, seen: os.stat_result) -> Iterator[Found]:
        if target in self._linked_files or self._is_forbidden(target) or self._walks(target):
            return
        if seen.st_nlink > 1 and not self._is_new_inode(seen):
            return
        self._linked_files.add(target)
        where = file_uri(target)
        uri = where if folder.uri == folder.file_uri else folder.uri + quoted(name)
        finding, is_trustworthy = finding_of(where, seen, now_ns=self._clock_ns())
        yield Found(uri, finding, is_trustworthy=is_trustworthy)

    def _linked_folder(self, folder: Folder, name: str, rules: IgnoreRules, target: str) -> Iterator[Unreadable]:
        path = target.rstrip("/") + "/"
        trail = (*folder.trail, folder.path)
        if any(passed.startswith(path) for passed in trail):
            yield Unreadable(folder.uri + quoted(name), "this symbolic link leads back to a folder it lies in")
            return
        if path in self._trees or self._is_forbidden(path) or self._walks(path):
            return
        where = file_uri(path)
        uri = where if folder.uri == folder.file_uri else f"{folder.uri}{quoted(name)}/"
        tree = Folder(
            path=path, relative=f"{folder.relative}{name}/", uri=uri, file_uri=where, rules=rules, trail=trail
        )
        self._trees[path] = tree
        self._waiting.append(tree)

    def _walks(self, path: str) -> bool:
        """Whether some tree's own walk meets the real `path` (a folder's ends in a slash)."""
        return any(self._walks_in(tree, path) for tree in self._trees.values() if path.startswith(tree.path))

    def _walks_in(self, tree: Folder, path: str) -> bool:
        *folders, name = path.removeprefix(tree.path).rstrip("/").split("/")
        folder = tree
        for step in folders:
            rules = _rules_on_disk(folder)
            if rules is None or not self._enters(folder, step, rules):
                return False
            folder = folder.below(step, rules)
            if folder.path in self._trees:
                return False
        rules = _rules_on_disk(folder)
        if rules is None:
            return False
        return self._enters(folder, name, rules) if path.endswith("/") else bool(self._documents(folder, [name], rules))


def _listed(fd: int) -> _Listing:
    listing = _Listing()
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                listing.files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                listing.folders.append(entry.name)
            elif entry.is_symlink():
                listing.links.append(entry.name)
    listing.has_ignore_file = IGNORE_FILE in listing.files or IGNORE_FILE in listing.links
    listing.files.sort()
    listing.links.sort()
    listing.folders.sort()
    return listing


def _rules_on_disk(folder: Folder) -> IgnoreRules | None:
    """The rules inside `folder`, or None where they cannot be known, so that nothing in it is walked."""
    try:
        lines = _ignore_lines(folder.path + IGNORE_FILE)
        return folder.rules if lines is None else folder.rules.below(folder.relative, lines)
    except (OSError, BadPattern):
        return None


def _ignore_lines(path: str, *, dir_fd: int | None = None) -> list[str] | None:
    """The lines of the `.refoldignore` at `path`; None if there is none.

    One that cannot be read raises OSError, and the walk leaves its folder alone: nobody knows what was to be left out.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as file:
            text = os.fsdecode(file.read().removeprefix(codecs.BOM_UTF8))
    finally:
        os.close(fd)
    return text.replace("\r\n", "\n").split("\n")
