import pytest

from schemas.errors import UsageError
from schemas.events import Mode, SkipReason
from streams.documents.modes import removes_what_is_gone, verdict

UNCHANGED, EXISTS, ABSENT = SkipReason.UNCHANGED, SkipReason.EXISTS, SkipReason.ABSENT

# (is_live, is_unchanged, force): AUTO, ADD_ONLY, UPDATE_ONLY, SKIP_EXISTING
TABLE = {
    (False, None, False): (None, None, ABSENT, None),
    (False, False, False): (None, None, ABSENT, None),
    (False, True, False): (None, None, ABSENT, None),
    (False, None, True): (None, None, ABSENT, None),
    (False, False, True): (None, None, ABSENT, None),
    (False, True, True): (None, None, ABSENT, None),
    (True, None, False): (None, EXISTS, None, EXISTS),
    (True, False, False): (None, EXISTS, None, EXISTS),
    (True, True, False): (UNCHANGED, EXISTS, UNCHANGED, EXISTS),
    (True, None, True): (None, EXISTS, None, None),
    (True, False, True): (None, EXISTS, None, None),
    (True, True, True): (None, EXISTS, None, None),
}
MODES = (Mode.AUTO, Mode.ADD_ONLY, Mode.UPDATE_ONLY, Mode.SKIP_EXISTING)


@pytest.mark.parametrize(
    ("mode", "is_live", "is_unchanged", "force", "expected"),
    [(mode, *facts, expected) for facts, row in TABLE.items() for mode, expected in zip(MODES, row, strict=True)],
)
def test_every_cell_of_the_table_is_as_written(
    *, mode: Mode, is_live: bool, is_unchanged: bool | None, force: bool, expected: SkipReason | None
) -> None:
    assert verdict(mode, force=force, is_live=is_live, is_unchanged=is_unchanged) == expected


def test_the_table_speaks_of_every_mode() -> None:
    assert set(MODES) | {Mode.UNKNOWN} == set(Mode)


def test_a_mode_of_a_newer_release_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown"):
        verdict(Mode.UNKNOWN, force=False, is_live=True, is_unchanged=True)


def test_only_add_only_keeps_what_its_source_no_longer_holds() -> None:
    assert [removes_what_is_gone(mode) for mode in MODES] == [True, False, True, True]
