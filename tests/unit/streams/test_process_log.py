from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from streams.process_log import ProcessLogger, log_from

log = ProcessLogger("a module")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = log_from(None)
    yield
    log_from(before)
    structlog.reset_defaults()


def said(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    """Level, event and document of each line on standard error; on standard output there is none."""
    out, err = capsys.readouterr()
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    return [(line["level"], line["event"], line["document_id"]) for line in lines]


def tell() -> None:
    log.debug("looked at", document_id="d1")
    log.info("taken", document_id="d2")
    log.warning("set aside", document_id="d3")
    try:
        int("a fault")
    except ValueError:
        log.exception("stopped", document_id="d4")


WARNED = [("warning", "set aside", "d3"), ("error", "stopped", "d4")]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", [("debug", "looked at", "d1"), ("info", "taken", "d2"), *WARNED]),
        ("info", [("info", "taken", "d2"), *WARNED]),
        ("warning", WARNED),
        ("error", WARNED[1:]),
        (None, WARNED),
    ],
)
def test_a_process_says_what_is_of_its_level_and_one_of_somebody_else_warnings(
    level: str | None, expected: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    log_from(level)
    tell()
    assert said(capsys) == expected


def test_a_program_that_has_configured_structlog_gets_everything_its_way(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer(key_order=["event", "document_id"])],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    tell()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["event='looked at' document_id='d1'", "event='taken' document_id='d2'"]
    assert len(lines) == 4


def test_what_no_level_has_is_no_method() -> None:
    with pytest.raises(AttributeError):
        log.shout("hear")
