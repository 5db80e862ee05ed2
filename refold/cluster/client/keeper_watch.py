"""Noticing that no process keeps a projection which a command waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from schemas.errors import UnreachableError

PATIENCE_S = 60.0
"""Longer than another projector takes to notice that one is gone, at the longest lease that is sensible."""

LOOK_EVERY_S = 2.0
"""Between two questions who keeps what: each is one small query."""


class KeeperWatch:
    """For one wait for `projection`: `look` is called as often as the wait looks.

    `keepers` gives the keeper of each projection now; `patience_s` is how long the awaited one may have none.
    """

    def __init__(
        self,
        projection: str,
        keepers: Callable[[], Mapping[str, str]],
        *,
        patience_s: float = PATIENCE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._projection = projection
        self._keepers = keepers
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._looked_at_s = self._kept_at_s = monotonic()

    def look(self) -> None:
        """Go on waiting.

        Raises:
            UnreachableError: the projection had no keeper for `patience_s`.
        """
        now_s = self._monotonic()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        if self._projection in self._keepers():
            self._kept_at_s = now_s
        elif now_s - self._kept_at_s >= self._patience_s:
            raise UnreachableError(
                f"no projector keeps {self._projection}, for {now_s - self._kept_at_s:.0f} s now",
                op="wait",
                subject=self._projection,
                hint="start one: refold projector; what is in the log waits for it",
            )
