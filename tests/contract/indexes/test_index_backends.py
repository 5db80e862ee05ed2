"""What every index backend promises, of vectors or of words."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.index.backend import DocumentAttributes, Filters, IndexBackend, IndexedChunk, IndexEntry
from schemas.ids import ChunkId, document_id_of
from tests.servers.index_backends import BACKENDS, Libraries, open_backend_of
from tests.worlds.index_chunks import chunk_of, chunks_of, contents_of, digests_of, find, find_like, ids_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"
ABSENT = ChunkId("00000000-0000-5000-8000-000000000000")


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(name: str, tmp_path: Path) -> Iterator[IndexBackend]:
    opened = open_backend_of(name)(tmp_path / "g1", "g1", create=True)
    yield opened
    opened.close()


def write(backend: IndexBackend, chunks: list[IndexedChunk]) -> list[IndexedChunk]:
    backend.upsert(chunks)
    backend.flush()
    return chunks


def test_a_new_index_is_empty(backend: IndexBackend, name: str) -> None:
    assert backend.count() == 0
    assert list(backend.scan_ids()) == []
    assert backend.read([ABSENT]) == []
    assert find(backend, name) == []


def test_what_was_flushed_is_counted_scanned_read_and_found(backend: IndexBackend, name: str) -> None:
    written = write(backend, [*chunks_of(REPORT, 3), *chunks_of(LETTER, 2, version=7)])

    assert contents_of(backend, name) == digests_of(written, name)
    assert {hit.chunk_id for hit in find(backend, name)} == set(ids_of(written))


def test_an_entry_and_a_hit_say_whose_chunk_it_is(backend: IndexBackend, name: str) -> None:
    chunk = write(backend, chunks_of(REPORT, 12, version=3))[11]

    entry = backend.read([chunk.chunk_id])[0]
    hit = next(hit for hit in find(backend, name) if hit.chunk_id == chunk.chunk_id)

    digest = digests_of([chunk], name)[chunk.chunk_id]
    assert entry == IndexEntry(chunk.chunk_id, document_id_of(REPORT), 3, 11, digest)
    assert (hit.document_id, hit.version, hit.ordinal) == (document_id_of(REPORT), 3, 11)


def test_reading_leaves_absent_ids_out_and_tells_of_each_once(backend: IndexBackend) -> None:
    wanted = write(backend, chunks_of(REPORT, 2))[1].chunk_id

    assert [entry.chunk_id for entry in backend.read([ABSENT, wanted, wanted])] == [wanted]
    assert backend.read([]) == []


def test_writing_an_id_again_replaces_what_was_there(backend: IndexBackend, name: str) -> None:
    before = write(backend, chunks_of(REPORT, 3))
    edited = chunk_of(REPORT, 1, text="chunk rewritten with zebras")

    write(backend, [edited])

    assert contents_of(backend, name) == digests_of([before[0], edited, before[2]], name)
    assert find_like(backend, name, edited, limit=1)[0].chunk_id == edited.chunk_id


def test_writing_the_same_again_changes_nothing(backend: IndexBackend, name: str) -> None:
    written = write(backend, chunks_of(REPORT, 5))

    write(backend, written)

    assert contents_of(backend, name) == digests_of(written, name)


def test_of_one_id_twice_the_later_stands(backend: IndexBackend, name: str) -> None:
    first, second = chunk_of(REPORT, text="chunk as it was"), chunk_of(REPORT, text="chunk as it is")

    write(backend, [first, chunk_of(LETTER), second])

    assert contents_of(backend, name) == digests_of([second, chunk_of(LETTER)], name)


def test_deleted_chunks_are_gone_and_absent_ids_are_no_error(backend: IndexBackend, name: str) -> None:
    written = write(backend, chunks_of(REPORT, 4))

    backend.delete([written[0].chunk_id, ABSENT, written[2].chunk_id, written[2].chunk_id])
    backend.flush()

    kept = [written[1], written[3]]
    assert contents_of(backend, name) == digests_of(kept, name)
    assert {hit.chunk_id for hit in find(backend, name)} == set(ids_of(kept))
    assert [entry.chunk_id for entry in backend.read([written[0].chunk_id])] == []


def test_between_two_flushes_the_last_word_counts(backend: IndexBackend, name: str) -> None:
    once, twice = chunk_of(REPORT), chunk_of(LETTER)

    backend.upsert([once, twice])
    backend.delete(ids_of([once, twice]))
    backend.upsert([twice])
    backend.flush()

    assert contents_of(backend, name) == digests_of([twice], name)


def test_nothing_to_write_or_delete_is_no_error(backend: IndexBackend, name: str) -> None:
    written = write(backend, chunks_of(REPORT, 1))

    backend.upsert([])
    backend.delete([])
    backend.flush()
    backend.flush()

    assert contents_of(backend, name) == digests_of(written, name)


def test_a_large_index_is_scanned_in_batches_each_id_once(backend: IndexBackend) -> None:
    vector = chunk_of(REPORT).vector
    written = [chunk_of(REPORT, ordinal, text="chunk", vector=vector) for ordinal in range(9_000)]
    write(backend, written)
    backend.delete(ids_of(written[:500]))
    backend.flush()

    batches = list(backend.scan_ids())

    assert len(batches) > 1
    scanned = [chunk_id for batch in batches for chunk_id in batch]
    assert sorted(scanned) == sorted(ids_of(written[500:]))


def test_a_search_answers_with_no_more_than_the_limit_best_first(backend: IndexBackend, name: str) -> None:
    write(backend, chunks_of(REPORT, 30))

    hits = find(backend, name, limit=7)

    assert len(hits) == 7
    assert list(hits) == list(find(backend, name, limit=1_000_000_000))[:7]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert find(backend, name, limit=0) == []


def test_equal_scores_are_ordered_by_id_wherever_they_are_cut(backend: IndexBackend, name: str) -> None:
    copies = [chunk_of(REPORT, ordinal, text="chunk of the licence") for ordinal in range(120)]
    write(backend, copies[60:])
    write(backend, copies[:60])

    found = [find_like(backend, name, copies[0], limit=limit) for limit in (3, 50)]

    assert [[hit.chunk_id for hit in hits] for hits in found] == [sorted(ids_of(copies))[:limit] for limit in (3, 50)]


def test_vacuum_changes_no_contents(backend: IndexBackend, name: str) -> None:
    written = write(backend, chunks_of(REPORT, 3_000))
    backend.delete(ids_of(written[:2_000]))
    backend.flush()

    backend.vacuum()

    assert contents_of(backend, name) == digests_of(written[2_000:], name)
    again = write(backend, written[:10])
    assert contents_of(backend, name) == digests_of([*again, *written[2_000:]], name)


def test_searches_go_on_while_chunks_come_and_go(backend: IndexBackend, name: str) -> None:
    steady = write(backend, [chunk_of(LETTER, text="chunk that always is there")])[0]
    searched, stop = threading.Semaphore(0), threading.Event()
    failures: list[BaseException] = []

    def search() -> None:
        try:
            while not stop.is_set():
                assert find_like(backend, name, steady, limit=1)[0].chunk_id == steady.chunk_id
                assert [entry.chunk_id for entry in backend.read([steady.chunk_id])] == [steady.chunk_id]
                assert any(steady.chunk_id in batch for batch in backend.scan_ids())
                searched.release()
        except BaseException as error:  # whatever it is, the test has to tell
            failures.append(error)
            raise
        finally:
            searched.release()

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in range(1, 9):
        write(backend, chunks_of(REPORT, 40, version=version))
        backend.delete(ids_of(chunks_of(REPORT, 40, version=version - 1)))
        backend.flush()
        backend.vacuum()
        searched.acquire()
    stop.set()
    for thread in threads:
        thread.join()

    assert not failures
    assert backend.count() == 41


def test_closing_twice_is_no_error(backend: IndexBackend) -> None:
    write(backend, chunks_of(REPORT, 1))

    backend.close()
    backend.close()


# Filters: over documents whose attributes are as odd as they may be.

LIBRARY = [
    DocumentAttributes(uri="file:///srv/docs/a.md", source_root="file:///srv/docs", media_type="text/markdown"),
    DocumentAttributes(uri="file:///srv/docs/a+b%20[1].md", source_root="file:///srv/docs", modified_at_ns=0),
    DocumentAttributes(uri="file:///srv/docs/deep/er/b.html", source_root="file:///srv/docs", media_type="text/html"),
    DocumentAttributes(uri="file:///srv/docs-old/a.md", source_root="file:///srv/docs-old", media_type="text/markdown"),
    DocumentAttributes(uri="https://example.org/?q=*&x=[a]#top", media_type="text/html", modified_at_ns=-5),
    DocumentAttributes(uri='push:quo"te\\{s}', metadata={"source": "file:///srv/docs", "a": "b", "a1": ":b"}),
    DocumentAttributes(uri="push:naïve/東京\nsecond line", metadata={"a:1": "b", "": "", "lang": "ja 東京"}),
    DocumentAttributes(uri="push:A", metadata={"a": "1:b", "media_type": "text/html"}, modified_at_ns=2**63 - 1),
    DocumentAttributes(uri="push:a", metadata={"a": "b", "b": "\x00\x1f"}, modified_at_ns=1_700_000_000_000_000_001),
    DocumentAttributes(uri="push:b", metadata={"a": "b"}, modified_at_ns=1_700_000_000_000_000_002),
    DocumentAttributes(uri="push:" + "long/" * 300 + "a.md", source_root="push:", media_type="text/markdown"),
    DocumentAttributes(uri="push:" + "long/" * 300 + "b.md", source_root="push:", media_type="text/markdown"),
]
PAIRS = sorted({pair for document in LIBRARY for pair in document.metadata.items()})
MOMENTS = sorted({document.modified_at_ns for document in LIBRARY if document.modified_at_ns is not None})
GLOBS = [
    "*",
    "",
    "?*",
    "*.md",
    "file:///srv/docs/*",
    "file:///srv/*/b.*",
    "push:[!a]",
    "push:[a-b]",
    "push:?",
    "*[[]1].md",
    "*[?]q=*",
    "*[a",
    "*東*line",
    "*long/*a.md",
    'push:quo"te\\{s}',
    "*" * 60 + "md",
]


@st.composite
def filters_over_the_library(draw: st.DrawFn) -> Filters:
    uri = draw(st.sampled_from([document.uri for document in LIBRARY]))
    moments = st.none() | st.sampled_from(MOMENTS) | st.sampled_from([moment + 1 for moment in MOMENTS])
    return Filters(
        uri_prefix=draw(st.none() | st.integers(0, len(uri)).map(lambda length: uri[:length]) | st.just(uri + "x")),
        uri_glob=draw(st.none() | st.sampled_from(GLOBS)),
        source=draw(st.none() | st.sampled_from(["file:///srv/docs", "push:", "nowhere"])),
        media_type=draw(st.none() | st.sampled_from(["text/html", "text/markdown", ""])),
        modified_from_ns=draw(moments),
        modified_to_ns=draw(moments),
        metadata=dict(draw(st.lists(st.sampled_from([*PAIRS, ("a", "c")]), max_size=2))),
    )


def passes(document: DocumentAttributes, asked: Filters) -> bool:
    """The filters' meaning, word by word."""
    return all(
        [
            asked.uri_prefix is None or document.uri.startswith(asked.uri_prefix),
            asked.uri_glob is None or fnmatch.fnmatchcase(document.uri, asked.uri_glob),
            asked.source is None or document.source_root == asked.source,
            asked.media_type is None or document.media_type == asked.media_type,
            asked.modified_from_ns is None
            or (document.modified_at_ns is not None and asked.modified_from_ns <= document.modified_at_ns),
            asked.modified_to_ns is None
            or (document.modified_at_ns is not None and document.modified_at_ns < asked.modified_to_ns),
            *(document.metadata.get(key) == value for key, value in asked.metadata.items()),
        ]
    )


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, IndexBackend]]:
    def opens(name: str) -> IndexBackend:
        backend = open_backend_of(name)(tmp_path_factory.mktemp(name), "g1", create=True)
        write(backend, [chunk_of(one.uri, ordinal, attributes=one) for one in LIBRARY for ordinal in range(3)])
        return backend

    opened = Libraries(opens)
    yield opened
    opened.close()


@given(asked=filters_over_the_library())
@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_search_answers_with_all_that_pass_its_filters(
    libraries: Mapping[str, IndexBackend], name: str, asked: Filters
) -> None:
    expected = {document_id_of(document.uri) for document in LIBRARY if passes(document, asked)}

    hits = find(libraries[name], name, filters=asked)

    assert {hit.document_id for hit in hits} == expected
    assert len(hits) == 3 * len(expected)


@pytest.mark.parametrize(
    "asked",
    [
        Filters(uri_prefix="file:///srv/docs/"),
        Filters(uri_glob="*/a.md"),
        Filters(uri_glob="*東*line"),
        Filters(uri_glob='*"te\\{s}*'),
        Filters(metadata={"a": "1:b"}),
        Filters(source="file:///srv/docs"),
        Filters(media_type="text/html"),
        Filters(modified_from_ns=1_700_000_000_000_000_002, modified_to_ns=2**63),
        Filters(modified_from_ns=-(2**80), modified_to_ns=1),
        Filters(metadata={"a": "b", "source": "file:///srv/docs"}),
    ],
    ids=lambda asked: next(key for key in Filters.__slots__ if getattr(asked, key)),
)
def test_each_filter_lets_some_documents_pass_and_not_others(
    libraries: Mapping[str, IndexBackend], name: str, asked: Filters
) -> None:
    found = {hit.document_id for hit in find(libraries[name], name, filters=asked)}

    assert found == {document_id_of(document.uri) for document in LIBRARY if passes(document, asked)}
    assert 0 < len(found) < len(LIBRARY)


@pytest.mark.parametrize("odd", [Filters(uri_prefix="\udc80"), Filters(metadata={"a": "\ud800"})], ids=["uri", "pair"])
def test_a_filter_that_is_not_unicode_lets_nothing_pass(
    libraries: Mapping[str, IndexBackend], name: str, odd: Filters
) -> None:
    assert find(libraries[name], name, filters=odd) == []


def test_a_rare_document_is_found_behind_many_that_a_filter_keeps_out(backend: IndexBackend, name: str) -> None:
    # The glob leaves drivers little to filter by, and the wanted chunk is the last of all.
    asked_for = chunk_of("folder:x", text="chunk chunk chunk")
    others = [replace(asked_for, chunk_id=chunk.chunk_id) for chunk in chunks_of(REPORT, 700)]
    rare = chunk_of("folder:7", text="chunk so far away")

    write(backend, [*others, rare])

    hits = find_like(backend, name, asked_for, limit=2, filters=Filters(uri_glob="folder:[0-9]"))
    assert [hit.chunk_id for hit in hits] == [rare.chunk_id]
