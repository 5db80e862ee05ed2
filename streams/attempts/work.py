"""The stages of one document, one after the other; this runs inside a pool process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from schemas.errors import PoisonError, RefoldError
from schemas.events import Stage
from streams.attempts.task import StageAnswer, StageOutput, StageTask
from streams.stages.chunk import chunk
from streams.stages.contents import (
    Chunk,
    decode_chunks,
    decode_text,
    decode_vectors,
    encode_chunks,
    encode_text,
    encode_vectors,
)
from streams.stages.embed import Embedder
from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.parse import PARSERS, parse, title_of

MAX_MESSAGE_CHARS = 500
"""Of a foreign exception's text, which may quote half a document."""


class StageWork:
    """Does tasks, one at a time.

    Args:
        settings: Of the stages.
        embedder: Gives vectors to chunks.
        parsers: Where the parsers stand, by name.
        begin: Called with each stage before it runs, so that a death in it can be told.
    """

    def __init__(
        self,
        settings: StageSettings,
        embedder: Embedder,
        *,
        parsers: Mapping[str, str] = PARSERS,
        begin: Callable[[Stage], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._embedder = embedder
        self._parsers = parsers
        self._begin = begin

    def answer(self, task: StageTask) -> StageAnswer:
        """What the stages make of `task`; raises nothing."""
        document = _Document(begin=self._begin)
        failure = None
        try:
            if task.content is not None:
                self._parse(document, task)
            if task.chunks is None:
                self._chunk(document, task)
            self._embed(document, task)
        except StageFailed as exc:
            failure = StageFailed(exc.code, str(exc), stage=document.stage)
        except MemoryError:
            limit_mib = self._settings.memory_limit_bytes // 2**20
            message = f"the document needs more memory than a pool process may take ({limit_mib} MiB)"
            failure = StageFailed("memory_limit", message, stage=document.stage)
        except BaseException as exc:  # noqa: BLE001 - Rust panics derive from it, and they too are one document's failure
            failure = _unforeseen(exc, document.stage)
        return StageAnswer(outputs=document.outputs, title=document.title, failure=failure)

    def _parse(self, document: _Document, task: StageTask) -> None:
        with document.running(Stage.PARSE) as output:
            text, counts = parse(task.content or b"", task.media_type, self._settings, parsers=self._parsers)
            output(encode_text(text), counts)
        document.text = text
        document.title = title_of(text, counts)

    def _chunk(self, document: _Document, task: StageTask) -> None:
        with document.running(Stage.CHUNK) as output:
            if task.text is not None:
                document.text = decode_text(task.text)
            document.chunks = chunk(document.text, self._settings)
            output(encode_chunks(document.chunks), {"chunks": len(document.chunks)})

    def _embed(self, document: _Document, task: StageTask) -> None:
        with document.running(Stage.EMBED) as output:
            if task.chunks is not None:
                document.chunks = decode_chunks(task.chunks)
            vectors, embedded = self._vectors(document.chunks, _known_vectors(task, self._embedder.dim))
            output(encode_vectors(vectors), {"embedded": embedded, "reused": len(document.chunks) - embedded})

    def _vectors(
        self, chunks: Sequence[Chunk], known: Mapping[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], int]:
        """A row per chunk, and how many of them were embedded now."""
        missing = [ordinal for ordinal, piece in enumerate(chunks) if piece.text_hash not in known]
        embedded = self._embedder.embed([chunks[ordinal].text for ordinal in missing])
        if len(missing) == len(chunks):
            return embedded, len(missing)
        vectors = np.empty((len(chunks), self._embedder.dim), np.float32)
        vectors[missing] = embedded
        for ordinal, piece in enumerate(chunks):
            if piece.text_hash in known:
                vectors[ordinal] = known[piece.text_hash]
        return vectors, len(missing)


class _Document:
    """One document on its way through the stages."""

    def __init__(self, *, begin: Callable[[Stage], None]) -> None:
        self._begin = begin
        self.stage = Stage.PARSE
        self.outputs: list[StageOutput] = []
        self.text = ""
        self.title: str | None = None
        self.chunks: Sequence[Chunk] = ()

    @contextmanager
    def running(self, stage: Stage) -> Iterator[Callable[[bytes, dict[str, int]], None]]:
        """A stage that runs; what is yielded takes its output and its counts."""
        self.stage = stage
        self._begin(stage)
        started = time.perf_counter()

        def output(data: bytes, counts: dict[str, int]) -> None:
            self.outputs.append(StageOutput(stage, data, int((time.perf_counter() - started) * 1000), counts))

        yield output


def _known_vectors(task: StageTask, dim: int) -> Mapping[str, NDArray[np.float32]]:
    if task.known_chunks is None or task.known_vectors is None:
        return {}
    try:
        hashes = [piece.text_hash for piece in decode_chunks(task.known_chunks)]
        return dict(zip(hashes, decode_vectors(task.known_vectors, dim), strict=True))
    except (PoisonError, ValueError):
        return {}  # they do not belong together: nothing is kept, and all is embedded


def _unforeseen(exc: BaseException, stage: Stage) -> StageFailed:
    message = str(exc) if isinstance(exc, RefoldError) else f"{type(exc).__name__}: {exc}"
    code = "parser_failed" if stage is Stage.PARSE else "stage_failed"
    return StageFailed(code, message[:MAX_MESSAGE_CHARS], stage=stage)
