"""What every request has to be, whoever sent it; `ops/producers.md` says the same to producers.

Whatever passes here can be answered: it fits into every event that repeats it and into every view. What does not pass
is answered RequestRejected with the sentence given here; what can be put right (a wrong key, a wrong partition, a
request that is sent again) is no broken rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from schemas.events import Action, ArtifactRef, DocumentRequested, Mode, Priority
from schemas.ids import document_id_of
from streams.documents.uris import InvalidUri, canonical_uri

MAX_CONTENT_BYTES: Final = 900 * 1024
"""The largest content that travels in a request: Kafka's usual limit of 1 MB, less metadata and room."""

MAX_TEXT_BYTES: Final = 256 * 1024
"""All texts of a request together, as UTF-8: they are repeated in events that are kept for ever, and in rows."""

MAX_NAME_BYTES: Final = 200
"""Of what names a job or an adapter: such names are in indexes of databases."""

MAX_QUOTED: Final = 200
"""Characters that a sentence quotes of what was sent."""

_is_uuid = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_is_sha256 = re.compile(r"[0-9a-f]{64}").fullmatch


def broken_rule(request: DocumentRequested) -> str | None:
    """The first rule that `request` breaks, as a sentence for its sender, or None."""
    return next((problem for rule in RULES if (problem := rule(request)) is not None), None)


def _ids(request: DocumentRequested) -> str | None:
    for name, value in (("event_id", request.meta.event_id), ("causation_id", request.meta.causation_id)):
        if value is not None and not _is_uuid(value):
            return f"meta.{name} {_quoted(value)} is no uuid in its lower-case form with hyphens"
    return None


def _uri(request: DocumentRequested) -> str | None:
    if not request.uri:
        return "the uri is empty"
    try:
        canonical = canonical_uri(request.uri)
    except InvalidUri as exc:
        return f"no document can have the uri {_quoted(request.uri)}: {exc}"
    if canonical != request.uri:
        return f"the uri {_quoted(request.uri)} is not canonical: write {_quoted(canonical)}"
    return None


def _document_id(request: DocumentRequested) -> str | None:
    expected = document_id_of(request.uri)
    if request.document_id == expected:
        return None
    return f"document_id {_quoted(request.document_id)} is not uuid5 of the uri in the URL namespace, {expected}"


def _symbols(request: DocumentRequested) -> str | None:
    for name, value in (("action", request.action), ("mode", request.mode), ("priority", request.priority)):
        if value in {Action.UNKNOWN, Mode.UNKNOWN, Priority.UNKNOWN}:
            return f"{name} is not known to this release"
    return None


def _content(request: DocumentRequested) -> str | None:
    if request.content is not None and len(request.content) > MAX_CONTENT_BYTES:
        size_bytes = len(request.content)
        return f"the content has {size_bytes} bytes, more than {MAX_CONTENT_BYTES}: store it and send content_ref"
    ref = request.content_ref
    if ref is not None and not _is_ref(ref):
        return "content_ref needs a sha256 of 64 lower-case hex digits and a size_bytes of at least 0"
    if request.finding is not None and (request.finding.size_bytes or 0) < 0:
        return "finding.size_bytes is below 0"
    return None


def _names(request: DocumentRequested) -> str | None:
    for name, value in (("meta.job_id", request.meta.job_id), ("adapter", request.adapter)):
        if value is not None and len(value.encode()) > MAX_NAME_BYTES:
            return f"{name} has more than {MAX_NAME_BYTES} bytes"
    return None


def _texts(request: DocumentRequested) -> str | None:
    joined = "".join(_all_texts(request))
    if "\0" in joined:
        return "a text holds the character U+0000, which not every store can keep"
    size_bytes = len(joined.encode())
    if size_bytes > MAX_TEXT_BYTES:
        return f"uri, metadata and the other texts have {size_bytes} bytes, more than {MAX_TEXT_BYTES}"
    return None


RULES: Final[Sequence[Callable[[DocumentRequested], str | None]]] = (
    _ids,
    _uri,
    _document_id,
    _symbols,
    _content,
    _names,
    _texts,
)


def _is_ref(ref: ArtifactRef) -> bool:
    return _is_sha256(ref.sha256) is not None and ref.size_bytes >= 0


def _all_texts(request: DocumentRequested) -> Iterator[str]:
    yield from (request.uri, request.adapter, request.source_root or "", request.meta.pipeline_id)
    yield request.meta.job_id or ""
    yield from (text for pair in request.metadata.items() for text in pair)
    if request.finding is not None:
        yield request.finding.uri
        yield from (text for pair in request.finding.validators.items() for text in pair)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…")
