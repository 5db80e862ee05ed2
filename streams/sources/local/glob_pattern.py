"""Shell patterns over whole paths: ``*``, ``?`` and ``[…]`` within a segment, ``**`` for any number of segments."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote_from_bytes

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
