from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import chunk_id_of, chunk_ids_of, document_id_of, event_id_of, random_id

TEXT = st.text(st.characters(codec="utf-8"))


@given(TEXT)
def test_a_document_id_is_the_standard_uuid5_of_its_uri(uri: str) -> None:
    assert document_id_of(uri) == str(uuid.uuid5(uuid.NAMESPACE_URL, uri))


@given(st.uuids(), st.integers(1, 10**9), st.integers(0, 10**6))
def test_a_chunk_id_is_the_standard_uuid5_in_its_documents_namespace(
    document: uuid.UUID, version: int, ordinal: int
) -> None:
    assert chunk_id_of(str(document), version, ordinal) == str(uuid.uuid5(document, f"{version}:{ordinal}"))


@given(TEXT, st.integers(0, 5))
def test_an_event_id_is_the_standard_uuid5_of_its_cause_kind_and_ordinal(cause: str, ordinal: int) -> None:
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "refold:event")
    expected = uuid.uuid5(namespace, f"{cause}/DocumentStarted/{ordinal}")
    assert event_id_of(cause, "DocumentStarted", ordinal) == str(expected)


def test_an_event_id_differs_by_cause_kind_and_ordinal() -> None:
    ids = {event_id_of(cause, kind, n) for cause in "ab" for kind in ("Queued", "Started") for n in range(2)}
    assert len(ids) == 8


def test_the_chunk_ids_of_a_version_are_those_of_its_ordinals() -> None:
    document = document_id_of("file:///atlas.pdf")
    assert chunk_ids_of(document, 3, 4) == [chunk_id_of(document, 3, ordinal) for ordinal in range(4)]
    assert chunk_ids_of(document, 3, 0) == []


def test_a_random_id_is_a_canonical_uuid4_and_another_each_time() -> None:
    made = random_id()
    assert str(uuid.UUID(made)) == made
    assert uuid.UUID(made).version == 4
    assert made != random_id()
