"""The gate: what a change to `schemas/avro/` may not do, so that every release reads every event ever written.

Every version of a record is compared with every earlier one, in both directions: by the `avro` package, and by rules of
our own for what that lets pass.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.schema import Schema, parse

from schemas.agreement import differences, expected_schema
from schemas.avro_files import AVRO_FOLDER, SchemaFileBroken, file_stem, read_schema
from schemas.canonical import canonical_form
from schemas.events import TOPICS
from schemas.registry import WriterSchema
from schemas.schema_change import Flaw, change_flaws, schema_flaws
from schemas.upcast import UPCASTS

RELEASED = "RELEASED"
"""The file that lists every released schema as `sha256sum` does."""

_RELEASE_HINT = "a released schema never changes: restore the file, and put the change into the next version"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing the gate refuses; `record` is "" where the file does not name it, `rule` is a short stable name."""

    path: Path
    record: str
    rule: str
    message: str
    hint: str


def check(directory: Path = AVRO_FOLDER, *, kinds: Iterable[type[Any]] | None = None) -> list[Problem]:
    """What the gate refuses in `directory`, file by file; empty where all is well.

    `kinds` are the dataclasses that the newest versions must agree with; those of this release if None.
    """
    problems = list(_release_problems(directory))
    versions: dict[str, dict[int, tuple[Path, WriterSchema]]] = defaultdict(dict)
    for path in sorted(directory.glob("*.avsc")):
        try:
            schema = read_schema(path)
            parse(path.read_text(encoding="utf-8"))
        except (SchemaFileBroken, AvroException) as exc:
            hint = getattr(exc, "hint", None) or "see the Avro specification"
            problems.append(Problem(path, "", "unreadable", str(exc), hint))
        else:
            versions[schema.record][schema.version] = path, schema
    for of_record in versions.values():
        problems.extend(_record_problems(of_record))
    events = [kind for topic in TOPICS.values() for kind in topic] if kinds is None else kinds
    problems.extend(_agreement_problems(directory, versions, {kind.__name__: kind for kind in events}))
    return sorted(problems, key=lambda problem: (problem.path.name, problem.rule, problem.message))


def _release_problems(directory: Path) -> Iterator[Problem]:
    listing = directory / RELEASED
    listed: dict[str, str] = {}
    for line in listing.read_text(encoding="utf-8").splitlines() if listing.exists() else ():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for path in sorted(directory.glob("*.avsc")):
        if path.name not in listed:
            message = f"{path.name} is not listed in {RELEASED}"
            hint = f"when it is ready, release it: cd {directory} && sha256sum {path.name} >> {RELEASED}"
            yield Problem(path, "", "unlisted", message, hint)
        elif sha256(path.read_bytes()).hexdigest() != listed[path.name]:
            yield Problem(path, "", "edited", f"{path.name} was edited after its release", _RELEASE_HINT)
    for name in sorted(listed):
        if not (directory / name).exists():
            yield Problem(directory / name, "", "removed", f"{name} was removed after its release", _RELEASE_HINT)


def _record_problems(versions: Mapping[int, tuple[Path, WriterSchema]]) -> Iterator[Problem]:
    """What is wrong with the versions of one record."""
    for version in sorted(versions):
        path, schema = versions[version]
        for flaw in schema_flaws(json.loads(schema.canonical)):
            yield _problem(path, schema, flaw)
        if version > 1 and version - 1 not in versions:
            gap = Flaw(
                "version-gap", f"there is no version {version - 1} before it", "versions count 1, 2, 3 without gaps"
            )
            yield _problem(path, schema, gap)
        for earlier in sorted(other for other in versions if other < version):
            for flaw in _flaws_between(versions[earlier][1], schema):
                yield _problem(path, schema, flaw)


def _flaws_between(earlier: WriterSchema, later: WriterSchema) -> Iterator[Flaw]:
    if earlier.fingerprint == later.fingerprint:
        message = f"nothing has changed since version {earlier.version}"
        yield Flaw("nothing-changed", message, "a registry gives both the same id: delete the new version")
        return
    flaws = list(change_flaws(json.loads(earlier.canonical), json.loads(later.canonical)))
    # The avro package says less clearly what our rules have said already.
    yield from flaws or _avro_flaws(earlier, later)


def _avro_flaws(earlier: WriterSchema, later: WriterSchema) -> Iterator[Flaw]:
    old, new = parse(earlier.canonical), parse(later.canonical)
    for reader, writer, sentence in (
        (new, old, f"a reader of it cannot read version {earlier.version}"),
        (old, new, f"a reader of version {earlier.version} cannot read it"),
    ):
        if reasons := _incompatibilities(reader, writer):
            yield Flaw("incompatible", f"{sentence}: {reasons}", "make a new record, and an upcast to it")


def _incompatibilities(reader: Schema, writer: Schema) -> str:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]  # avro leaves its __init__ untyped
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is SchemaCompatibilityType.compatible:
        return ""
    return "; ".join(sorted(result.messages)) or "for no reason the avro package gives"


def _agreement_problems(
    directory: Path, versions: Mapping[str, Mapping[int, tuple[Path, WriterSchema]]], kinds: Mapping[str, type[Any]]
) -> Iterator[Problem]:
    for record, of_record in versions.items():
        newest = max(of_record)
        path, schema = of_record[newest]
        if record in kinds:
            expected = json.loads(canonical_form(expected_schema(kinds[record])))
            for message in differences(json.loads(schema.canonical), expected, at=record):
                yield _problem(path, schema, Flaw("disagrees", message, "change schemas/events and the new file alike"))
        elif missing := [version for version in of_record if (record, version) not in UPCASTS]:
            message = f"{record} is no event, and version {missing[0]} has no upcast"
            hint = "events of it are in logs: keep the dataclass, or add a step to UPCASTS in schemas/upcast.py"
            yield _problem(path, schema, Flaw("no-event", message, hint))
    for record in kinds.keys() - versions.keys():
        path = directory / f"{file_stem(record)}.v1.avsc"
        yield Problem(path, record, "no-schema", f"the event {record} has no schema", f"write {path.name}")


def _problem(path: Path, schema: WriterSchema, flaw: Flaw) -> Problem:
    return Problem(path, schema.record, flaw.rule, flaw.message, flaw.hint)
