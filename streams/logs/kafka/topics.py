"""The topics of a corpus in Kafka: looking at them, making them, setting what may be set."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TypeVar

from schemas.errors import TransientError, UsageError
from schemas.extras import extra
from streams.log import TOPIC_NAMES
from streams.logs.kafka.clients import ClientSettings, make_admin
from streams.logs.kafka.faults import mapped_kafka_errors
from streams.logs.kafka.marks import ANSWER_TIMEOUT_S
from streams.logs.kafka.names import KafkaNames
from streams.logs.topic_plan import (
    FoundTopic,
    TopicPlan,
    TopicProblem,
    drift,
    problems_in_place,
    problems_of_found,
    problems_of_plan,
)

with extra("kafka"):
    from confluent_kafka import KafkaException, TopicCollection
    from confluent_kafka.admin import (
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        NewTopic,
        ResourceType,
        TopicDescription,
    )

_Told = TypeVar("_Told")

VISIBLE_TIMEOUT_S = 30.0
VISIBLE_PAUSE_S = 0.02
"""A new topic is known to every broker, and has leaders, within milliseconds."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did, by topic; `changed` names the settings."""

    created: tuple[str, ...]
    changed: Mapping[str, tuple[str, ...]]
    unchanged: tuple[str, ...]


class KafkaTopics:
    """The topics of `corpus` in the Kafka that `client` leads to. Never deletes, never changes a partition count.

    Raises:
        UsageError: the Kafka client refuses its settings.
    """

    def __init__(self, corpus: str, client: ClientSettings) -> None:
        self._names = KafkaNames(corpus)
        self._admin = make_admin(client)

    def found(self) -> dict[str, FoundTopic]:
        """The topics that are there.

        Raises:
            UnreachableError: Kafka cannot be reached.
        """
        with mapped_kafka_errors("open", f"topics of corpus {self._names.corpus}"):
            described = self._described()
            configs = self._configs(list(described))
        return {
            topic: FoundTopic(
                topic, len(told.partitions), min(len(part.replicas) for part in told.partitions), configs[topic]
            )
            for topic, told in described.items()
            if topic in configs
        }

    def check(self, plans: Mapping[str, TopicPlan]) -> list[TopicProblem]:
        """What is wrong with `plans`, and where the topics are not what these say."""
        return [*problems_of_plan(plans), *problems_of_found(plans, self.found())]

    def apply(self, plans: Mapping[str, TopicPlan]) -> Applied:
        """Make the topics that are lacking and set what is otherwise; all of it, or nothing where it is refused.

        Raises:
            UsageError: `plans` would break a promise, or the topics cannot become so in place.
            UnreachableError: Kafka cannot be reached.
        """
        found = self.found()
        problems = [*problems_of_plan(plans), *problems_in_place(plans, found)]
        if problems:
            message = "; ".join(problem.message for problem in problems)
            raise UsageError(f"refused: {message}", op="apply topics", hint=problems[0].hint)
        created = tuple(topic for topic in plans if topic not in found)
        drifts = {topic: drift(plans[topic], there) for topic, there in found.items()}
        changed = {topic: tuple(sorted(wrong)) for topic, wrong in drifts.items() if wrong}
        with mapped_kafka_errors("apply topics", f"corpus {self._names.corpus}"):
            self._create([plans[topic] for topic in created])
            self._set({topic: {key: drifts[topic][key][1] for key in keys} for topic, keys in changed.items()})
        self._await_visible(plans)
        unchanged = tuple(topic for topic in plans if topic in found and topic not in changed)
        return Applied(created, changed, unchanged)

    def _described(self) -> dict[str, TopicDescription]:
        asked = TopicCollection([self._names.topic(topic) for topic in TOPIC_NAMES])
        answers = self._admin.describe_topics(asked, request_timeout=ANSWER_TIMEOUT_S)
        told = {self._names.short(name): _known(answer) for name, answer in answers.items()}
        return {topic: description for topic, description in told.items() if description is not None}

    def _configs(self, topics: list[str]) -> dict[str, dict[str, str]]:
        if not topics:
            return {}
        asked = [ConfigResource(ResourceType.TOPIC, self._names.topic(topic)) for topic in topics]
        answers = self._admin.describe_configs(asked, request_timeout=ANSWER_TIMEOUT_S)
        told = {self._names.short(resource.name): _known(answer) for resource, answer in answers.items()}
        return {
            topic: {name: entry.value for name, entry in config.items() if entry.value is not None}
            for topic, config in told.items()
            if config is not None
        }

    def _create(self, plans: list[TopicPlan]) -> None:
        if not plans:
            return
        new = [
            NewTopic(self._names.topic(plan.topic), plan.partitions, plan.replication_factor, config=dict(plan.config))
            for plan in plans
        ]
        for answer in self._admin.create_topics(new, request_timeout=ANSWER_TIMEOUT_S).values():
            answer.result()

    def _set(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        resources = [
            ConfigResource(
                ResourceType.TOPIC,
                self._names.topic(topic),
                incremental_configs=[
                    ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                    for key, value in config.items()
                ],
            )
            for topic, config in configs.items()
        ]
        if resources:
            answers = self._admin.incremental_alter_configs(resources, request_timeout=ANSWER_TIMEOUT_S)
            for answer in answers.values():
                answer.result()

    def _await_visible(self, plans: Mapping[str, TopicPlan]) -> None:
        """Wait until Kafka tells of every topic with its settings, and of every partition's leader."""
        deadline_s = monotonic() + VISIBLE_TIMEOUT_S
        while monotonic() < deadline_s:
            with mapped_kafka_errors("apply topics", f"corpus {self._names.corpus}"):
                leaders = [part.leader for told in self._described().values() for part in told.partitions]
            if None not in leaders and not problems_of_found(plans, self.found()):
                return
            sleep(VISIBLE_PAUSE_S)
        raise TransientError("the topics were made, but Kafka does not tell of them yet", op="apply topics")


def _known(answer: Future[_Told]) -> _Told | None:
    """What Kafka answers of a topic, or None if there is no such topic."""
    try:
        return answer.result()
    except KafkaException as exc:
        if exc.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
            return None
        raise
