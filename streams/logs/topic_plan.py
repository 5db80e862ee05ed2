"""What the topics of a corpus are to be, as `topics.yaml` says, and what may not be said there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from streams.log import TOPIC_NAMES
from streams.placement import PARTITIONED_TOPICS

TOPICS_FILE = Path(__file__).with_name("topics.yaml")
"""The file that is installed with refold."""

EXPIRING_TOPICS = frozenset({"adapters"})
"""The topics whose events may be dropped after a time: nothing is rebuilt from them."""

MOVE_HINT = (
    "a partition count never changes in place: refold log export DIR, then refold topics apply with another corpus and "
    "the new count, then refold log import DIR into it"
)

_DEFAULT_CONFIG = {"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1"}
"""What Kafka does with a topic that says nothing else: it forgets everything after seven days."""

_EDIT_HINT = "edit the topics file; ops/topics.yaml says why each value is what it is"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What one topic is to be; `config` is by Kafka's names."""

    topic: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """What one topic is in Kafka; `config` holds all that Kafka tells."""

    topic: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicProblem:
    """Why topics cannot be as they are said to be, or are not."""

    topic: str
    rule: str
    message: str
    hint: str


def load_topics(
    path: Path | None = None, *, partitions: int | None = None, replication_factor: int | None = None
) -> dict[str, TopicPlan]:
    """The plans of the topics file at `path`, or of the installed one.

    `partitions`, of requests and documents alike, and `replication_factor`, of all, win over the file. With fewer
    replicas than min.insync.replicas that is lowered to all but one of them, or to the only one.

    Raises:
        UsageError: it is not there, no YAML, or not of that shape.
    """
    plans = _parsed(path or TOPICS_FILE)
    if partitions is not None:
        plans |= {name: replace(plans[name], partitions=partitions) for name in PARTITIONED_TOPICS & plans.keys()}
    if replication_factor is not None:
        plans = {name: _replicated(plan, replication_factor) for name, plan in plans.items()}
    return plans


def problems_of_plan(plans: Mapping[str, TopicPlan]) -> list[TopicProblem]:
    """What would break a promise if `plans` were carried out."""
    names = [
        TopicProblem(name, "names", f"{name} is no topic of a log, or is lacking", _EDIT_HINT)
        for name in sorted(set(TOPIC_NAMES) ^ plans.keys())
    ]
    counts = {name: plans[name].partitions for name in sorted(PARTITIONED_TOPICS & plans.keys())}
    if len(set(counts.values())) > 1:
        message = f"requests and documents need the same number of partitions, not {counts}"
        names.append(TopicProblem("documents", "partitions", message, _EDIT_HINT))
    return [*names, *(problem for plan in plans.values() for problem in _problems(plan))]


def problems_of_found(plans: Mapping[str, TopicPlan], found: Mapping[str, FoundTopic]) -> list[TopicProblem]:
    """Where the topics that are there are not what `plans` say."""
    problems: list[TopicProblem] = []
    for name, plan in plans.items():
        there = found.get(name)
        if there is None:
            problems.append(TopicProblem(name, "missing", f"{name} is not there", "refold topics apply"))
        else:
            problems += _unmovable(plan, there)
            for key, (is_, to_be) in drift(plan, there).items():
                message = f"{key} of {name} is {is_}, not {to_be}"
                problems.append(TopicProblem(name, "config", message, "refold topics apply"))
    return problems


def problems_in_place(plans: Mapping[str, TopicPlan], found: Mapping[str, FoundTopic]) -> list[TopicProblem]:
    """What of `found` cannot be made as `plans` say while the topics stay."""
    return [problem for name, there in found.items() if name in plans for problem in _unmovable(plans[name], there)]


def drift(plan: TopicPlan, there: FoundTopic) -> dict[str, tuple[str | None, str]]:
    """What `plan` says and is otherwise: name, what it is, what it is to be."""
    return {key: (there.config.get(key), value) for key, value in plan.config.items() if there.config.get(key) != value}


def _unmovable(plan: TopicPlan, there: FoundTopic) -> Iterator[TopicProblem]:
    name = plan.topic
    if there.partitions != plan.partitions:
        message = f"{name} has {there.partitions} partitions, not {plan.partitions}"
        yield TopicProblem(name, "partitions", message, MOVE_HINT)
    if there.replication_factor != plan.replication_factor:
        message = f"{name} has {there.replication_factor} replicas, not {plan.replication_factor}"
        yield TopicProblem(name, "replication", message, "kafka-reassign-partitions.sh moves replicas")


def _problems(plan: TopicPlan) -> Iterator[TopicProblem]:
    name, config = plan.topic, {**_DEFAULT_CONFIG, **plan.config}
    if name not in PARTITIONED_TOPICS and plan.partitions != 1:
        yield TopicProblem(name, "partitions", f"{name} has one partition, not {plan.partitions}", _EDIT_HINT)
    if plan.partitions < 1 or plan.replication_factor < 1:
        yield TopicProblem(name, "counts", f"{name} needs at least one partition and one replica", _EDIT_HINT)
    if config["cleanup.policy"] != "delete":
        message = f"{name} must not be compacted: earlier events of a key count as much as the last"
        yield TopicProblem(name, "compaction", message, _EDIT_HINT)
    if name not in EXPIRING_TOPICS and (config["retention.ms"], config["retention.bytes"]) != ("-1", "-1"):
        message = f"{name} must be kept: retention.ms and retention.bytes are -1 or events are lost"
        yield TopicProblem(name, "retention", message, _EDIT_HINT)
    if int(config.get("min.insync.replicas", "1")) > plan.replication_factor:
        message = f"{name} could not be written: min.insync.replicas is more than {plan.replication_factor} replicas"
        yield TopicProblem(name, "replication", message, _EDIT_HINT)
    if config.get("unclean.leader.election.enable", "false") != "false":
        message = f"{name} must not elect a leader that lacks events"
        yield TopicProblem(name, "election", message, _EDIT_HINT)


def _replicated(plan: TopicPlan, replication_factor: int) -> TopicPlan:
    in_sync = min(int(plan.config.get("min.insync.replicas", "1")), max(1, replication_factor - 1))
    config = {**plan.config, "min.insync.replicas": str(in_sync)}
    return replace(plan, replication_factor=replication_factor, config=config)


def _parsed(path: Path) -> dict[str, TopicPlan]:
    import yaml  # noqa: PLC0415 - slow to import, and only commands need it

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        defaults = told.get("defaults") or {}
        return {name: _plan(name, topic or {}, defaults) for name, topic in told["topics"].items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as exc:
        hint = "it has `defaults` and `topics`, each with partitions, replication_factor, config and why"
        raise UsageError(f"{path} is no topics file: {exc}", op="read topics", subject=str(path), hint=hint) from exc


def _plan(name: str, topic: Mapping[str, Any], defaults: Mapping[str, Any]) -> TopicPlan:
    unknown = topic.keys() - {"partitions", "replication_factor", "config", "why"}
    if unknown:
        raise ValueError(f"{name} has unknown keys: {', '.join(sorted(unknown))}")
    config = {**(defaults.get("config") or {}), **(topic.get("config") or {})}
    return TopicPlan(
        topic=name,
        partitions=int(topic["partitions"]),
        replication_factor=int(topic.get("replication_factor", defaults.get("replication_factor", 1))),
        config={key: str(value) for key, value in config.items()},
        why=str(topic.get("why", "")),
    )
