"""Logs of every released schema set, replayed for ever: what was written once still means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.avro_files import released_schemas
from schemas.codec import Codec
from schemas.containers import read_container
from schemas.registries.memory import MemoryRegistry
from tests.samples.golden_states import states_of

GOLDEN = Path(__file__).parent.parent / "golden"
SETS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir() and path.name.startswith("v"))


@pytest.mark.parametrize("name", SETS)
def test_a_golden_log_folds_to_the_states_it_always_did(name: str, tmp_path: Path) -> None:
    always: dict[str, list[Any]] = json.loads((GOLDEN / f"{name}.states.json").read_text())
    assert states_of(GOLDEN / name, tmp_path) == always


def test_the_golden_log_of_the_first_schemas_holds_every_kind_of_event() -> None:
    codec = Codec(MemoryRegistry())
    entries = [entry for path in (GOLDEN / "v1").glob("*.avro") for entry in read_container(path, codec=codec)]
    released = {schema.record for schema in released_schemas() if schema.version == 1}
    assert {type(entry.event).__name__ for entry in entries} == released
