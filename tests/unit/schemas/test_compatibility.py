from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
import pytest

from schemas.agreement import expected_schema
from schemas.avro_files import AVRO_FOLDER, newest, released_schemas
from schemas.canonical import canonical_form, expanded, folded
from schemas.compatibility import Problem, check
from schemas.events import TOPICS, JobPaused, Meta
from schemas.upcast import UPCASTS

FILES = sorted(AVRO_FOLDER.glob("*.avsc"))
KINDS = [kind for kinds in TOPICS.values() for kind in kinds]


class SchemaFolder:
    """A real copy of the released schemas, to be edited."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def edit(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change a file where it stands."""
        schema = json.loads((self.path / name).read_text())
        change(schema)
        (self.path / name).write_text(json.dumps(schema, indent=2))

    def next_version(self, name: str, change: Callable[[dict[str, Any]], object]) -> str:
        """Write and release the version after file `name`; its name."""
        stem, number, _ = name.split(".")
        made = f"{stem}.v{int(number[1:]) + 1}.avsc"
        shutil.copy(self.path / name, self.path / made)
        self.edit(made, change)
        self.release(made)
        return made

    def release(self, name: str) -> None:
        """List the file as it is now."""
        digest = sha256((self.path / name).read_bytes()).hexdigest()
        with (self.path / "RELEASED").open("a") as listing:
            listing.write(f"{digest}  {name}\n")

    def problems(self, rule: str) -> list[Problem]:
        """What the gate refuses by `rule`; each says where, what and what to do."""
        found = [problem for problem in check(self.path) if problem.rule == rule]
        assert all(problem.message and problem.hint and problem.path.parent == self.path for problem in found)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> SchemaFolder:
    copy = tmp_path / "avro"
    shutil.copytree(AVRO_FOLDER, copy)
    return SchemaFolder(copy)


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def remove_field(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda schema: schema["fields"].remove(field(schema, name))


def add_field(**new: Any) -> Callable[[dict[str, Any]], None]:
    return lambda schema: schema["fields"].append(new)


def test_the_released_schemas_pass_the_gate() -> None:
    assert check() == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_avro_libraries_accept_the_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    avro.schema.parse(text)
    fastavro.parse_schema(json.loads(text))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_newest_file_says_what_the_dataclass_says(kind: type[Any]) -> None:
    written = newest(released_schemas())[kind.__name__]
    assert written.canonical == canonical_form(expected_schema(kind))
    assert expected_schema(kind)["fields"][0]["name"] == "meta"


def named_types(schema: Any) -> Iterator[dict[str, Any]]:
    match schema:
        case list():
            for branch in schema:
                yield from named_types(branch)
        case {"name": _}:
            yield schema
            for each in schema.get("fields", ()):
                yield from named_types(each["type"])
        case {"items": inner} | {"values": inner}:
            yield from named_types(inner)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_record_and_enum_explains_itself(path: Path) -> None:
    named = list(named_types(json.loads(path.read_text(encoding="utf-8"))))
    assert {"Meta"} < {each["name"] for each in named}
    assert [each["name"] for each in named if not each.get("doc")] == []


def test_a_compatible_new_version_is_held_only_against_its_dataclass(folder: SchemaFolder) -> None:
    folder.next_version("job_paused.v1.avsc", add_field(name="reason", type="string", default=""))
    problems = check(folder.path)
    assert [problem.rule for problem in problems] == ["disagrees"]
    assert "reason" in problems[0].message

    @dataclass(frozen=True, slots=True, kw_only=True)
    class JobPausedWithReason:
        meta: Meta
        reason: str = ""

    JobPausedWithReason.__name__ = "JobPaused"
    kinds = [kind for kind in KINDS if kind is not JobPaused]
    assert check(folder.path, kinds=[*kinds, JobPausedWithReason]) == []


def test_a_new_field_without_default_is_refused(folder: SchemaFolder) -> None:
    made = folder.next_version("job_paused.v1.avsc", add_field(name="reason", type="string"))
    (problem,) = folder.problems("field-without-default")
    assert problem.path.name == made
    assert problem.record == "JobPaused"
    assert "JobPaused.reason" in problem.message


def test_a_new_field_without_default_in_a_nested_record_is_refused(folder: SchemaFolder) -> None:
    new = {"name": "host", "type": "string"}
    folder.next_version("job_paused.v1.avsc", lambda s: field(s, "meta")["type"]["fields"].append(new))
    (problem,) = folder.problems("field-without-default")
    assert "JobPaused.meta.host" in problem.message


def test_a_removed_field_without_default_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("document_completed.v1.avsc", remove_field("version"))
    (problem,) = folder.problems("removed-field-without-default")
    assert "DocumentCompleted.version" in problem.message


def test_a_removed_field_with_default_is_allowed_by_the_rules_between_versions(folder: SchemaFolder) -> None:
    folder.next_version("document_completed.v1.avsc", remove_field("title"))
    assert {problem.rule for problem in check(folder.path)} == {"disagrees"}


def set_type(name: str, to: Any) -> Callable[[dict[str, Any]], None]:
    return lambda schema: field(schema, name).update(type=to)


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("version", "string"),
        ("version", "int"),
        ("content_hash", "bytes"),
        ("metadata", {"type": "array", "items": "string"}),
    ],
    ids=["long-to-string", "long-to-int", "string-to-bytes-which-avro-lets-pass", "map-to-array"],
)
def test_a_type_change_is_refused(folder: SchemaFolder, name: str, to: Any) -> None:
    folder.next_version("document_completed.v1.avsc", set_type(name, to))
    (problem,) = folder.problems("type-change")
    assert f"DocumentCompleted.{name}" in problem.message
    assert "upcast" in problem.hint


def test_a_type_change_inside_an_array_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("repair_requested.v1.avsc", set_type("document_ids", {"type": "array", "items": "bytes"}))
    (problem,) = folder.problems("type-change")
    assert "RepairRequested.document_ids" in problem.message


@pytest.mark.parametrize(
    "to",
    [{"type": "long", "logicalType": "timestamp-millis"}, "long"],
    ids=["micros-to-millis", "no-longer-a-time"],
)
def test_a_logical_type_change_is_refused(folder: SchemaFolder, to: Any) -> None:
    folder.next_version("job_paused.v1.avsc", lambda s: field(field(s, "meta")["type"], "occurred_at").update(type=to))
    (problem,) = folder.problems("logical-type-change")
    assert "JobPaused.meta.occurred_at" in problem.message
    assert "timestamp-micros" in problem.message


def rename_symbol(schema: dict[str, Any]) -> None:
    symbols = field(schema, "reason")["type"]["symbols"]
    symbols[symbols.index("UNCHANGED")] = "SAME"


def test_a_renamed_enum_symbol_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("document_skipped.v1.avsc", rename_symbol)
    (problem,) = folder.problems("enum-rename")
    assert "UNCHANGED" in problem.message


def test_a_renamed_enum_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("document_skipped.v1.avsc", lambda s: field(s, "reason")["type"].update(name="WhySkipped"))
    (problem,) = folder.problems("enum-rename")
    assert "SkipReason" in problem.message
    assert "WhySkipped" in problem.message


def test_a_renamed_nested_record_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("job_paused.v1.avsc", lambda s: field(s, "meta")["type"].update(name="Header"))
    (problem,) = folder.problems("type-change")
    assert "Header" in problem.message


@pytest.mark.parametrize("to", [["null", "string", "long"], "string"], ids=["a-third-branch", "no-longer-optional"])
def test_a_changed_union_is_refused(folder: SchemaFolder, to: Any) -> None:
    folder.next_version("document_completed.v1.avsc", set_type("title", to))
    (problem,) = folder.problems("union-branch")
    assert "DocumentCompleted.title" in problem.message


@pytest.mark.parametrize("union", [["string", "null"], ["null", "string", "long"], ["string", "long"]])
def test_a_union_other_than_null_and_one_type_is_refused(folder: SchemaFolder, union: list[str]) -> None:
    folder.next_version("job_paused.v1.avsc", add_field(name="reason", type=union, default=None))
    (problem,) = folder.problems("union") or folder.problems("unreadable")
    assert problem.path.name == "job_paused.v2.avsc"


@pytest.mark.parametrize("change", [{"default": "IDLE"}, {"symbols": ["IDLE", "BUSY"], "default": "IDLE"}])
def test_an_enum_without_unknown_as_its_default_is_refused(folder: SchemaFolder, change: dict[str, Any]) -> None:
    enum = {"type": "enum", "name": "Mood", "symbols": ["UNKNOWN", "IDLE"], **change}
    folder.next_version("job_paused.v1.avsc", add_field(name="mood", type=enum, default="IDLE"))
    (problem,) = folder.problems("enum-default")
    assert "Mood" in problem.message


def test_a_changed_default_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("document_failed.v1.avsc", lambda s: field(s, "is_final").update(default=False))
    (problem,) = folder.problems("default-change")
    assert "DocumentFailed.is_final" in problem.message


def test_a_version_is_held_against_every_earlier_one_and_not_only_the_last(folder: SchemaFolder) -> None:
    second = folder.next_version("document_completed.v1.avsc", remove_field("title"))
    folder.next_version(second, add_field(name="title", type="long", default=0))
    problems = folder.problems("union-branch")
    assert [problem.path.name for problem in problems] == ["document_completed.v3.avsc"]


def test_what_only_the_avro_package_refuses_is_refused_in_both_directions(folder: SchemaFolder) -> None:
    def digest(size: int) -> dict[str, Any]:
        return {"type": "fixed", "name": "Digest", "size": size}

    second = folder.next_version("job_paused.v1.avsc", add_field(name="digest", type=digest(2), default="00"))
    folder.next_version(second, set_type("digest", digest(4)))
    messages = [problem.message for problem in folder.problems("incompatible")]
    assert len(messages) == 2
    assert any("a reader of it cannot read version 2" in message for message in messages)
    assert any("a reader of version 2 cannot read it" in message for message in messages)


def test_a_version_that_changes_nothing_is_refused(folder: SchemaFolder) -> None:
    folder.next_version("job_paused.v1.avsc", lambda schema: schema.update(doc="The same in other words."))
    assert [problem.path.name for problem in folder.problems("nothing-changed")] == ["job_paused.v2.avsc"]


def test_a_missing_version_is_refused(folder: SchemaFolder) -> None:
    second = folder.next_version("job_paused.v1.avsc", add_field(name="reason", type="string", default=""))
    (folder.path / second).rename(folder.path / "job_paused.v3.avsc")
    assert [problem.path.name for problem in folder.problems("version-gap")] == ["job_paused.v3.avsc"]


def test_an_edited_released_file_is_refused_even_if_only_its_words_changed(folder: SchemaFolder) -> None:
    folder.edit("job_paused.v1.avsc", lambda schema: schema.update(doc="Nicer words."))
    (problem,) = check(folder.path)
    assert (problem.rule, problem.path.name) == ("edited", "job_paused.v1.avsc")
    assert "next version" in problem.hint


def test_a_removed_released_file_is_refused(folder: SchemaFolder) -> None:
    (folder.path / "job_paused.v1.avsc").unlink()
    assert [problem.path.name for problem in folder.problems("removed")] == ["job_paused.v1.avsc"]
    assert [problem.record for problem in folder.problems("no-schema")] == ["JobPaused"]


def test_a_file_that_is_not_listed_is_refused_with_the_command_that_lists_it(folder: SchemaFolder) -> None:
    made = folder.next_version("job_paused.v1.avsc", add_field(name="reason", type="string", default=""))
    listing = folder.path / "RELEASED"
    listing.write_text("".join(line for line in listing.read_text().splitlines(keepends=True) if made not in line))
    (problem,) = folder.problems("unlisted")
    assert f"sha256sum {made} >> RELEASED" in problem.hint


def test_a_schema_that_says_something_else_than_its_dataclass_is_refused(folder: SchemaFolder) -> None:
    folder.edit("document_failed.v1.avsc", lambda s: field(s, "hint").update(type="string", default=""))
    messages = [problem.message for problem in folder.problems("disagrees")]
    assert any(message.startswith("DocumentFailed.hint:") for message in messages)


def test_a_record_that_is_no_event_and_has_no_upcast_is_refused(
    folder: SchemaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = [kind for kind in KINDS if kind is not JobPaused]
    problems = check(folder.path, kinds=kinds)
    assert [(problem.rule, problem.record) for problem in problems] == [("no-event", "JobPaused")]
    monkeypatch.setitem(UPCASTS, ("JobPaused", 1), lambda row: ("JobCancelled", 1, row))  # type: ignore[arg-type]
    assert check(folder.path, kinds=kinds) == []


RECORD = '{"type": "record", "name": "NoRecord", "namespace": "refold.events", "fields": [%s]}'
JOB_PAUSED = (AVRO_FOLDER / "job_paused.v1.avsc").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_record.v1.avsc", "{"),
        ("no_record.v1.avsc", '["null"]'),
        ("no_record.v1.avsc", RECORD % '{"name": 1}'),
        ("no_record.v1.avsc", RECORD % '{"name": "title", "type": "strnig"}'),
        ("wrong_name.v1.avsc", JOB_PAUSED),
        ("job_paused.2.avsc", JOB_PAUSED),
    ],
    ids=["no-json", "no-record", "no-field", "no-such-type", "the-record-of-another-name", "no-version"],
)
def test_a_file_that_is_no_schema_of_its_name_is_refused(folder: SchemaFolder, name: str, text: str) -> None:
    (folder.path / name).write_text(text, encoding="utf-8")
    folder.release(name)
    assert [problem.path.name for problem in folder.problems("unreadable")] == [name]


@pytest.mark.parametrize("schema", released_schemas(), ids=lambda schema: schema.record)
def test_a_schema_unfolds_and_folds_to_itself(schema: Any) -> None:
    assert canonical_form(folded(expanded(json.loads(schema.canonical)))) == schema.canonical
