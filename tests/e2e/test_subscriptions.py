"""Subscribers of events: order, going on from a position, groups that remember, an end when the pipeline closes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import refold
from refold import events

ANSWERED = ["DocumentQueued", "DocumentStarted", "DocumentCompleted"]


async def take(pipeline: refold.Pipeline, count: int, **options: object) -> list[refold.Delivery]:
    deliveries: list[refold.Delivery] = []
    subscription = pipeline.subscribe(["documents"], **options)  # type: ignore[arg-type]
    async for delivery in subscription:
        deliveries.append(delivery)
        if len(deliveries) == count:
            break
    await subscription.aclose()  # type: ignore[attr-defined]
    return deliveries


def kinds(deliveries: list[refold.Delivery]) -> list[str]:
    return [type(delivery.event).__name__ for delivery in deliveries]


async def test_a_subscriber_sees_what_was_and_what_comes(tmp_path: Path) -> None:
    async with refold.open(tmp_path) as pipeline:
        await pipeline.add("one", text="the first")
        seen = asyncio.create_task(take(pipeline, 6))
        await pipeline.add("two", text="the second")
        assert kinds(await seen) == ANSWERED * 2


async def test_going_on_after_a_position_gives_the_next_event(tmp_path: Path) -> None:
    async with refold.open(tmp_path) as pipeline:
        await pipeline.add("one", text="the first")
        queued, started, _ = await take(pipeline, 3)
    async with refold.open(tmp_path) as pipeline:
        assert kinds(await take(pipeline, 2, after=queued.position)) == ANSWERED[1:]
        (completed,) = await take(pipeline, 1, after=started.position)
        assert isinstance(completed.event, events.DocumentCompleted)


async def test_a_group_goes_on_with_what_it_was_handling_when_it_left(tmp_path: Path) -> None:
    async with refold.open(tmp_path) as pipeline:
        await pipeline.add("one", text="the first")
        assert kinds(await take(pipeline, 2, group="mirror")) == ANSWERED[:2]
    async with refold.open(tmp_path) as pipeline:
        assert kinds(await take(pipeline, 2, group="mirror")) == ANSWERED[1:]
        assert kinds(await take(pipeline, 3, group="another")) == ANSWERED


async def test_a_subscription_ends_when_its_pipeline_is_closed(tmp_path: Path) -> None:
    async with refold.open(tmp_path) as pipeline:
        await pipeline.add("one", text="the first")
        seen: list[refold.Delivery] = []
        three = asyncio.Event()

        async def follow() -> None:
            async for delivery in pipeline.subscribe(["documents"], group="mirror"):
                seen.append(delivery)
                if len(seen) == len(ANSWERED):
                    three.set()

        following = asyncio.create_task(follow())
        await three.wait()
    await asyncio.wait_for(following, 10)
    assert kinds(seen) == ANSWERED


async def test_a_topic_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with refold.open(tmp_path) as pipeline:
        with pytest.raises(refold.RefoldError, match="no topic 'letters'"):
            await anext(pipeline.subscribe(["letters"]))
