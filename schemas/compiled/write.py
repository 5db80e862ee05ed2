"""Functions that write the body of an instance, as text whose characters are its bytes (Latin-1).

What is added for a record of a string, an optional number and another record, which is written out in place, reads so::

    def write(value):
        text1 = value.uri
        if not text1.isascii():
            text1 = utf8_text(text1)
        some3 = value.size_bytes
        flag4 = NULL
        if some3 is not None:
            flag4, part6 = SOME, (LONGS[number5] if 0 <= (number5 := some3) < LONGS_END else long_text(number5))
        else:
            part6 = NOTHING
        value7 = value.ref
        …
        return join(((LONGS[size2] if (size2 := len(text1)) < LONGS_END else …), text1, flag4, part6, …,))
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from schemas.compiled.python_source import PythonSource
from schemas.compiled.types import EnumType, RecordType
from schemas.varints import LONGS, LONGS_END, long_text, moment_text

_SCALARS = {
    "timestamp-micros": "moment_text({})",
    "boolean": "(TRUE if {} else FALSE)",
    "double": "double_bytes({}).decode('latin-1')",
}


def add_write(source: PythonSource, record: RecordType) -> None:
    """Add the function ``write`` for `record` to `source`."""
    source.names.update(
        {
            "FALSE": "\0",
            "LONGS": LONGS,
            "LONGS_END": LONGS_END,
            "NO_MORE": "\0",
            "NOTHING": "",
            "NULL": "\0",
            "SOME": "\2",
            "TRUE": "\1",
            "double_bytes": Struct("<d").pack,
            "join": "".join,  # which takes nothing but text
            "long_text": long_text,
            "moment_text": moment_text,
            "utf8_text": utf8_text,
        }
    )
    with source.block("def write(value):"):
        source.add(f"return {_joined(_Writing(source).pieces(record, 'value'))}")


def utf8_text(text: str) -> str:
    """The text whose characters are the bytes of `text` in UTF-8."""
    return text.encode().decode("latin-1")


class _Writing:
    """Adds what must come first, and gives the expressions whose texts are then joined."""

    def __init__(self, source: PythonSource) -> None:
        self._source = source

    def pieces(self, kind: Any, value: str) -> list[str]:
        """Expressions of the texts that `value`, an expression of type `kind`, consists of."""
        match kind:
            case "string" | "bytes":
                pieces = self._text(kind, value)
            case "long":
                number = self._source.name("number")
                small = f"LONGS[{number}] if 0 <= ({number} := {value}) < LONGS_END"
                pieces = [f"({small} else long_text({number}))"]
            case EnumType(name):
                pieces = [f"symbols_{name}[{value}._value_]"]  # to hash a member itself is a call
            case RecordType(_, fields):
                record = self._source.assign("value", value)
                pieces = [piece for name, held in fields for piece in self.pieces(held, f"{record}.{name}")]
            case ("optional", branch):
                pieces = self._optional(branch, value)
            case ("array" | "map" as many, item):
                pieces = [self._many(many, item, value)]
            case _:
                pieces = [_SCALARS[kind].format(value)]
        return pieces

    def _text(self, kind: str, value: str) -> list[str]:
        text = self._source.assign("text", value if kind == "string" else f"{value}.decode('latin-1')")
        if kind == "string":
            with self._source.block(f"if not {text}.isascii():"):
                self._source.add(f"{text} = utf8_text({text})")
        size = self._source.name("size")
        return [f"(LONGS[{size}] if ({size} := len({text})) < LONGS_END else long_text({size}))", text]

    def _optional(self, branch: Any, value: str) -> list[str]:
        some, flag = self._source.assign("some", value), self._source.assign("flag", "NULL")
        with self._source.block(f"if {some} is not None:"):
            pieces = self.pieces(branch, some)
            parts = [self._source.name("part") for _ in pieces]
            self._source.add(f"{flag}, {', '.join(parts)} = SOME, {', '.join(pieces)}")
        with self._source.block("else:"):
            self._source.add(f"{' = '.join(parts)} = NOTHING")
        return [flag, *parts]

    def _many(self, many: str, item: Any, value: str) -> str:
        items, part = self._source.assign("items", value), self._source.assign("part", "NO_MORE")
        key, one = self._source.name("key"), self._source.name("item")
        with self._source.block(f"if {items}:"):
            parts = self._source.assign("parts", f"[long_text(len({items}))]")
            each = f"{one} in {items}" if many == "array" else f"{key}, {one} in {items}.items()"
            with self._source.block(f"for {each}:"):
                pieces = [*(self.pieces("string", key) if many == "map" else []), *self.pieces(item, one)]
                self._source.add(f"{parts} += {_tuple(pieces)}")
            self._source.add(f"{parts}.append(NO_MORE)", f"{part} = join({parts})")
        return part


def _joined(pieces: Sequence[str]) -> str:
    return f"join({_tuple(pieces)})"


def _tuple(pieces: Sequence[str]) -> str:
    return f"({', '.join(pieces)},)"
