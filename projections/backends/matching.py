"""Whether a document passes a search's filters: the reference, and the check behind what drivers filter coarsely."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Sequence

from projections.index.backend import DocumentAttributes, Filters

Admission = Callable[[DocumentAttributes], bool]

_WILDCARD = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")
"""What is not literal in an fnmatch pattern; a bracket that is never closed is."""

_MIN_I64, _MAX_I64 = -(2**63), 2**63 - 1


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


def unchecked(filters: Filters | None) -> Filters | None:
    """What of `filters` a keyword index leaves to be checked on what it found: the patterns of uris."""
    return filters and Filters(uri_prefix=filters.uri_prefix, uri_glob=filters.uri_glob)


def modified_bounds(filters: Filters) -> tuple[int, int] | None:
    """The first and the last moment that `filters` let pass, as integers of 64 bits; None if none can."""
    first = _MIN_I64 if filters.modified_from_ns is None else filters.modified_from_ns
    last = _MAX_I64 if filters.modified_to_ns is None else filters.modified_to_ns - 1
    if first > _MAX_I64 or last < _MIN_I64:
        return None
    return max(first, _MIN_I64), min(last, _MAX_I64)


def modified_range(filters: Filters) -> tuple[float | None, float | None] | None:
    """The same as floats, which distinguish moments by a few hundred nanoseconds only; None where all pass."""
    if filters.modified_from_ns is None and filters.modified_to_ns is None:
        return None
    return (
        None if filters.modified_from_ns is None else math.nextafter(float(filters.modified_from_ns), -math.inf),
        None if filters.modified_to_ns is None else math.nextafter(float(filters.modified_to_ns), math.inf),
    )


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
