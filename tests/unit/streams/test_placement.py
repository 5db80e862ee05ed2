"""The partitioner agrees with Kafka's own test vectors (UtilsTest.testMurmur2)."""

import pytest

from streams.placement import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_kafka_s_own_test_expects(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected


def test_a_negative_hash_is_masked_and_not_negated() -> None:
    # toPositive is `& 0x7fffffff`; Math.abs would give another partition.
    assert partition_of("foobar", 7) == (-790332482 & 0x7FFFFFFF) % 7
    assert partition_of("foobar", 7) != abs(-790332482) % 7


def test_with_one_partition_every_key_is_in_it() -> None:
    assert {partition_of(key, 1) for key in ("", "abc", "ключ")} == {0}


def test_keys_spread_over_all_partitions() -> None:
    used = [partition_of(f"document-{number}", 4) for number in range(400)]
    assert {0, 1, 2, 3} == set(used)
    assert min(used.count(partition) for partition in range(4)) > 50
