"""What the errors of the Kafka client mean here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TypeVar

from schemas.errors import FatalError, PoisonError, RefoldError, TransientError, UnreachableError, UsageError
from schemas.extras import extra
from streams.log import Fenced

with extra("kafka"):
    from confluent_kafka import KafkaError, KafkaException

_Answer = TypeVar("_Answer")

MOVING_TIMEOUT_S = 15.0
"""How long a question is asked again while partitions move between brokers, which takes seconds."""

MOVING_PAUSE_S = 0.02
"""Between two such questions: a new topic's leader is there within milliseconds."""

RETRY_AFTER_S = 1.0
"""A broker that hands over its partitions takes about that long."""

_FENCED = frozenset({"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "INVALID_PRODUCER_ID_MAPPING"})
_AWAY = frozenset({"_ALL_BROKERS_DOWN", "_TRANSPORT", "_RESOLVE", "_TIMED_OUT", "_MSG_TIMED_OUT", "_TIMED_OUT_QUEUE"})
_LASTING: tuple[tuple[type[RefoldError], frozenset[str], str, str], ...] = (
    (
        UsageError,  # and every …_AUTHORIZATION_FAILED
        frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"}),
        "Kafka does not allow it",
        "ops/kafka.md lists what each role has to be allowed",
    ),
    (
        UsageError,
        frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID"}),
        "there is no such topic",
        "refold topics apply",
    ),
    (
        UsageError,
        frozenset({"_INVALID_ARG", "_NOT_IMPLEMENTED", "_CONFLICT"}),
        "the Kafka client refuses",
        "the client settings are librdkafka's, by its names",
    ),
    (
        PoisonError,
        frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}),
        "a record is too large",
        "send large contents as artifacts",
    ),
)
"""What does not pass by itself: the error, Kafka's names for it, what to say, what to do."""

_MOVING = frozenset({"NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "FENCED_LEADER_EPOCH", "UNKNOWN_LEADER_EPOCH"})
_UNCERTAIN = frozenset({"_MSG_TIMED_OUT", "_TIMED_OUT", "REQUEST_TIMED_OUT", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"})


def is_fenced(error: KafkaError) -> bool:
    """Whether another owner has taken the transactional id, or the broker gave up on this one."""
    return error.name() in _FENCED


def is_uncertain(error: KafkaError) -> bool:
    """Whether what failed with `error` may have happened all the same."""
    return error.name() in _UNCERTAIN


def fault_of(error: KafkaError, op: str, *, subject: str) -> RefoldError:
    """The error of this project that says what `error` says."""
    name, text = error.name(), f"{subject}: {error.str()}"
    if name in _FENCED:
        return Fenced(op=op, subject=subject)
    if name in _AWAY and op == "open":
        hint = "look whether Kafka runs and bootstrap.servers names it"
        return UnreachableError(f"Kafka cannot be reached: {text}", op=op, subject=subject, hint=hint)
    for kind, names, says, hint in _LASTING:
        if name in names or (kind is UsageError and name.endswith("_AUTHORIZATION_FAILED")):
            return kind(f"{says}: {text}", op=op, subject=subject, hint=hint)
    if error.fatal() and not error.retriable():
        return FatalError(text, op=op, subject=subject, hint="open the log again")
    return TransientError(text, op=op, subject=subject, retry_after_s=RETRY_AFTER_S)


@contextmanager
def mapped_kafka_errors(op: str, subject: str) -> Iterator[None]:
    """Raises what the Kafka client raises inside the block as an error of refold."""
    try:
        yield
    except KafkaException as exc:
        raise fault_of(exc.args[0], op, subject=subject) from exc


def settled(ask: Callable[[], _Answer], *, refresh: Callable[[], object]) -> _Answer:
    """What `ask` gives, asked again while the partitions it concerns have no leader or another one.

    The admin client, unlike producers and consumers, neither asks again nor forgets the old leader: `refresh`, called
    between two tries, has it learn the new one.
    """
    deadline_s = monotonic() + MOVING_TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as exc:
            if exc.args[0].name() not in _MOVING or monotonic() > deadline_s:
                raise
        sleep(MOVING_PAUSE_S)
        refresh()
