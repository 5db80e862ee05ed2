"""A manifest in memory, for the tests of the planner."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

from schemas.events import Finding
from schemas.ids import DocumentId, EventId, document_id_of
from schemas.positions import Position
from streams.documents.state import DocumentState
from streams.documents.states import KnownDocument, QueueEntry
from streams.planning.plan import PlannedAction, PlannedDocument

PARAMETERS = {"PARSE": "parser-1"}


def expected_fingerprint(known: KnownDocument, parser: str = "parser-1") -> str:
    """What `streams/stages` computes: over content, metadata and stages."""
    return sha256(f"{known.content_hash}{sorted((known.metadata or {}).items())}{parser}".encode()).hexdigest()


class RememberedDocuments:
    """Knows what it was told; implements the port as far as a planner asks."""

    def __init__(self) -> None:
        self.known: dict[DocumentId, KnownDocument] = {}

    def complete(self, planned: Iterable[PlannedDocument], *, parser: str = "parser-1") -> None:
        """Answer requests as a slot would: adds and updates are live, removals are not."""
        for document in planned:
            if document.action is PlannedAction.REMOVE:
                self.known[document.document_id] = replace(
                    self.known[document.document_id], is_live=False, finding=None
                )
            elif document.action.is_request:
                live = KnownDocument(
                    document_id=document.document_id,
                    uri=document.uri,
                    source_root=document.origin.source_root,
                    is_live=True,
                    finding=document.finding,
                    content_hash=f"content of {document.uri}",
                    media_type="text/plain",
                    metadata=document.metadata,
                )
                self.known[document.document_id] = replace(live, fingerprint=expected_fingerprint(live, parser))

    def fail(self, uri: str, finding: Finding | None, error_class: str, *, parser: str = "parser-1") -> None:
        """The last answer is a final failure; what was live stays so."""
        document_id = document_id_of(uri)
        before = self.known.get(document_id, KnownDocument(document_id, uri, None, is_live=False))
        self.known[document_id] = replace(
            before, failed_finding=finding, failed_parameters={"PARSE": parser}, error_class=error_class
        )

    def live_uris(self) -> list[str]:
        return sorted(known.uri for known in self.known.values() if known.is_live)

    def known_documents(self, document_ids: Collection[DocumentId]) -> Mapping[DocumentId, KnownDocument]:
        return {one: self.known[one] for one in document_ids if one in self.known}

    def live_under(self, source_root: str, *, after: DocumentId | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        live = sorted(k.document_id for k in self.known.values() if k.is_live and k.source_root == source_root)
        return [(one, self.known[one].uri) for one in live if after is None or one > after][:limit]

    def live_below(self, uri_prefix: str, *, after: str | None, limit: int) -> Sequence[tuple[DocumentId, str]]:
        live = sorted((k.uri, k.document_id) for k in self.known.values() if k.is_live and k.uri.startswith(uri_prefix))
        return [(document_id, uri) for uri, document_id in live if after is None or uri > after][:limit]

    def position(self) -> Position:
        raise NotImplementedError

    def states(self, document_ids: Collection[DocumentId]) -> tuple[Mapping[DocumentId, DocumentState], Position]:
        raise NotImplementedError

    def known_requests(self, request_ids: Collection[EventId]) -> set[tuple[DocumentId, EventId]]:
        raise NotImplementedError

    def taken_offset(self, log_id: str, partition: int) -> int:
        raise NotImplementedError

    def open_requests(self, partition: int, **_: object) -> Sequence[QueueEntry]:
        raise NotImplementedError

    def started_documents(self, partition: int) -> Sequence[DocumentId]:
        raise NotImplementedError
