"""Answers that no sound pool process gives are refused; those that one gives pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zstandard

from schemas.errors import PoisonError
from schemas.events import Stage
from streams.attempts.sound_answer import check_sound
from streams.attempts.task import StageAnswer, StageTask, pack, unpack
from streams.attempts.work import StageWork
from streams.stages.contents import encode_chunks, encode_text, encode_vectors
from streams.stages.embed import load_embedder
from streams.stages.failures import StageFailed
from streams.stages.fingerprints import DEFAULT_EMBEDDER, StageSettings

SETTINGS = StageSettings(max_text_chars=10_000)
EMBEDDER = load_embedder(DEFAULT_EMBEDDER)
TASK = StageTask(media_type="text/markdown", content=b"# A title\n\nand some words")
WORK = StageWork(SETTINGS, EMBEDDER)
ANSWER = WORK.answer(TASK)


def check(answer: StageAnswer, task: StageTask = TASK) -> None:
    told = StageAnswer.unpacked(answer.packed(is_last=False))
    check_sound(told, task, settings=SETTINGS, dim=EMBEDDER.dim)


def test_what_the_stages_give_is_sound() -> None:
    check(ANSWER)
    text, chunks = ANSWER.outputs[0].data, ANSWER.outputs[1].data
    for task in (StageTask(text=text), StageTask(chunks=chunks), StageTask(media_type="text/plain", content=b"")):
        check(WORK.answer(task), task)
    damaged = StageTask(text=b"no text")
    assert WORK.answer(damaged).failure is not None
    check(WORK.answer(damaged), damaged)
    check(StageAnswer(outputs=ANSWER.outputs[:2], failure=StageFailed("stage_failed", "no", stage=Stage.EMBED)))


def with_output(at: int, **changes: Any) -> StageAnswer:
    outputs = list(ANSWER.outputs)
    outputs[at] = replace(outputs[at], **changes)
    return replace(ANSWER, outputs=outputs)


def with_counts(at: int, **counts: Any) -> StageAnswer:
    return with_output(at, counts={**ANSWER.outputs[at].counts, **counts})


ONE_ROW = encode_vectors(np.ones((1, EMBEDDER.dim), np.float32))

UNSOUND: dict[str, tuple[Callable[[], StageAnswer], str]] = {
    "nothing": (StageAnswer, "fewer outputs"),
    "the last stage is missing": (lambda: replace(ANSWER, outputs=ANSWER.outputs[:2]), "fewer outputs"),
    "the first stage is missing": (lambda: replace(ANSWER, outputs=ANSWER.outputs[1:]), "other stages"),
    "a stage twice": (lambda: replace(ANSWER, outputs=[ANSWER.outputs[0]] * 3), "other stages"),
    "too many": (lambda: replace(ANSWER, outputs=[*ANSWER.outputs, ANSWER.outputs[2]]), "other stages"),
    "a fetch": (lambda: with_output(0, stage=Stage.FETCH), "other stages"),
    "a failure of the fetch": (
        lambda: StageAnswer(failure=StageFailed("parser_failed", "no", stage=Stage.FETCH)),
        "a failure of another stage",
    ),
    "a failure in a megabyte": (
        lambda: StageAnswer(failure=StageFailed("parser_failed", "x" * 1_000_000, stage=Stage.PARSE)),
        "sayable",
    ),
    "a failure with half a character": (
        lambda: StageAnswer(failure=StageFailed("parser_failed", "\udcff", stage=Stage.PARSE)),
        "sayable",
    ),
    "a title with half a character": (lambda: replace(ANSWER, title="\udcff"), "title"),
    "a title of a megabyte": (lambda: replace(ANSWER, title="x" * 1_000_000), "title"),
    "a number as title": (lambda: replace(ANSWER, title=7), "title"),  # type: ignore[arg-type]
    "a title in the whole text": (lambda: with_counts(0, title_start=0, title_end=5_000), "title"),
    "a title that ends before it begins": (lambda: with_counts(0, title_start=9, title_end=1), "title"),
    "a count beyond 64 bits": (lambda: with_counts(0, n=2**63), "a count that is none"),
    "a count below zero": (lambda: with_counts(1, chunks=-1), "a count that is none"),
    "a fraction": (lambda: with_counts(1, chunks=1.0), "a count that is none"),
    "a truth value": (lambda: with_counts(1, chunks=True), "a count that is none"),
    "a word as count": (lambda: with_counts(1, chunks="1"), "a count that is none"),
    "no duration": (lambda: with_output(0, duration_ms=None), "a count that is none"),
    "an endless duration": (lambda: with_output(2, duration_ms=2**64), "a count that is none"),
    "a thousand counts": (lambda: with_counts(0, **{f"n{n}": n for n in range(1_000)}), "too many counts"),
    "a count with a name of a kilobyte": (lambda: with_counts(0, **{"n" * 1_000: 1}), "without a name"),
    "no number of chunks": (lambda: with_output(1, counts={}), "without their number"),
    "another number of chunks": (lambda: with_counts(1, chunks=2), "another number of vectors"),
    "half a vector": (lambda: with_output(2, data=ONE_ROW[:-4]), "no whole rows"),
    "a vector too many": (lambda: with_output(2, data=ONE_ROW * 2), "another number of vectors"),
    "no vector": (lambda: with_output(2, data=b""), "another number of vectors"),
    "an infinite vector": (lambda: with_output(2, data=np.full(EMBEDDER.dim, np.inf, "<f4").tobytes()), "finite"),
    "a vector of no numbers": (lambda: with_output(2, data=np.full(EMBEDDER.dim, np.nan, "<f4").tobytes()), "finite"),
    "a text that is none": (lambda: with_output(0, data=b"soup"), "no text"),
    "a text that unpacks to a gigabyte": (lambda: with_output(0, data=encode_text("x" * 10**9)), "no text"),
    "a text that does not say how long it is": (
        lambda: with_output(0, data=zstandard.ZstdCompressor(write_content_size=False).compress(b"x")),
        "no text",
    ),
    "chunks that are none": (lambda: with_output(1, data=b"soup"), "no chunks"),
    "chunks of somebody else": (lambda: with_output(1, data=b"Obj\1" + encode_chunks([])[5:]), "no chunks"),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_no_stage_gives_is_refused(name: str) -> None:
    make, words = UNSOUND[name]
    with pytest.raises((ValueError, PoisonError), match=words):
        check(make())


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xff\xff\x7f{}",
        pack({}),
        pack({"outputs": [], "title": None, "failure": ["no_such_code", "no", "PARSE"], "is_last": False}),
        pack({"outputs": [], "title": None, "failure": ["parser_failed", "no", "NO_STAGE"], "is_last": False}),
        pack({"outputs": [["PARSE", 1, 5]], "title": None, "failure": None, "is_last": False}, [b"x"]),
        pack({"outputs": [["PARSE", 1, {}]], "title": None, "failure": None, "is_last": False}),
        b"\x06\x00\x00\x00[" + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_does_not_unpack(frame: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        StageAnswer.unpacked(frame)


def test_blobs_cannot_overlap() -> None:
    frame = pack({}, [b"abcdef"]).replace(b"[6]", b"[9,-3]")
    grown = (int.from_bytes(frame[:4], "little") + 3).to_bytes(4, "little") + frame[4:]
    with pytest.raises(ValueError, match="less than no bytes"):
        unpack(grown)
