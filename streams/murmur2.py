"""Kafka's default partitioner: murmur2 over the bytes of a key."""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C  # this and the next two: org.apache.kafka.common.utils.Utils.murmur2
_MIX = 0x5BD1E995
_SHIFT = 24
_POSITIVE = 0x7FFFFFFF


def partition_of(key: str, partition_count: int) -> int:
    """The partition of `key` among `partition_count`, as Kafka's Java client chooses it."""
    if partition_count == 1:
        return 0
    return (murmur2(key.encode()) & _POSITIVE) % partition_count


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of `data`, signed as in Java."""
    length = len(data)
    whole = length & ~3
    digest = _SEED ^ length
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MIX & _MASK
        word = (word ^ word >> _SHIFT) * _MIX & _MASK
        digest = digest * _MIX & _MASK ^ word
    if whole < length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MIX & _MASK
    digest = (digest ^ digest >> 13) * _MIX & _MASK
    digest ^= digest >> 15
    return digest - (1 << 32) if digest >> 31 else digest
