"""A panic of a library in Rust is no Exception in Python: it is told all the same, and no thread ends silently."""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest

from projections.backends.folder import mapped_driver_errors
from projections.fold.panics import Panicked
from refold.cluster.projector.upkeep import Kept, Upkeep, WentOn
from refold.control.messages import Call, encode
from refold.control.server import ControlServer

PATIENCE_S = 60.0


class PanicException(BaseException):
    """As the bindings call theirs, each its own; none of them can be made from here."""


def panic(*_: object) -> NoReturn:
    raise PanicException("the len is 1 but the index is 1")


def test_a_drivers_panic_is_an_error_of_its_index(tmp_path: Path) -> None:
    with (
        pytest.raises(Panicked, match="the len is 1") as caught,
        mapped_driver_errors("search", "keyword", tmp_path),
    ):
        panic()
    assert caught.value.hint == "refold rebuild keyword"


def test_what_asks_a_process_to_end_is_no_panic(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), mapped_driver_errors("search", "keyword", tmp_path):
        raise KeyboardInterrupt


def test_a_projector_tells_the_panic_that_a_view_was_opened_with() -> None:
    def make(_: WentOn) -> Kept:
        panic()

    upkeep = Upkeep("vector", make)
    upkeep.stop(PATIENCE_S)
    assert isinstance(upkeep.error, Panicked)
    assert upkeep.error.hint == "refold rebuild vector"


def test_a_caller_is_told_of_the_panic_that_its_command_met(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, panic)
    answer = server._result(encode(asdict(Call(command="search"))), lambda _: None, threading.Event())
    assert "the len is 1" in answer["error"]["message"]
