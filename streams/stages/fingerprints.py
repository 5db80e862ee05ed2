"""The settings of the stages, and the fingerprints that tell when a stage would give something else.

A fingerprint is made of our own version of a stage and of the settings that change its output. An upgraded library does
not change it: where its output gets better in a way that matters, the stage's version here is raised by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from schemas.errors import UsageError
from streams.stages.media_types import HTML, MARKDOWN, OFFICE, PARSERS_BY_MEDIA_TYPE, PLAIN_TEXT

FETCH_VERSION: Final = 1
"""Raise it when content is read differently; every document is then read again."""

PARSER_VERSIONS: Final = MappingProxyType({PLAIN_TEXT: 1, MARKDOWN: 1, HTML: 1, OFFICE: 1})
"""Raise a parser's number when it gives other text, or when another parser takes over files that it has read.

Only documents of its media types are then read and parsed again. Unchanged files are not read otherwise, so they would
keep the media type they had.
"""

CHUNK_VERSION: Final = 1
"""Raise it when chunks are cut differently under the same settings."""

MIB: Final = 1024 * 1024

CHUNK_SIZE: Final = 1_000
"""Characters per chunk: about 200 words, what static and small embedding models were trained on."""

CHUNK_OVERLAP: Final = 100
"""Characters that neighbouring chunks share, so that a sentence cut by a border is whole in one of them."""

DEFAULT_EMBEDDER: Final = "wordllama-256"
"""Its weights come with the package, so that nothing is ever downloaded."""

MAX_DOCUMENT_BYTES: Final = 64 * MIB
"""Larger than nearly every document people write; a few such in memory at once stay within the memory promised."""

MAX_PAGES: Final = 20_000
"""Longer than any book; a generated report beyond it is data, not a document."""

MAX_TEXT_CHARS: Final = 50_000_000
"""About fifty thousand chunks, which are cut and embedded well within the time limit."""

TIMEOUT_S: Final = 120.0
"""The slowest honest document within the other limits needs a quarter of it on a busy two-core machine."""

MEMORY_LIMIT_BYTES: Final = 1024 * MIB
"""Of one pool process: an HTML file of `MAX_DOCUMENT_BYTES` needs about half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """How documents are parsed and chunked, and what one document may cost.

    Attributes:
        chunk_size: The most characters of a chunk.
        chunk_overlap: The most characters a chunk shares with the one before it.
        max_document_bytes: Content beyond this is refused unread.
        max_pages: Documents of more pages are refused.
        max_text_chars: Documents of more text are refused.
        timeout_s: How long one document may keep a pool process.
        memory_limit_bytes: How much memory a pool process may take for its data (Linux; elsewhere it is not enforced).
    """

    chunk_size: int = CHUNK_SIZE
    chunk_overlap: int = CHUNK_OVERLAP
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    max_pages: int = MAX_PAGES
    max_text_chars: int = MAX_TEXT_CHARS
    timeout_s: float = TIMEOUT_S
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 <= self.chunk_overlap < self.chunk_size:
            raise UsageError(
                f"chunk_overlap ({self.chunk_overlap}) must be at least 0 and below chunk_size ({self.chunk_size})",
                hint="lower chunk_overlap or raise chunk_size",
            )
        limits = (self.max_document_bytes, self.max_pages, self.max_text_chars, self.timeout_s)
        if min(limits) <= 0:
            raise UsageError("limits of a document must be above 0", hint="leave a limit out to get its default")


def fetch_fingerprint() -> str:
    """The fingerprint of fetching, which includes telling the media type."""
    return _fingerprint("fetch", FETCH_VERSION)


def parse_fingerprint(media_type: str) -> str:
    """The fingerprint of parsing content of `media_type`."""
    parser = PARSERS_BY_MEDIA_TYPE.get(media_type, "")
    return _fingerprint("parse", media_type, parser, PARSER_VERSIONS.get(parser, 0))


def chunk_fingerprint(settings: StageSettings) -> str:
    """The fingerprint of chunking."""
    return _fingerprint("chunk", CHUNK_VERSION, settings.chunk_size, settings.chunk_overlap)


def version_fingerprint(
    settings: StageSettings, *, content_hash: str, media_type: str, metadata: Mapping[str, str]
) -> str:
    """What a version is made of: where it is equal, fetching, parsing and chunking again would give that version again.

    Vectors are added to a version and do not make one, so the embedder is left out.
    """
    made_of = f"{content_hash}{_stages_fingerprint(settings, media_type)}"
    if metadata:
        made_of += json.dumps(sorted(metadata.items()), ensure_ascii=False)
    return hashlib.sha256(made_of.encode()).hexdigest()


def stage_parameters(settings: StageSettings, *, embed_fingerprint: str) -> dict[str, str]:
    """What DocumentStarted.parameters keeps: a fingerprint per stage, and one of the limits.

    The limits change no output, so they are in no stage's fingerprint; here they tell a failure that a higher limit may
    cure from one that it cannot.
    """
    return {
        "fetch": fetch_fingerprint(),
        "parse": _fingerprint("parse", sorted(PARSER_VERSIONS.items()), sorted(PARSERS_BY_MEDIA_TYPE.items())),
        "chunk": chunk_fingerprint(settings),
        "embed": embed_fingerprint,
        "limits": _fingerprint(
            "limits",
            settings.max_document_bytes,
            settings.max_pages,
            settings.max_text_chars,
            settings.timeout_s,
            settings.memory_limit_bytes,
        ),
    }


@lru_cache(maxsize=256)
def _stages_fingerprint(settings: StageSettings, media_type: str) -> str:
    return fetch_fingerprint() + parse_fingerprint(media_type) + chunk_fingerprint(settings)


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
