"""A byte of each part of a data folder is damaged between kills; `damage_campaign.py` tells how to damage a hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.damage_campaign import run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_damaged_between_kills_is_told_or_harmless_and_healed_by_what_the_hint_names(tmp_path: Path) -> None:
    report = run(documents=12, damages=3, seed=11, folder=tmp_path)
    assert report.problems == []
    assert report.damages_by_part == {"artifacts": 1, "indexes": 1, "log": 1}
    assert report.told
