from __future__ import annotations

import hashlib
import io
import subprocess
import sys

import avro.datafile
import avro.io
import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.stages import contents
from streams.stages.contents import (
    Chunk,
    UnreadableContents,
    decode_chunks,
    decode_text,
    decode_vectors,
    encode_chunks,
    encode_text,
    encode_vectors,
)

texts = st.text(st.characters(exclude_categories=("Cs",)))
offsets = st.integers(0, 2**63 - 1)
ordinals = st.integers(0, 2**31 - 1)
chunk_lists = st.lists(st.builds(Chunk, ordinals, offsets, offsets, st.none() | ordinals, texts, texts))


def chunk_of(text: str, ordinal: int = 0) -> Chunk:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Chunk(ordinal=ordinal, start=0, end=len(text), page=1, text=text, text_hash=digest)


@given(chunk_lists)
def test_chunks_come_back_as_they_went_in(chunks: list[Chunk]) -> None:
    assert decode_chunks(encode_chunks(chunks)) == chunks


@given(texts)
def test_text_comes_back_as_it_went_in(text: str) -> None:
    assert decode_text(encode_text(text)) == text


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_vectors_come_back_as_they_went_in(rows: int) -> None:
    vectors = np.random.default_rng(rows).standard_normal((rows, 5)).astype(np.float32)
    assert np.array_equal(decode_vectors(encode_vectors(vectors), dim=5), vectors)
    assert decode_vectors(encode_vectors(vectors), dim=5).shape == (rows, 5)


def test_vectors_of_another_byte_order_or_layout_give_the_same_bytes() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert encode_vectors(vectors.astype(">f4")) == encode_vectors(np.asfortranarray(vectors)) == vectors.tobytes()


def test_the_same_contents_give_the_same_bytes_in_another_process() -> None:
    program = (
        "import sys; from streams.stages.contents import *\n"
        "sys.stdout.buffer.write(encode_chunks([Chunk(0, 0, 5, None, 'again', 'hash')] * 3) + encode_text('again'))"
    )
    here = encode_chunks([Chunk(0, 0, 5, None, "again", "hash")] * 3) + encode_text("again")
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == here


def test_any_avro_reader_reads_the_chunks() -> None:
    chunks = [chunk_of("eins"), chunk_of("zwei ≈ two", ordinal=1)]
    with avro.datafile.DataFileReader(io.BytesIO(encode_chunks(chunks)), avro.io.DatumReader()) as reader:
        assert [Chunk(**record) for record in reader] == chunks


def test_a_field_that_a_later_release_added_is_passed_over() -> None:
    schema = {"type": "record", "name": "Chunk", "namespace": "refold.contents", "fields": []}
    schema["fields"] = [*contents._CHUNK_SCHEMA["fields"], {"name": "language", "type": "string"}]
    later, chunk = io.BytesIO(), chunk_of("from the future")
    fastavro.writer(later, fastavro.parse_schema(schema), [{**contents._record(chunk), "language": "en"}])
    assert decode_chunks(later.getvalue()) == [chunk]


def test_contents_beyond_one_block_are_read_whole() -> None:
    chunks = [chunk_of(f"{ordinal} " * 600, ordinal) for ordinal in range(500)]
    data = encode_chunks(chunks)
    assert data.count(contents._SYNC_MARKER) > 2
    assert decode_chunks(data) == chunks


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_cut_off_chunks_are_unreadable(size: int) -> None:
    with pytest.raises(UnreadableContents, match="no chunks"):
        decode_chunks(encode_chunks([chunk_of("a whole chunk")] * 50)[:size])


def test_the_bytes_of_something_else_are_unreadable() -> None:
    foreign = io.BytesIO()
    fastavro.writer(
        foreign, {"type": "record", "name": "Recipe", "fields": [{"name": "egg", "type": "int"}]}, [{"egg": 3}]
    )
    with pytest.raises(UnreadableContents, match="no chunks"):
        decode_chunks(foreign.getvalue())
    with pytest.raises(UnreadableContents, match="no text") as caught:
        decode_text(foreign.getvalue())
    assert caught.value.hint
    with pytest.raises(UnreadableContents, match="no text"):
        decode_text(encode_text("half of this")[:-3])
    with pytest.raises(UnreadableContents, match="9 bytes are no whole rows of 2"):
        decode_vectors(b"9 bytes!!", dim=2)
