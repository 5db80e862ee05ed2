"""`ops/python-api.md` names every public name, argument and field, and its examples run."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import refold
from refold.api.ingest_options import OPTIONS
from refold.api.pipeline import Pipeline
from refold.commands import COMMANDS
from schemas import errors
from tests.commands.markdown_blocks import ROOT, code, rows, section
from tests.commands.pages import reader_environment, typed

PAGE = ROOT / "ops" / "python-api.md"
RESULTS = [refold.PipelineResult, refold.DocumentResult, refold.SearchAnswer, refold.Hit]
METHODS = {
    "stream_events": "### Pipeline.stream_events",
    "iter_results": "### Pipeline.iter_results",
    "run": "### Pipeline.run",
    "add": "### Pipeline.add",
    "search": "## Searching",
    "subscribe": "## Subscribing",
    "call": "## Every other command",
}
"""Each public method, and where the page explains it."""


def words(text: str) -> set[str]:
    """The identifiers within backticks."""
    return {word for piece in code(text) for word in re.findall(r"[A-Za-z_]+", piece)}


def test_every_public_name_is_on_the_page() -> None:
    named = set(re.findall(r"refold\.(\w+)", PAGE.read_text()))
    assert set(refold.__all__) - named == set()


def test_every_public_method_has_a_place() -> None:
    public = {name for name, _ in inspect.getmembers(Pipeline, inspect.isfunction) if not name.startswith("_")}
    assert public == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_argument_of_a_method_is_explained(method: str) -> None:
    place = section(PAGE, METHODS[method])
    parameters = set(inspect.signature(getattr(Pipeline, method)).parameters) - {"self"}
    assert f"pipeline.{method}(" in place
    assert parameters - words(place) == set()


def test_every_argument_of_open_is_explained() -> None:
    parameters = list(inspect.signature(refold.open).parameters)
    assert parameters == [code(row[0])[0] for row in rows(PAGE) if code(row[0]) and code(row[0])[0] in parameters]


def test_the_defaults_are_those_of_the_code() -> None:
    defaults = inspect.signature(Pipeline.stream_events).parameters
    on_page = {
        code(row[0])[0]: row[1].strip("`").replace(",", "") for row in rows(PAGE) if len(row) == 3 and code(row[0])
    }
    for name, parameter in defaults.items():
        if parameter.default is not inspect.Parameter.empty:
            assert on_page[name] == str(parameter.default)
    assert set(OPTIONS) <= set(on_page)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: str(result.__name__))
def test_every_field_of_a_result_is_explained(result: type) -> None:
    table = PAGE.read_text().split(f"| field of {result.__name__} |")[1].split("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in code(row.split("|")[1])]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(result))


def test_every_field_of_filters_and_deliveries_is_named() -> None:
    fields = [field.name for kind in (refold.Filters, refold.Delivery) for field in dataclasses.fields(kind)]
    assert set(fields) - words(PAGE.read_text()) == set()


def test_every_command_can_be_called_and_is_on_the_page() -> None:
    calls = {
        name
        for row in rows(PAGE)
        for name in re.findall(r'^`"([a-z ]+)"`|, `"([a-z ]+)"`', row[0])
        for name in name
        if name
    }
    assert calls == set(COMMANDS)


def test_every_error_is_on_the_page() -> None:
    known = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.RefoldError) and kind is not errors.FatalError
    }
    assert known - words(section(PAGE, "## Errors")) == set()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_examples_work(tmp_path: Path) -> None:
    first, second, third = [said for _, said in typed(PAGE, tmp_path / "somewhere", reader_environment(tmp_path))]
    assert first == "Peas # Peas\n\nSow peas in March.\n"
    assert second.split() == ["DocumentCompleted", "JobFinished"]
    lines = third.splitlines()
    assert lines[0] == "['push:notes/beans']"
    assert lines[1].startswith("file://")
    assert lines[2] == "True"
