"""Forgetting what said of touches of artifacts, so that there is not one small object for every commit for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from streams.artifact_stores.objects import ObjectArtifacts

TRIM_EVERY_S = 3_600.0
"""Listing a day's touches takes seconds at the most; a day and an hour of them are no harm."""

GO_ON_AFTER_S = 60.0
"""Where more is left than is forgotten in one go: between two goes the projection goes on."""


class TouchesTrimmer:
    """Has `artifacts` forget old touches every hour; `step` is cheap and called often, in one process of a corpus."""

    def __init__(self, artifacts: ObjectArtifacts, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._artifacts = artifacts
        self._monotonic = monotonic
        self._due_s = monotonic()

    def step(self) -> None:
        """Forget them, if it is time.

        Raises:
            TransientError: the storage does not answer; it is tried again in an hour.
        """
        now_s = self._monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + TRIM_EVERY_S
        if self._artifacts.forget_old_touches():
            self._due_s = now_s + GO_ON_AFTER_S
