"""From what a user calls a source to the adapter that connects it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from schemas.errors import UsageError
from streams.source import Source
from streams.sources.local.folder import FolderAdapter, FolderOptions

ADAPTERS: Mapping[str, Callable[[str, FolderOptions | None], Source]] = {
    "": FolderAdapter,
    "file": FolderAdapter,
}
"""By the scheme of the source; "" is a path."""

# Two slashes make a uri: `notes: 2024/` is a path.
_uri_scheme = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE).match


def open_sources(sources: Iterable[str], options: FolderOptions | None = None) -> Sequence[Source]:
    """The adapters of `sources`, each by its scheme; see `adapter_for`."""
    return [adapter_for(source, options) for source in sources]


def adapter_for(source: str, options: FolderOptions | None = None) -> Source:
    """The adapter of `source`: a path, a glob pattern or a ``file:`` uri.

    Raises:
        UsageError: no adapter knows its scheme, or it does not exist.
    """
    found = _uri_scheme(source)
    scheme = found[1].lower() if found else ""
    adapter = ADAPTERS.get(scheme)
    if adapter is None:
        known = ", ".join(f"{name}:" for name in ADAPTERS if name)
        raise UsageError(
            f"no adapter reads {scheme}: sources",
            op="open source",
            subject=source,
            hint=f"give a path, or one of {known}",
        )
    return adapter(source, options)
