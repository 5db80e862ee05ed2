"""Avro bodies of one schema to dataclasses and back, by functions written for that schema when it is first used.

fastavro walks a schema's dicts for every value and fetches every byte of a number by a call; straight Python for one
schema, without a dict in between, is several times as fast. What is written for ArtifactRef reads so::

    def write_ArtifactRef(out, value):
        text = value.sha256.encode()
        size = len(text)
        out += LONGS[size] if size < LONGS_END else long_bytes(size)
        out += text
        number = value.size_bytes
        out += LONGS[number] if 0 <= number < LONGS_END else long_bytes(number)

    def read_ArtifactRef(data, at):
        value = Draft_ArtifactRef()
        size = data[at]
        if size < 128:
            at += 1
        elif data[at + 1] < 128:
            size += (data[at + 1] << 7) - 128
            at += 2
        else:
            size, at = varint_at(data, at)
        end = at + (size >> 1)
        value.sha256 = data[at:end].decode()
        at = end
        ...
        value.__class__ = ArtifactRef
        return value, at

It knows the types that events use and no resolution: whoever reads another version asks fastavro first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGS_END = 1_024
"""Numbers below this, which nearly all lengths and counts are, are written from a table; it takes a millisecond."""

_DOUBLE = Struct("<d")
_US_PER_SECOND = 1_000_000
_SECONDS_PER_DAY = 86_400
_LONG_BITS = 64
_LONG_END = 1 << 63
_SEVEN_BITS = 0x7F
_MORE = 0x80
_SHIFTS = range(0, _LONG_BITS + 1, 7)


@dataclass(frozen=True, slots=True)
class CompiledRecord:
    """The functions of one schema.

    Attributes:
        write: Appends the body of an instance to a bytearray. A value that does not fit its field raises TypeError,
            ValueError, KeyError, AttributeError, OverflowError or struct.error.
        read: The instance whose body begins at that offset, and the offset after it. A truncated body either raises
            IndexError or struct.error or ends beyond the data; a wrong one may raise ValueError or OverflowError.
    """

    write: Callable[[bytearray, Any], None]
    read: Callable[[bytes, int], tuple[Any, int]]


def compile_record(schema: Mapping[str, Any], classes: Mapping[str, Any]) -> CompiledRecord:
    """The functions for `schema` (in canonical form), whose records and enums are `classes` by their short names."""
    source = _Source(classes)
    name = source.define(schema)
    # The text is made of the names in schema files that are part of this package.
    exec("\n".join(source.lines), source.names)  # noqa: S102 - as dataclasses itself does
    return CompiledRecord(source.names[f"write_{name}"], source.names[f"read_{name}"])


def long_bytes(number: int) -> bytes:
    """`number` as an Avro long: zigzag, then seven bits a byte, lowest first."""
    if not -_LONG_END <= number < _LONG_END:
        raise OverflowError(f"{number} does not fit 64 bits")
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest >= _MORE:
        out.append(rest & _SEVEN_BITS | _MORE)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def varint_at(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, still in zigzag, and the offset after it."""
    number = 0
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        number |= (byte & _SEVEN_BITS) << shift
        if byte < _MORE:
            return number, at
    raise ValueError("a number has more than 64 bits")


def block_at(data: bytes, at: int) -> tuple[int, int]:
    """The number of items in the array or map block at `at`, and the offset of the first."""
    number, at = varint_at(data, at)
    if number & 1:  # a negative count is followed by the block's size, for readers that skip it
        _, at = varint_at(data, at)
        return (number + 1) >> 1, at
    return number >> 1, at


def micros_of(moment: datetime) -> int:
    """Microseconds since 1970 UTC; a naive `moment` is a TypeError."""
    delta = moment - EPOCH
    return (delta.days * _SECONDS_PER_DAY + delta.seconds) * _US_PER_SECOND + delta.microseconds


def moment_of(micros: int) -> datetime:
    """The aware UTC time of `micros` since 1970."""
    return EPOCH + timedelta(0, micros // _US_PER_SECOND, micros % _US_PER_SECOND)


class _Source:
    """Python source in the making, and the names it will find around it."""

    def __init__(self, classes: Mapping[str, Any]) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "LONGS": _LONGS,
            "LONGS_END": LONGS_END,
            "block_at": block_at,
            "double_at": _DOUBLE.unpack_from,
            "double_bytes": _DOUBLE.pack,
            "long_bytes": long_bytes,
            "micros_of": micros_of,
            "moment_of": moment_of,
            "varint_at": varint_at,
        }
        self._classes = classes
        self._indent = 0
        self._depth = 0

    def define(self, schema: Mapping[str, Any]) -> str:
        """Define what `schema` names, once; its short name."""
        name: str = schema["name"].rpartition(".")[2]
        if schema["type"] == "enum":
            members = [self._classes[name](symbol) for symbol in schema["symbols"]]
            self.names[f"members_{name}"] = members
            self.names[f"symbols_{name}"] = {member: long_bytes(index) for index, member in enumerate(members)}
        else:
            self._define_record(name, schema["fields"])
        return name

    def _define_record(self, name: str, fields: list[Mapping[str, Any]]) -> None:
        kinds = [self._kind(field["type"]) for field in fields]
        with self._block(f"def write_{name}(out, value):"):
            for field, kind in zip(fields, kinds, strict=True):
                self._write(kind, f"value.{field['name']}")
        # A frozen dataclass sets each field through object.__setattr__, which takes a third of a decode. An object of
        # the same slots is filled plainly and then becomes one; dataclasses of events have no __post_init__ to miss.
        kept = self._classes[name]
        self.names[name] = kept
        self.names[f"Draft_{name}"] = type(f"Draft_{name}", (), {"__slots__": kept.__slots__})
        with self._block(f"def read_{name}(data, at):"):
            self._add(f"value = Draft_{name}()")
            for field, kind in zip(fields, kinds, strict=True):
                self._read(kind, f"value.{field['name']}")
            self._add(f"value.__class__ = {name}", "return value, at")

    def _kind(self, schema: Any) -> Any:
        """`schema` with every named type defined and replaced by (type, short name)."""
        match schema:
            case str():
                return schema if "." not in schema else self._named(schema)
            case ["null", branch]:
                return ("optional", self._kind(branch))
            case {"type": "array" | "map" as many}:
                return (many, self._kind(schema["items" if many == "array" else "values"]))
            case {"type": "record" | "enum"}:
                self.define(schema)
                return self._named(schema["name"])
            case {"type": "long", "logicalType": "timestamp-micros"}:
                return "timestamp-micros"
            case {"type": str() as plain, "logicalType": "uuid"}:
                return plain
        raise TypeError(f"events use no such type: {schema}")

    def _named(self, full_name: str) -> tuple[str, str]:
        name = full_name.rpartition(".")[2]
        return ("enum" if f"members_{name}" in self.names else "record", name)

    def _write(self, kind: Any, value: str) -> None:
        """Add what appends the expression `value`, of that kind, to `out`."""
        match kind:
            case "string" | "bytes":
                self._add(f"text = {value}.encode()" if kind == "string" else f"text = {value}")
                self._add("size = len(text)", "out += LONGS[size] if size < LONGS_END else long_bytes(size)")
                self._add("out += text")
            case "long":
                self._add(f"number = {value}")
                self._add("out += LONGS[number] if 0 <= number < LONGS_END else long_bytes(number)")
            case "timestamp-micros":
                self._add(f"out += long_bytes(micros_of({value}))")
            case "boolean":
                self._add(f"out.append(1 if {value} else 0)")
            case "double":
                self._add(f"out += double_bytes({value})")
            case ("enum", name):
                self._add(f"out += symbols_{name}[{value}]")
            case ("record", name):
                self._add(f"write_{name}(out, {value})")
            case ("optional", branch):
                self._write_optional(branch, value)
            case ("array" | "map" as many, item):
                self._write_many(many, item, value)

    def _write_optional(self, branch: Any, value: str) -> None:
        self._add(f"some = {value}")
        with self._block("if some is None:"):
            self._add("out.append(0)")
        with self._block("else:"):
            self._add("out.append(2)")
            self._write(branch, "some")

    def _write_many(self, many: str, item: Any, value: str) -> None:
        with self._deeper() as depth:
            self._add(f"items{depth} = {value}")
            with self._block(f"if items{depth}:"):
                self._add(f"out += long_bytes(len(items{depth}))")
                each = f"item{depth}" if many == "array" else f"key{depth}, item{depth}"
                items = f"items{depth}" if many == "array" else f"items{depth}.items()"
                with self._block(f"for {each} in {items}:"):
                    if many == "map":
                        self._write("string", f"key{depth}")
                    self._write(item, f"item{depth}")
            self._add("out.append(0)")

    def _read(self, kind: Any, target: str) -> None:
        """Add what takes a value of that kind from `data` at `at` and assigns it to `target`."""
        match kind:
            case "string" | "bytes":
                self._read_varint("size")
                self._add("end = at + (size >> 1)")
                self._add(f"{target} = data[at:end]" + (".decode()" if kind == "string" else ""), "at = end")
            case "long":
                self._read_varint("number")
                self._add(f"{target} = (number >> 1) ^ -(number & 1)")
            case "timestamp-micros":
                self._add("number, at = varint_at(data, at)")
                self._add(f"{target} = moment_of((number >> 1) ^ -(number & 1))")
            case "boolean":
                self._add(f"{target} = data[at] == 1", "at += 1")
            case "double":
                self._add(f"({target},) = double_at(data, at)", "at += 8")
            case ("enum", name):
                self._read_varint("number")
                self._add(f"{target} = members_{name}[number >> 1]")
            case ("record", name):
                self._add(f"{target}, at = read_{name}(data, at)")
            case ("optional", branch):
                self._read_optional(branch, target)
            case ("array" | "map" as many, item):
                self._read_many(many, item, target)

    def _read_varint(self, target: str) -> None:
        self._add(f"{target} = data[at]")
        with self._block(f"if {target} < 128:"):
            self._add("at += 1")
        with self._block("elif data[at + 1] < 128:"):
            self._add(f"{target} += (data[at + 1] << 7) - 128", "at += 2")
        with self._block("else:"):
            self._add(f"{target}, at = varint_at(data, at)")

    def _read_optional(self, branch: Any, target: str) -> None:
        self._add("at += 1")
        with self._block("if data[at - 1] == 0:"):
            self._add(f"{target} = None")
        with self._block("else:"):
            self._read(branch, target)

    def _read_many(self, many: str, item: Any, target: str) -> None:
        with self._deeper() as depth:
            self._add(f"items{depth} = []" if many == "array" else f"items{depth} = {{}}")
            with self._block("while data[at]:"):
                self._add("count, at = block_at(data, at)")
                with self._block("for _ in range(count):"):
                    if many == "map":
                        self._read("string", f"key{depth}")
                    self._read(item, f"item{depth}")
                    self._add(
                        f"items{depth}.append(item{depth})"
                        if many == "array"
                        else f"items{depth}[key{depth}] = item{depth}"
                    )
            self._add("at += 1", f"{target} = tuple(items{depth})" if many == "array" else f"{target} = items{depth}")

    def _add(self, *lines: str) -> None:
        self.lines.extend("    " * self._indent + line for line in lines)

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self._add(head)
        self._indent += 1
        yield
        self._indent -= 1

    @contextmanager
    def _deeper(self) -> Iterator[int]:
        """A number that no enclosing loop uses for its names."""
        self._depth += 1
        yield self._depth
        self._depth -= 1


_LONGS = tuple(long_bytes(number) for number in range(LONGS_END))
