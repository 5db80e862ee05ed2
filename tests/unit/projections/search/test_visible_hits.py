"""Which hits a search may show."""

from __future__ import annotations

import pytest

from projections.index.books.served import Standing
from projections.search.visible_hits import Visibility, visibility_of

BEGAN = 1_000


@pytest.mark.parametrize(
    ("version", "standing", "expected"),
    [
        pytest.param(1, None, Visibility.HIDE, id="a chunk whose document was never served"),
        pytest.param(1, Standing(1, 500, None, None), Visibility.SHOW, id="the served version"),
        pytest.param(1, Standing(1, 1_500, None, None), Visibility.SHOW, id="served since the query began"),
        pytest.param(2, Standing(1, 500, None, None), Visibility.HIDE, id="written and not yet served"),
        pytest.param(1, Standing(2, 1_500, 1, 500), Visibility.SHOW, id="superseded since the query began"),
        pytest.param(1, Standing(2, 1_001, 1, 500), Visibility.SHOW, id="superseded right after it began"),
        pytest.param(
            1, Standing(2, 1_000, 1, 500), Visibility.HIDE, id="superseded by the latest switch before it began"
        ),
        pytest.param(1, Standing(None, 1_500, 1, 500), Visibility.SHOW, id="removed since the query began"),
        pytest.param(1, Standing(None, 999, 1, 500), Visibility.HIDE, id="removed before it began"),
        pytest.param(1, Standing(3, 1_500, 2, 1_200), Visibility.ASK_AGAIN, id="superseded twice since it began"),
        pytest.param(
            1, Standing(3, 1_500, 2, 500), Visibility.HIDE, id="superseded once before and once since it began"
        ),
        pytest.param(
            1, Standing(3, 1_500, 2, 1_000), Visibility.HIDE, id="superseded right before it began, and since"
        ),
        pytest.param(1, Standing(3, 1_500, None, 1_200), Visibility.ASK_AGAIN, id="removed and back again meanwhile"),
    ],
)
def test_a_hit_is_shown_if_its_version_was_served_at_any_moment_of_the_query(
    version: int, standing: Standing | None, expected: Visibility
) -> None:
    assert visibility_of(version, standing, since_us=BEGAN) is expected
