"""A default is told once: what settings give without a word from anybody is what the parts would use by themselves."""

from __future__ import annotations

import inspect

from refold.engine.assembly import stage_settings
from refold.settings.settings import Settings
from streams.attempts.attempts import PooledAttempts
from streams.slot.decide import decide
from streams.slot.parts import SlotParts
from streams.slot.retry import RetryPolicy
from streams.stages.fingerprints import StageSettings


def default_of(function: object, parameter: str) -> object:
    return inspect.signature(function).parameters[parameter].default  # type: ignore[arg-type]


def test_the_stages_defaults_are_the_settings() -> None:
    assert stage_settings(Settings()) == StageSettings()


def test_the_retries_defaults_are_the_settings() -> None:
    retries = Settings().retries
    assert RetryPolicy() == RetryPolicy(
        max_attempts=retries.max_attempts, base_delay_s=retries.base_delay_s, max_delay_s=retries.max_delay_s
    )
    assert {default_of(decide, "max_crashes"), default_of(SlotParts, "max_crashes")} == {retries.max_crashes}


def test_the_bytes_in_flight_are_the_settings() -> None:
    assert default_of(PooledAttempts, "in_flight_bytes") == Settings().pool.in_flight_bytes
