"""Functions that read the instance whose body stands at an offset.

What is added for a record of a string, an optional number and another record, which is read in place, reads so::

    def read(data, at):
        value1 = Blank_Finding()
        size = data[at]
        if size < 128:
            start = at + 1
        elif (more := data[at + 1]) < 128:
            size += (more << 7) - 128
            start = at + 2
        else:
            size, start = varint_at(data, at)
        at = start + (size >> 1)
        value1.uri = data[start:at].decode()
        at += 1
        if data[at - 1] == 0:
            value1.size_bytes = None
        else:
            number = data[at]
            …
        value2 = Blank_ArtifactRef()
        …
        value1.__class__ = Finding
        return value1, at
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from schemas.compiled.python_source import PythonSource
from schemas.compiled.types import EnumType, RecordType
from schemas.varints import SMALL_LONGS, block_at, moment_at, varint_at

REPEATED = frozenset(
    {
        "DocumentCompleted.media_type",
        "DocumentCompleted.source_root",
        "DocumentQueued.adapter",
        "DocumentQueued.log_id",
        "DocumentQueued.source_root",
        "DocumentQueued.topic",
        "DocumentRequested.adapter",
        "DocumentRequested.source_root",
        "DocumentStarted.parameters",
        "Meta.job_id",
        "Meta.pipeline_id",
        "StageReport.fingerprint",
        "VectorsRef.embedder",
    }
)
"""Texts, or maps of them, of which a log holds few different ones: what is read is mostly one object."""

KEPT_TEXTS = 2_000
"""How many of them are remembered: half a megabyte as they are, three at the very worst."""

KEPT_TEXT_BYTES = 256
"""Longer ones are not remembered: a producer may send texts as long as a message, each a different one."""

_SCALARS = {
    "timestamp-micros": ["{}, at = moment_at(data, at)"],
    "boolean": ["{} = data[at] == 1", "at += 1"],
    "double": ["({},) = double_at(data, at)", "at += 8"],
}

_texts: dict[bytes, str] = {}


def add_read(source: PythonSource, record: RecordType) -> None:
    """Add the function ``read`` for `record` to `source`."""
    source.names.update(
        {
            "SMALL_LONGS": SMALL_LONGS,
            "TEXTS": _texts,
            "block_at": block_at,
            "double_at": Struct("<d").unpack_from,
            "kept_text": kept_text,
            "moment_at": moment_at,
            "varint_at": varint_at,
        }
    )
    with source.block("def read(data, at):"):
        _Reading(source).value(record, "value")
        source.add("return value, at")


def kept_text(raw: bytes) -> str:
    """The text of `raw`, one object as long as it is remembered."""
    if len(raw) > KEPT_TEXT_BYTES:
        return raw.decode()
    if len(_texts) >= KEPT_TEXTS:
        _texts.clear()
    return _texts.setdefault(raw, raw.decode())


class _Reading:
    """Adds what takes values from `data` at `at`."""

    def __init__(self, source: PythonSource) -> None:
        self._source = source

    def value(self, kind: Any, target: str, *, field: str = "") -> None:
        """Take a value of type `kind`, which stands in `field` of its record, and assign it to `target`."""
        match kind:
            case "string" | "bytes":
                self._text(kind, target, is_repeated=field in REPEATED)
            case "long":
                self._long(target)
            case EnumType(name):
                self._source.add(f"{target} = members_{name}[data[at]]", "at += 1")
            case RecordType():
                self._record(kind, target)
            case ("optional", branch):
                self._source.add("at += 1")
                with self._source.block("if data[at - 1] == 0:"):
                    self._source.add(f"{target} = None")
                with self._source.block("else:"):
                    self.value(branch, target, field=field)
            case ("array" | "map" as many, item):
                self._many(many, item, target, field=field)
            case _:
                self._source.add(*(line.format(target) for line in _SCALARS[kind]))

    def _text(self, kind: str, target: str, *, is_repeated: bool) -> None:
        self._source.add("size = data[at]")
        with self._source.block("if size < 128:"):
            self._source.add("start = at + 1")
        with self._source.block("elif (more := data[at + 1]) < 128:"):
            self._source.add("size += (more << 7) - 128", "start = at + 2")
        with self._source.block("else:"):
            self._source.add("size, start = varint_at(data, at)")
        self._source.add("at = start + (size >> 1)")
        if is_repeated:
            self._source.add("raw = data[start:at]", f"{target} = TEXTS.get(raw) or kept_text(raw)")
        else:
            self._source.add(f"{target} = data[start:at]" + (".decode()" if kind == "string" else ""))

    def _long(self, target: str) -> None:
        self._source.add("number = data[at]")
        with self._source.block("if number < 128:"):
            self._source.add(f"{target} = SMALL_LONGS[number]", "at += 1")
        with self._source.block("else:"):
            with self._source.block("if (more := data[at + 1]) < 128:"):
                self._source.add("number += (more << 7) - 128", "at += 2")
            with self._source.block("elif (most := data[at + 2]) < 128:"):
                self._source.add("number += (more << 7) + (most << 14) - 16512", "at += 3")
            with self._source.block("else:"):
                self._source.add("number, at = varint_at(data, at)")
            self._source.add(f"{target} = (number >> 1) ^ -(number & 1)")

    def _record(self, kind: RecordType, target: str) -> None:
        record = self._source.assign("value", f"Blank_{kind.name}()")
        for name, held in kind.fields:
            self.value(held, f"{record}.{name}", field=f"{kind.name}.{name}")
        self._source.add(f"{record}.__class__ = {kind.name}", f"{target} = {record}")

    def _many(self, many: str, item: Any, target: str, *, field: str) -> None:
        items = self._source.assign("items", "[]" if many == "array" else "{}")
        key, one, count = (self._source.name(word) for word in ("key", "item", "count"))
        with self._source.block("while data[at]:"):
            self._source.add(f"{count}, at = block_at(data, at)")
            with self._source.block(f"for _ in range({count}):"):
                if many == "map":
                    self._text("string", key, is_repeated=True)
                self.value(item, one, field=field)
                self._source.add(f"{items}.append({one})" if many == "array" else f"{items}[{key}] = {one}")
        self._source.add("at += 1", f"{target} = tuple({items})" if many == "array" else f"{target} = {items}")
