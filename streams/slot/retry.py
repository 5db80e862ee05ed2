"""How often a document is tried: backoff with full jitter after transient failures, and how many crashes are enough."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_ATTEMPTS = 4
"""Attempts in all; with the delays below the last one begins at most 14 s (2 + 4 + 8) after the first failed."""

BASE_DELAY_S = 2.0
"""The first delay's upper bound: longer than a dropped connection, shorter than a person's patience."""

MAX_DELAY_S = 300.0
"""No computed delay is longer: an outage that ends is noticed within five minutes."""

MAX_CRASHES = 5
"""A document is given up after five crashes; for the last three it was the only one running."""

MAX_RETRY_AFTER_S = 3600.0
"""A source may ask for at most an hour; beyond that its wish is cut, so that nothing is forgotten for days."""

MAX_DOUBLINGS = 64
"""More of them would change nothing, and a thousand would not fit into a float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon; the random generator is passed in, so that a seed repeats a run.

    Source of the formula: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), full jitter.
    """

    max_attempts: int = MAX_ATTEMPTS
    base_delay_s: float = BASE_DELAY_S
    max_delay_s: float = MAX_DELAY_S
    max_retry_after_s: float = MAX_RETRY_AFTER_S

    def is_exhausted(self, attempt: int) -> bool:
        """Whether `attempt` (from 1) was the last one."""
        return attempt >= self.max_attempts

    def retry_at(
        self, attempt: int, now: datetime, *, generator: random.Random, retry_after_s: float | None
    ) -> datetime:
        """When to try again after `attempt` failed; never sooner than the source asked for, within the bound."""
        bound_s = min(self.max_delay_s, self.base_delay_s * 2.0 ** min(attempt - 1, MAX_DOUBLINGS))
        delay_s = generator.uniform(0.0, bound_s)
        if retry_after_s is not None:
            delay_s = max(delay_s, min(retry_after_s, self.max_retry_after_s))
        return now + timedelta(seconds=delay_s)
