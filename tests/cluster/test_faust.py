"""What the worker's shell relies on in Faust, and what it must not rely on, so that a change of either is noticed."""

from __future__ import annotations

from typing import Any

import pytest

faust = pytest.importorskip("faust", reason="needs pip install 'refold[kafka]'")

from faust.types import TP  # noqa: E402 - an extra

from refold.cluster.slot_set import SlotSet  # noqa: E402 - as above
from refold.cluster.worker.intake_app import CommittedConsumer, intake_app  # noqa: E402 - an extra

REQUESTS = TP("refold.test.requests", 0)


def no_slot(number: int) -> Any:
    raise AssertionError(number)


@pytest.fixture
async def app() -> Any:
    slots = SlotSet(no_slot)
    client = {"bootstrap.servers": "127.0.0.1:1"}
    return intake_app(group="test", topic=REQUESTS.topic, client=client, slots=slots)


def consumer_of(app: Any) -> CommittedConsumer:
    async def ignore(*_: object) -> None:
        return None

    return CommittedConsumer(
        app.transport, callback=ignore, on_partitions_revoked=ignore, on_partitions_assigned=ignore
    )


async def test_offsets_are_committed_past_what_is_still_in_work(app: Any) -> None:
    # Its issue 606: 4 was delivered and is in work, 5 to 7 are acknowledged. Once this fails, an upgrade has mended it;
    # nothing of ours depends on it, for a slot reads from where it has taken, not from where Faust has committed.
    consumer = consumer_of(app)
    consumer._acked[REQUESTS] = [5, 6, 7]
    assert consumer._new_offset(REQUESTS) == 8


async def test_only_what_is_committed_is_delivered(app: Any) -> None:
    worker_consumer = consumer_of(app)._new_consumer_thread()._create_worker_consumer(app.transport)
    assert worker_consumer._isolation_level == "read_committed"


async def test_topics_are_neither_made_nor_led_by_the_shell(app: Any) -> None:
    assert not app.conf.topic_allow_declare
    assert app.conf.topic_disable_leader
    assert not app.conf.web_enabled
