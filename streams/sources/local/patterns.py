"""Which files of a folder are documents: shell patterns, built-in rules, and `.refoldignore` files at any depth.

Patterns are over whole paths: ``*``, ``?`` and ``[…]`` within a segment, ``**`` for any number of segments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote_from_bytes

from pathspec import GitIgnoreSpec

_MAGIC = re.compile(r"[*?[]")


def has_magic(text: str) -> bool:
    """Whether `text` holds a character that a shell would expand."""
    return _MAGIC.search(text) is not None


def split_magic(path: str) -> tuple[str, str]:
    """`path` as the folder before the first segment with magic, and the pattern from there on."""
    segments = path.split("/")
    first = next(place for place, segment in enumerate(segments) if has_magic(segment))
    folder = "/".join(segments[:first])
    return folder or ("/" if path.startswith("/") else "."), "/".join(segments[first:])


class GlobPattern:
    """A pattern for paths relative to one folder."""

    def __init__(self, pattern: str) -> None:
        self._segments = tuple(segment for segment in pattern.split("/") if segment not in {"", "."})

    @property
    def uri_text(self) -> str:
        """The pattern as a source root ends in it: magic stays, all else is percent-encoded as in a uri."""
        return "/".join(quote_from_bytes(os.fsencode(segment), safe="*?[]!") for segment in self._segments)

    def matches(self, relative_path: str) -> bool:
        """Whether the pattern describes this file."""
        return _matches(self._segments, relative_path.split("/"))

    def may_hold(self, relative_folder: str) -> bool:
        """Whether anything below this folder can match, so that the others need not be walked."""
        return _may_hold(self._segments, relative_folder.rstrip("/").split("/"))


def _matches(pattern: Sequence[str], names: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(pattern[1:], names[skipped:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(pattern[1:], names[1:])


def _may_hold(pattern: Sequence[str], names: Sequence[str]) -> bool:
    if not pattern:
        return False
    if pattern[0] == "**" or not names:
        return True
    return fnmatchcase(names[0], pattern[0]) and _may_hold(pattern[1:], names[1:])


IGNORE_FILE = ".refoldignore"
"""Patterns in gitignore's syntax, for the folder it lies in and all below; a deeper file has the last word."""

IGNORED_NAMES = frozenset({"node_modules", "__pycache__", "Thumbs.db", "desktop.ini"})
"""What tools leave beside documents and nobody searches for."""

IGNORED_PREFIXES = (".", "~$")
"""Hidden files and folders (``.git``, ``.venv``, ``.env`` with its secrets), and the locks of open office documents."""


class BadPattern(ValueError):  # noqa: N818 - a state, as in the error tree
    """A line that gitignore's syntax does not allow."""


class IgnoreRules:
    """Decides on relative paths; immutable, one per folder that has patterns of its own.

    The last rule that speaks wins: built-in rules first, then the settings' patterns, then `.refoldignore` files from
    the root downwards. So ``!.github/`` in a `.refoldignore` brings a hidden folder back. As in git, nothing below an
    ignored folder is looked at.
    """

    __slots__ = ("_shows_hidden", "_specs")

    def __init__(self, patterns: Iterable[str] = (), *, shows_hidden: bool = False) -> None:
        lines = list(patterns)
        self._specs: tuple[tuple[int, GitIgnoreSpec], ...] = ((0, _spec(lines)),) if lines else ()
        self._shows_hidden = shows_hidden

    @property
    def has_patterns(self) -> bool:
        """Whether more than names has to be looked at."""
        return bool(self._specs)

    def below(self, relative_folder: str, lines: Iterable[str]) -> IgnoreRules:
        """These rules with the patterns of the `.refoldignore` of `relative_folder` (ends in a slash; "" is the root).

        Raises:
            BadPattern: a line is no pattern.
        """
        rules = IgnoreRules(shows_hidden=self._shows_hidden)
        rules._specs = ((len(relative_folder), _spec(lines)), *self._specs)
        return rules

    def ignores_name(self, name: str) -> bool:
        """What the built-in rules alone say."""
        return (not self._shows_hidden and name.startswith(IGNORED_PREFIXES)) or name in IGNORED_NAMES

    def ignores(self, relative_path: str, name: str) -> bool:
        """Whether `relative_path`, whose last segment is `name`, is left out; a folder's path ends in a slash."""
        for prefix_length, spec in self._specs:
            is_ignored = spec.check_file(relative_path[prefix_length:]).include
            if is_ignored is not None:
                return is_ignored
        return self.ignores_name(name)


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as exc:
        raise BadPattern(str(exc)) from exc


class Selection:
    """Takes files by suffix, include patterns (gitignore's syntax, any may match) and the source's own glob pattern.

    What is not given takes everything. Suffixes are compared without case: ``md``, ``.md`` and ``.MD`` are the same.
    """

    def __init__(
        self, *, suffixes: Iterable[str] = (), include: Iterable[str] = (), glob: GlobPattern | None = None
    ) -> None:
        patterns = list(include)
        self._suffixes = tuple("." + suffix.lower().lstrip(".") for suffix in suffixes)
        self._include = GitIgnoreSpec.from_lines(patterns) if patterns else None
        self._glob = glob
        self.takes_all = not self._suffixes and self._include is None and glob is None

    def takes(self, relative_path: str, name: str) -> bool:
        """Whether the file at `relative_path`, whose last segment is `name`, is a document."""
        if self._suffixes and not name.lower().endswith(self._suffixes):
            return False
        if self._include is not None and not self._include.match_file(relative_path):
            return False
        return self._glob is None or self._glob.matches(relative_path)

    def may_hold(self, relative_folder: str) -> bool:
        """Whether a document can lie below this folder."""
        return self._glob is None or self._glob.may_hold(relative_folder)
