"""What a pool process is asked to do with one document, and its answer: a JSON header and blobs, in one frame of bytes.

No pickle: a document that takes over its parser gets no further than the answer about itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.events import Stage
from streams.stages.failures import StageFailed

_LENGTH_BYTES: Final = 4


def pack(header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """One frame of `header` (JSON values) and `blobs`."""
    head = json.dumps([header, [len(blob) for blob in blobs]]).encode()
    return b"".join([len(head).to_bytes(_LENGTH_BYTES, "little"), head, *blobs])


def unpack(frame: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the blobs of a frame.

    Raises:
        ValueError: this is no frame of ours.
    """
    view = memoryview(frame)
    head_end = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    header, blob_bytes = json.loads(bytes(view[_LENGTH_BYTES:head_end]))
    blobs = []
    start = head_end
    for size_bytes in blob_bytes:
        if size_bytes < 0:
            raise ValueError("a blob has less than no bytes")
        blobs.append(bytes(view[start : start + size_bytes]))
        start += size_bytes
    if start != len(frame) or not isinstance(header, dict):
        raise ValueError("a frame ends where its header does not say")
    return header, blobs


_INPUTS = ("content", "text", "chunks", "known_chunks", "known_vectors")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """Run the stages from the first missing one on: exactly one of `content`, `text` and `chunks` is given.

    Attributes:
        media_type: Of `content`.
        content: To be parsed, chunked and embedded.
        text: A text artifact, to be chunked and embedded.
        chunks: A chunks artifact, to be embedded.
        known_chunks: The chunks artifact of the live version, whose vectors may be kept.
        known_vectors: Its vectors, by the same embedder.
    """

    media_type: str = ""
    content: bytes | None = None
    text: bytes | None = None
    chunks: bytes | None = None
    known_chunks: bytes | None = None
    known_vectors: bytes | None = None

    @property
    def first_stage(self) -> Stage:
        """The first stage that runs."""
        if self.content is not None:
            return Stage.PARSE
        return Stage.CHUNK if self.text is not None else Stage.EMBED

    def packed(self) -> bytes:
        """This task as a frame."""
        given = {name: value for name in _INPUTS if (value := getattr(self, name)) is not None}
        return pack({"media_type": self.media_type, "inputs": list(given)}, list(given.values()))

    @staticmethod
    def unpacked(frame: bytes) -> StageTask:
        """The task that `packed` made `frame` of."""
        header, blobs = unpack(frame)
        return StageTask(media_type=header["media_type"], **dict(zip(header["inputs"], blobs, strict=True)))


@dataclass(frozen=True, slots=True)
class StageOutput:
    """What one stage gave: the bytes of its artifact."""

    stage: Stage
    data: bytes
    duration_ms: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAnswer:
    """The outputs of the stages that ran, in order, up to the one that failed.

    Attributes:
        outputs: Of the stages that succeeded.
        title: The document's title, where it was parsed.
        failure: Why the next stage gave nothing, or None if all is done.
        is_last: Whether the process ends after this answer, to give its memory back.
    """

    outputs: Sequence[StageOutput] = ()
    title: str | None = None
    failure: StageFailed | None = None
    is_last: bool = False

    def packed(self, *, is_last: bool) -> bytes:
        """This answer as a frame."""
        failure = self.failure and [self.failure.code, str(self.failure), self.failure.stage]
        header = {
            "outputs": [[output.stage, output.duration_ms, output.counts] for output in self.outputs],
            "title": self.title,
            "failure": failure,
            "is_last": is_last,
        }
        return pack(header, [output.data for output in self.outputs])

    @staticmethod
    def unpacked(frame: bytes) -> StageAnswer:
        """The answer that `packed` made `frame` of.

        Raises:
            ValueError, LookupError, TypeError: this is none.
        """
        header, blobs = unpack(frame)
        failure = header["failure"]
        return StageAnswer(
            outputs=[
                StageOutput(Stage(stage), data, duration_ms, dict(counts))
                for (stage, duration_ms, counts), data in zip(header["outputs"], blobs, strict=True)
            ],
            title=header["title"],
            failure=failure and StageFailed(failure[0], failure[1], stage=Stage(failure[2])),
            is_last=bool(header["is_last"]),
        )
