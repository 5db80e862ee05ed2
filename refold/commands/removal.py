"""Removing documents from the corpus: one by one, or all of a folder, a pattern or a source."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import unquote_to_bytes

from refold.commands.named import uri_named
from refold.commands.requests import ask, request
from refold.commands.waiting import wait_for_position
from refold.control.messages import Emit, Json
from refold.engine.engine import SQL_VIEWS, Engine
from refold.engine.unfinished_jobs import open_of_others
from schemas.errors import UsageError
from schemas.events import Action, DocumentRemoved
from schemas.ids import DocumentId, document_id_of, event_id_of, random_id
from streams.scratch import IdSet
from streams.sources.local.patterns import GlobPattern, has_magic, split_magic

BATCH_DOCUMENTS = 500
"""Asked for at once, so that memory does not grow with what is removed."""

Page = Sequence[tuple[DocumentId, str]]


@dataclass(frozen=True, slots=True)
class Selected:
    """What a name stands for: one document, or the live ones that lie in a folder, match a pattern, or were brought.

    Attributes:
        place: What the uris begin with; of a single document, its uri.
        pattern: What the rest of the uri must match, if that matters.
        source_root: The root of the source that may have brought more, by links; None for a single document.
    """

    place: str
    pattern: GlobPattern | None = None
    source_root: str | None = None

    @property
    def is_group(self) -> bool:
        """Whether it may stand for many."""
        return self.source_root is not None

    def pages(self, engine: Engine) -> Iterator[Page]:
        """The documents, some of them twice."""
        if self.source_root is None:
            yield [(document_id_of(self.place), self.place)]
            return
        manifest, after_uri, after_id = engine.parts.views.manifest, None, None
        while page := manifest.live_below(self.place, after=after_uri, limit=BATCH_DOCUMENTS):
            after_uri = page[-1][1]
            yield [(document_id, uri) for document_id, uri in page if self._matches(uri)]
        while page := manifest.live_under(self.source_root, after=after_id, limit=BATCH_DOCUMENTS):
            after_id = page[-1][0]
            yield page

    def _matches(self, uri: str) -> bool:
        return self.pattern is None or self.pattern.matches(_unquoted(uri.removeprefix(self.place)))


def remove_documents(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Remove documents and wait until no search finds them.

    Where `confirmed` is False and a name may stand for many, nothing is done but counting: `selected`.
    """
    del emit
    engine.wait_for(engine.end(), SQL_VIEWS)
    names = [str(name) for name in arguments["documents"]]
    selected = [selected_by(engine, name) for name in names]
    _refuse_empty(engine, names, selected)
    if not arguments.get("confirmed", True) and any(one.is_group for one in selected):
        return {"selected": sum(map(len, _distinct(engine, selected)))}
    # The ids of the requests follow from the caller's, so a repeated command asks for nothing twice.
    cause = str(arguments.get("request_id") or random_id())
    asked = removed = 0
    for page in _distinct(engine, selected):
        ids = {uri: event_id_of(cause, "DocumentRequested", document_id) for document_id, uri in page}
        requests = [request(engine, uri, request_id=one, action=Action.REMOVE) for uri, one in ids.items()]
        answers = ask(engine, requests, stop).values()
        asked += len(answers)
        removed += sum(isinstance(answer, DocumentRemoved) for answer in answers)
    wait_for_position(engine, engine.end(), stop)
    return {"removed": removed, "absent": asked - removed, "open_of_others": open_of_others(engine)}


def selected_by(engine: Engine, name: str) -> Selected:
    """What `name` stands for: the document of that id, uri or absolute path, else a folder, a pattern or a source."""
    manifest = engine.parts.views.manifest
    known = manifest.document(name) or manifest.document(uri_named(name))
    if known is not None:
        return Selected(known.uri)
    if not has_magic(name):
        place = _as_folder(uri_named(name))
        return Selected(place, source_root=place)
    folder, pattern = split_magic(name)
    if folder == ".":  # a uri without a slash before its pattern: push:*
        folder, _, pattern = name.partition(":")
        folder += ":"
    place = _as_folder(uri_named(folder))
    glob = GlobPattern(pattern if name.startswith("/") else _unquoted(pattern))
    return Selected(place, glob, source_root=place + glob.uri_text)


def _refuse_empty(engine: Engine, names: Sequence[str], selected: Sequence[Selected]) -> None:
    for name, one in zip(names, selected, strict=True):
        if one.is_group and not any(one.pages(engine)):
            raise UsageError(
                f"there is no document {name}, and none that is live lies there",
                op="documents remove",
                subject=name,
                hint="see: refold documents list",
            )


def _distinct(engine: Engine, selected: Sequence[Selected]) -> Iterator[Page]:
    """The documents of all `selected`, each once, in pages of BATCH_DOCUMENTS at the most."""
    with IdSet(engine.parts.location.scratch) as seen:
        for page in chain.from_iterable(one.pages(engine) for one in selected):
            new = seen.add([document_id for document_id, _ in page])
            if new:
                yield [(document_id, uri) for document_id, uri in page if document_id in new]


def _as_folder(uri: str) -> str:
    """What the uris of all below `uri` begin with; a scheme alone stands for all of that scheme."""
    return uri if uri.endswith(("/", ":")) else uri + "/"


def _unquoted(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))
