from __future__ import annotations

import pytest

from schemas.errors import FatalError, PoisonError, RefoldError, TransientError, UnreachableError, UsageError
from streams.log import Fenced
from streams.logs.kafka.clients import make_producer
from streams.logs.kafka.faults import fault_of, mapped_kafka_errors
from streams.logs.kafka.names import KafkaNames

confluent_kafka = pytest.importorskip("confluent_kafka", reason="needs pip install 'refold[kafka]'")
KafkaError = confluent_kafka.KafkaError

CODES = sorted({code for name in dir(KafkaError) if isinstance(code := getattr(KafkaError, name), int)})


def test_every_error_of_the_client_is_one_of_ours_and_says_what_it_was_about() -> None:
    assert len(CODES) > 100
    for code in CODES:
        fault = fault_of(KafkaError(code, "told so"), "append", subject="slot 3")
        assert isinstance(fault, RefoldError)
        assert (fault.op, fault.subject) == ("append", "slot 3")


@pytest.mark.parametrize(
    ("name", "op", "kind"),
    [
        ("_FENCED", "append", Fenced),
        ("PRODUCER_FENCED", "append", Fenced),
        ("INVALID_PRODUCER_EPOCH", "append", Fenced),
        ("_TRANSPORT", "open", UnreachableError),
        ("_TRANSPORT", "append", TransientError),
        ("NOT_ENOUGH_REPLICAS", "append", TransientError),
        ("_AUTHENTICATION", "open", UsageError),
        ("TOPIC_AUTHORIZATION_FAILED", "read", UsageError),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "own", UsageError),
        ("UNKNOWN_TOPIC_OR_PART", "open", UsageError),
        ("MSG_SIZE_TOO_LARGE", "append", PoisonError),
    ],
)
def test_what_passes_by_itself_is_told_from_what_does_not(name: str, op: str, kind: type[RefoldError]) -> None:
    assert type(fault_of(KafkaError(getattr(KafkaError, name)), op, subject="x")) is kind


def test_a_fatal_error_stops() -> None:
    assert type(fault_of(KafkaError(KafkaError._FATAL, fatal=True), "append", subject="x")) is FatalError


def test_the_driver_s_exception_is_kept_as_the_cause() -> None:
    thrown = confluent_kafka.KafkaException(KafkaError(KafkaError._TIMED_OUT))
    with pytest.raises(TransientError) as caught, mapped_kafka_errors("read", "requests:0"):
        raise thrown
    assert caught.value.__cause__ is thrown


def test_a_client_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="the Kafka client refuses"):
        make_producer({"bootstrap.servers": "localhost:1", "no.such.setting": "1"})


@pytest.mark.parametrize("corpus", ["", "a.b", "a b", "-a", "é"])
def test_a_corpus_that_kafka_could_not_tell_from_another_is_refused(corpus: str) -> None:
    with pytest.raises(UsageError, match="cannot name a corpus"):
        KafkaNames(corpus)
