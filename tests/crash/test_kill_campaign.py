"""Ten SIGKILLs of everything at seeded moments of an ingest; `kill_campaign.py` tells how to run a hundred."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.kill_campaign import run
from tests.crash.kill_moments import KINDS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_kills_lose_nothing_double_nothing_and_leave_the_indexes_equal_to_the_log(tmp_path: Path) -> None:
    report = run(documents=150, kills=10, seed=7, data=tmp_path)
    assert report.problems == []
    assert report.kills == 10
    assert report.trips >= report.documents
    assert set(report.kills_by_moment) <= set(KINDS)
