"""Which documents an ingest touches: one table, asked by the planner (from findings) and by the slot (from states).

| a document that is …  | AUTO      | ADD_ONLY | UPDATE_ONLY | SKIP_EXISTING |
|-----------------------|-----------|----------|-------------|---------------|
| not live              | run       | run      | ABSENT      | run           |
| live and unchanged    | UNCHANGED | EXISTS   | UNCHANGED   | EXISTS        |
| live and changed      | run       | EXISTS   | run         | EXISTS        |
| gone from its source  | remove    | keep     | remove      | remove        |

Not live: never completed, or removed. `force` overrides UNCHANGED, and the EXISTS of SKIP_EXISTING; it never overrides
what ADD_ONLY and UPDATE_ONLY promise.
"""

from __future__ import annotations

from schemas.errors import UsageError
from schemas.events import Mode, SkipReason

_NOT_LIVE = {Mode.UPDATE_ONLY: SkipReason.ABSENT}
_LIVE_UNCHANGED = {
    Mode.AUTO: SkipReason.UNCHANGED,
    Mode.ADD_ONLY: SkipReason.EXISTS,
    Mode.UPDATE_ONLY: SkipReason.UNCHANGED,
    Mode.SKIP_EXISTING: SkipReason.EXISTS,
}
_LIVE_CHANGED = {Mode.ADD_ONLY: SkipReason.EXISTS, Mode.SKIP_EXISTING: SkipReason.EXISTS}
_LIVE_FORCED = {Mode.ADD_ONLY: SkipReason.EXISTS}
_KEEPS_WHAT_IS_GONE = {Mode.ADD_ONLY}


def verdict(mode: Mode, *, force: bool, is_live: bool, is_unchanged: bool | None) -> SkipReason | None:
    """Why a document is to be skipped, or None when it is to run; `is_unchanged` is None where nobody can tell yet.

    Raises:
        UsageError: `mode` is UNKNOWN: a newer release wrote it.
    """
    if mode is Mode.UNKNOWN:
        raise UsageError("the mode is unknown to this release", op="decide", hint="upgrade refold")
    if not is_live:
        return _NOT_LIVE.get(mode)
    if force:
        return _LIVE_FORCED.get(mode)
    return (_LIVE_UNCHANGED if is_unchanged else _LIVE_CHANGED).get(mode)


def removes_what_is_gone(mode: Mode) -> bool:
    """Whether documents that their source no longer holds are removed."""
    return mode not in _KEEPS_WHAT_IS_GONE
