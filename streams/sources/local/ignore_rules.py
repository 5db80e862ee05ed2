"""Which names of a folder are left out: built-in rules, ignore patterns, and `.refoldignore` files at any depth."""

from __future__ import annotations

from collections.abc import Iterable

from pathspec import GitIgnoreSpec

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
