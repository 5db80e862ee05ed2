"""Whether a document passes a search's filters: the reference, and the check behind what drivers filter coarsely."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

from projections.index.backend import DocumentAttributes, Filters

Admission = Callable[[DocumentAttributes], bool]

_WILDCARD = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")
"""What is not literal in an fnmatch pattern; a bracket that is never closed is."""


def admission(filters: Filters | None) -> Admission:
    """The test that says whether a document passes `filters`; all do without filters."""
    if filters is None:
        return _admit_all
    matches_glob = _glob(filters.uri_glob)
    wanted_pairs = filters.metadata.items()

    def admits(attributes: DocumentAttributes) -> bool:
        return (
            (filters.uri_prefix is None or attributes.uri.startswith(filters.uri_prefix))
            and matches_glob(attributes.uri)
            and (filters.source is None or attributes.source_root == filters.source)
            and (filters.media_type is None or attributes.media_type == filters.media_type)
            and _is_within(attributes.modified_at_ns, filters.modified_from_ns, filters.modified_to_ns)
            and wanted_pairs <= attributes.metadata.items()
        )

    return admits


def literals_of(glob: str) -> Sequence[str]:
    """The texts between the wildcards of `glob`: what matches begins with the first and holds the others in order."""
    return _WILDCARD.split(glob)


def is_unicode(filters: Filters) -> bool:
    """Whether a stored text can pass: none holds half a surrogate pair, and drivers take none."""
    texts = (filters.uri_prefix, filters.uri_glob, filters.source, filters.media_type)
    try:
        "".join([*(text or "" for text in texts), *filters.metadata, *filters.metadata.values()]).encode()
    except UnicodeEncodeError:
        return False
    return True


def _admit_all(_attributes: DocumentAttributes) -> bool:
    return True


def _glob(glob: str | None) -> Callable[[str], bool]:
    if glob is None:
        return lambda _: True
    pattern = re.compile(fnmatch.translate(glob))
    return lambda uri: pattern.match(uri) is not None


def _is_within(modified_at_ns: int | None, from_ns: int | None, to_ns: int | None) -> bool:
    if from_ns is None and to_ns is None:
        return True
    if modified_at_ns is None:
        return False
    return (from_ns is None or from_ns <= modified_at_ns) and (to_ns is None or modified_at_ns < to_ns)
