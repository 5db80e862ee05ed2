"""Numbers and times as Avro writes them: zigzag, then seven bits a byte, lowest first.

They are made as text whose characters are the bytes (Latin-1): text is joined faster than bytes are, and most of an
event is text already.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MORE = 0x80
_PAIR_BITS = 14
_PAIR_END = 1 << _PAIR_BITS
_LONG_END = 1 << 63
_LAST_SHIFT = 63
_US_PER_SECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_MOMENT_BYTES = 8
"""What a time takes that is not further than a thousand years from 1970 nor nearer than nine."""

# The text of every 14 bits: where more follow, and where they are the last. It takes 2 MB and a few milliseconds.
_GOING_ON = [chr(bits | _MORE) for bits in range(_MORE)]
_PAIRS = [low + high for high in _GOING_ON for low in _GOING_ON]
_LASTS = [chr(bits) for bits in range(_MORE)]
_LASTS += [low + chr(high) for high in range(1, _MORE) for low in _GOING_ON]

# What a byte adds to a number by its place after the first, less the bit by which the one before said there is more.
_STEPS = tuple(
    tuple((byte - 1) << shift for byte in range(2 if shift == _LAST_SHIFT else 2 * _MORE))
    for shift in range(7, _LAST_SHIFT + 1, 7)
)

LONGS = tuple(_LASTS[::2])
"""The text of the numbers from 0 to before LONGS_END, which nearly all lengths and counts are among."""

LONGS_END = len(LONGS)

SMALL_LONGS = tuple((bits >> 1) ^ -(bits & 1) for bits in range(_MORE))
"""The numbers that take one byte, by that byte."""

# What was appended together mostly happened at one time, or within the 134 seconds that share all but 28 bits: the
# latest of both is remembered, written and read.
_UPPER_SHIFT = 2 * _PAIR_BITS
_LOWER_BITS = (1 << _UPPER_SHIFT) - 1
_latest_written = [(EPOCH, LONGS[0])]
_latest_upper_written = [(0, "")]
_latest_read: list[tuple[bytes | None, datetime]] = [(None, EPOCH)]
_latest_upper_read: list[tuple[bytes | None, datetime]] = [(None, EPOCH)]
_FOUR_MORES = sum(_MORE << shift for shift in (0, 7, 14, 21))


def long_text(number: int) -> str:
    """The text of `number`; more than 64 bits are an OverflowError."""
    if not -_LONG_END <= number < _LONG_END:
        raise OverflowError(f"{number} does not fit 64 bits")
    return _varint_text(number << 1 if number >= 0 else ~(number << 1))


def long_bytes(number: int) -> bytes:
    """The bytes of `number`; more than 64 bits are an OverflowError."""
    return long_text(number).encode("latin-1")


def varint_at(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, still in zigzag, and the offset after it; more than 64 bits are an IndexError."""
    number = data[at]
    at += 1
    if number >= _MORE:
        for step in _STEPS:
            byte = data[at]
            at += 1
            number += step[byte]
            if byte < _MORE:
                break
    return number, at


def long_at(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and the offset after it; more than 64 bits are an IndexError."""
    number, at = varint_at(data, at)
    return (number >> 1) ^ -(number & 1), at


def block_at(data: bytes, at: int) -> tuple[int, int]:
    """The number of items in the array or map block at `at`, and the offset of the first."""
    items, at = long_at(data, at)
    if items < 0:  # a negative count is followed by the block's size, for readers that skip it
        return -items, varint_at(data, at)[1]
    return items, at


def moment_text(moment: datetime) -> str:
    """The text of `moment` in microseconds since 1970; a naive one is a TypeError."""
    known, text = _latest_written[0]
    if moment is known:
        return text
    zigzag = 2 * micros_of(moment)
    upper, lower = zigzag >> _UPPER_SHIFT, zigzag & _LOWER_BITS
    if upper <= 0:
        return long_text(zigzag >> 1)
    known_upper, upper_text = _latest_upper_written[0]
    if upper != known_upper:
        upper_text = _varint_text(upper)
        _latest_upper_written[0] = (upper, upper_text)
    text = _PAIRS[lower % _PAIR_END] + _PAIRS[lower // _PAIR_END] + upper_text
    _latest_written[0] = (moment, text)
    return text


def moment_at(data: bytes, at: int) -> tuple[datetime, int]:
    """The time at `at`, and the offset after it; equal times in a row are one object."""
    end = at + _MOMENT_BYTES
    raw = data[at:end]
    known, moment = _latest_read[0]
    if raw == known:
        return moment, end
    known_upper, begin = _latest_upper_read[0]
    if raw[4:] == known_upper and raw[0] & raw[1] & raw[2] & raw[3] & _MORE and not raw[0] & 1:  # odd is below zero
        lower = raw[0] + (raw[1] << 7) + (raw[2] << 14) + (raw[3] << 21) - _FOUR_MORES
        moment = begin + timedelta(0, 0, lower >> 1)
        _latest_read[0] = (raw, moment)
        return moment, end
    micros, found_end = long_at(data, at)
    moment = moment_of(micros)
    if found_end == end and micros > 0:
        _latest_read[0] = (raw, moment)
        _latest_upper_read[0] = (raw[4:], moment_of(micros >> _UPPER_SHIFT - 1 << _UPPER_SHIFT - 1))
    return moment, found_end


def _varint_text(number: int) -> str:
    text = ""
    while number >= _PAIR_END:
        text += _PAIRS[number % _PAIR_END]
        number >>= _PAIR_BITS
    return text + _LASTS[number]


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 UTC; a naive `moment` is a TypeError."""
    return (moment - EPOCH) // _MICROSECOND


def moment_of(micros: int) -> datetime:
    """The aware UTC time of `micros` since 1970."""
    return EPOCH + timedelta(0, micros // _US_PER_SECOND, micros % _US_PER_SECOND)
