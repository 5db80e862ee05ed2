"""Which files of a folder are documents."""

from __future__ import annotations

from collections.abc import Iterable

from pathspec import GitIgnoreSpec

from streams.sources.local.glob_pattern import GlobPattern


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
