"""What a pool process may answer. A document may have taken it over, so what else it says is not believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from schemas.events import Stage
from streams.attempts.task import StageAnswer, StageOutput, StageTask
from streams.stages.contents import check_packed_chunks, check_packed_text, decode_vectors
from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.parse import MAX_TITLE_CHARS

MAX_COUNTS: Final = 64
"""Different counts of a stage; parsers have seven at most."""

MAX_NAME_CHARS: Final = 100
"""Of the name of a count."""

MAX_MESSAGE_CHARS: Final = 2_000
"""Of why a stage failed; our own messages are cut far below."""

_NUMBERS_END: Final = 1 << 63
_ORDER: Final = (Stage.PARSE, Stage.CHUNK, Stage.EMBED)


def check_sound(answer: StageAnswer, task: StageTask, *, settings: StageSettings, dim: int) -> None:
    """Raise ValueError unless a sound process could have given `answer` to `task`.

    Whether texts and chunks decode is not tried here: their readers do, and set the document aside.
    """
    expected = _ORDER[_ORDER.index(task.first_stage) :]
    stages = [output.stage for output in answer.outputs]
    _require(stages == list(expected[: len(stages)]), "outputs of other stages than it was asked for")
    if answer.failure is None:
        _require(len(stages) == len(expected), "fewer outputs than it was asked for, and no failure")
    else:
        _check_failure(answer.failure, expected)
    _check_title(answer.title)
    for output in answer.outputs:
        _check_counts(output)
        _CHECKS[output.stage](output, settings, dim)
    _check_number_of_vectors(answer.outputs, dim)


def _check_failure(failure: StageFailed, expected: Sequence[Stage]) -> None:
    _require(failure.stage in expected, "a failure of another stage than it was asked for")
    _require(_is_text(str(failure), MAX_MESSAGE_CHARS), "a failure in no sayable words")


def _check_title(title: object) -> None:
    _require(title is None or _is_text(title, MAX_TITLE_CHARS), "a title that is none")


def _check_counts(output: StageOutput) -> None:
    numbers = [output.duration_ms, *output.counts.values()]
    _require(len(output.counts) <= MAX_COUNTS, "too many counts")
    _require(all(_is_text(name, MAX_NAME_CHARS) for name in output.counts), "a count without a name")
    _require(all(type(number) is int and 0 <= number < _NUMBERS_END for number in numbers), "a count that is none")


def _check_text(output: StageOutput, settings: StageSettings, _dim: int) -> None:
    check_packed_text(output.data, max_chars=settings.max_text_chars)
    start, end = output.counts.get("title_start", 0), output.counts.get("title_end", 0)
    _require(start <= end <= start + MAX_TITLE_CHARS, "a title in no place of its text")


def _check_chunks(output: StageOutput, _settings: StageSettings, _dim: int) -> None:
    check_packed_chunks(output.data)
    _require("chunks" in output.counts, "chunks without their number")


def _check_vectors(output: StageOutput, _settings: StageSettings, dim: int) -> None:
    _require(bool(np.isfinite(decode_vectors(output.data, dim)).all()), "vectors that are not finite")


_CHECKS: Final[dict[Stage, Callable[[StageOutput, StageSettings, int], None]]] = {
    Stage.PARSE: _check_text,
    Stage.CHUNK: _check_chunks,
    Stage.EMBED: _check_vectors,
}


def _check_number_of_vectors(outputs: Sequence[StageOutput], dim: int) -> None:
    by_stage = {output.stage: output for output in outputs}
    if Stage.CHUNK in by_stage and Stage.EMBED in by_stage:
        count = len(decode_vectors(by_stage[Stage.EMBED].data, dim))
        _require(count == by_stage[Stage.CHUNK].counts["chunks"], "another number of vectors than of chunks")


def _is_text(value: object, max_chars: int) -> bool:
    """Whether `value` is a text of at most `max_chars` that UTF-8 can carry."""
    if not isinstance(value, str) or len(value) > max_chars:
        return False
    return value.isascii() or value.encode(errors="replace").decode() == value


def _require(is_so: bool, what: str) -> None:  # noqa: FBT001 - a condition and its words
    if not is_so:
        raise ValueError(what)
