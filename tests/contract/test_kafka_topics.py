"""`topics.yaml`, and making a real Kafka's topics be what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refold.cli.app import app
from schemas.errors import UsageError
from streams.log import TOPIC_NAMES
from streams.logs.kafka.topics import KafkaTopics
from streams.logs.topic_plan import TopicPlan, load_topics, problems_of_plan
from tests.servers.kafka_corpora import KafkaCorpora, kafka_corpora

ROOT = Path(__file__).parents[2]
KEPT = ("requests", "documents", "jobs", "operations")


def rules(plans: dict[str, TopicPlan]) -> set[tuple[str, str]]:
    return {(problem.topic, problem.rule) for problem in problems_of_plan(plans)}


def configured(topic: str, **config: str) -> dict[str, TopicPlan]:
    """The installed plans with other settings of `topic`; ``retention_ms`` is ``retention.ms``."""
    plans = load_topics()
    changed = {key.replace("_", "."): value for key, value in config.items()}
    return {**plans, topic: replace(plans[topic], config={**plans[topic].config, **changed})}


# The file


def test_the_installed_file_is_good_says_why_and_is_the_one_in_ops() -> None:
    plans = load_topics()
    assert problems_of_plan(plans) == []
    assert tuple(plans) == TOPIC_NAMES
    assert all(plan.why for plan in plans.values())
    assert load_topics(ROOT / "ops" / "topics.yaml") == plans


def test_requests_and_documents_need_equal_partition_counts_and_the_others_one() -> None:
    plans = load_topics()
    assert rules({**plans, "requests": replace(plans["requests"], partitions=6)}) == {("documents", "partitions")}
    assert rules({**plans, "jobs": replace(plans["jobs"], partitions=2)}) == {("jobs", "partitions")}
    assert rules(load_topics(partitions=6)) == set()


@pytest.mark.parametrize("topic", KEPT)
@pytest.mark.parametrize("limit", [{"retention_ms": "604800000"}, {"retention_bytes": "1000000"}])
def test_what_must_be_kept_has_no_limit(topic: str, limit: dict[str, str]) -> None:
    assert rules(configured(topic, **limit)) == {(topic, "retention")}


def test_a_topic_that_says_nothing_of_retention_would_lose_its_events_after_seven_days() -> None:
    plans = load_topics()
    assert rules({**plans, "jobs": replace(plans["jobs"], config={})}) == {("jobs", "retention")}


def test_adapters_may_have_a_time_limit() -> None:
    assert rules(configured("adapters", retention_ms="604800000")) == set()


@pytest.mark.parametrize("topic", TOPIC_NAMES)
@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_nothing_is_compacted(topic: str, policy: str) -> None:
    assert rules(configured(topic, cleanup_policy=policy)) == {(topic, "compaction")}


def test_a_topic_too_few_and_one_too_many_are_told() -> None:
    plans = load_topics()
    gossip = replace(plans.pop("jobs"), topic="gossip")
    assert rules({**plans, "gossip": gossip}) == {("jobs", "names"), ("gossip", "names")}


def test_fewer_replicas_lower_what_has_to_be_in_sync() -> None:
    for replicas, in_sync in ((1, "1"), (2, "1"), (3, "2"), (5, "2")):
        plans = load_topics(replication_factor=replicas)
        assert {plan.config["min.insync.replicas"] for plan in plans.values()} == {in_sync}
        assert problems_of_plan(plans) == []


@pytest.mark.parametrize("text", ["", "topics: 3", "topics: {jobs: {partitions: many}}", "topics: {jobs: {pages: 1}}"])
def test_what_is_no_topics_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "topics.yaml").write_text(text)
    with pytest.raises(UsageError, match="is no topics file"):
        load_topics(tmp_path / "topics.yaml")


# A real Kafka


@pytest.fixture
def corpora() -> Iterator[KafkaCorpora]:
    with kafka_corpora() as made:
        yield made


@pytest.fixture
def topics(corpora: KafkaCorpora) -> KafkaTopics:
    return KafkaTopics(corpora.names("log").corpus, corpora.client)


PLANS = load_topics(partitions=2, replication_factor=1)


def test_applied_topics_are_what_the_file_says_and_applying_again_changes_nothing(topics: KafkaTopics) -> None:
    assert topics.check(PLANS) == []
    found = topics.found()
    assert {found[topic].config["retention.ms"] for topic in TOPIC_NAMES} == {"-1"}
    assert {found[topic].config["cleanup.policy"] for topic in TOPIC_NAMES} == {"delete"}
    applied = topics.apply(PLANS)
    assert (applied.created, dict(applied.changed), applied.unchanged) == ((), {}, TOPIC_NAMES)


def test_a_setting_that_drifted_is_told_and_set_back(topics: KafkaTopics) -> None:
    week = {**PLANS, "adapters": replace(PLANS["adapters"], config={"retention.ms": "604800000"})}
    topics.apply(week)
    (problem,) = topics.check(PLANS)
    assert (problem.topic, problem.rule) == ("adapters", "config")
    assert problem.message == "retention.ms of adapters is 604800000, not -1"
    assert topics.apply(PLANS).changed == {"adapters": ("retention.ms",)}
    assert topics.check(PLANS) == []


def test_a_partition_count_is_never_changed_in_place_and_the_error_says_how_to_move(topics: KafkaTopics) -> None:
    four = load_topics(partitions=4, replication_factor=1)
    assert {(problem.topic, problem.rule) for problem in topics.check(four)} == {
        ("requests", "partitions"),
        ("documents", "partitions"),
    }
    with pytest.raises(UsageError, match="requests has 2 partitions, not 4") as caught:
        topics.apply(four)
    assert "refold log export" in (caught.value.hint or "")
    assert "refold log import" in (caught.value.hint or "")
    assert topics.check(PLANS) == []


def test_plans_that_would_lose_events_are_refused_and_nothing_is_made(corpora: KafkaCorpora) -> None:
    topics = KafkaTopics(f"{corpora.names('log').corpus}-more", corpora.client)
    with pytest.raises(UsageError, match="jobs must be kept"):
        topics.apply({**PLANS, "jobs": replace(PLANS["jobs"], config={"retention.ms": "1000"})})
    assert topics.found() == {}


def test_a_lacking_topic_is_told_and_made(corpora: KafkaCorpora, topics: KafkaTopics) -> None:
    corpora.delete("log", ("jobs",))
    assert [(problem.topic, problem.rule) for problem in topics.check(PLANS)] == [("jobs", "missing")]
    assert topics.apply(PLANS).created == ("jobs",)
    assert topics.check(PLANS) == []


def test_the_commands_say_what_they_found_and_did(corpora: KafkaCorpora, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--corpus", corpora.names("log").corpus, "--bootstrap-servers", corpora.client["bootstrap.servers"]]
    corpora.delete("log", ("adapters",))

    def refold(command: str, partitions: int) -> tuple[int, dict[str, object]]:
        more = ["--partitions", str(partitions), "--replication", "1", "--json"]
        code = app(["topics", command, *where, *more], standalone_mode=False)
        return code, json.loads(capsys.readouterr().out)

    assert refold("check", 2)[0] == 1
    assert refold("apply", 2)[1] == {"created": ["adapters"], "changed": [], "unchanged": [*KEPT[:3], "operations"]}
    assert refold("check", 2) == (0, {"ok": True, "compared": True, "problems": []})
    with pytest.raises(UsageError, match="requests has 2 partitions, not 12"):
        refold("apply", 12)
