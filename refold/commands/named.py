"""What people call jobs, documents, positions, modes and priorities."""

from __future__ import annotations

import re
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from projections.jobs.entries import JobState
from refold.engine.engine import Engine
from schemas.errors import UsageError
from schemas.events import TOPICS, Mode, Priority
from schemas.ids import DocumentId, document_id_of
from schemas.positions import Position
from streams.documents.uris import InvalidUri, canonical_uri, file_uri

WordT = TypeVar("WordT", bound=StrEnum)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def job_named(engine: Engine, name: str) -> JobState:
    """The job whose id is or begins with `name`.

    Raises:
        UsageError: there is none, or more than one.
    """
    jobs = [job for job in engine.parts.views.jobs.jobs() if job.job_id.startswith(name)]
    if len(jobs) == 1 and name:
        return jobs[0]
    problem = f"no job begins with {name!r}" if not jobs else f"{len(jobs)} jobs begin with {name!r}"
    raise UsageError(problem, op="find job", subject=name, hint="see: refold jobs list")


def document_id_named(engine: Engine, name: str) -> DocumentId:
    """The id of the document called `name`: an id, a uri, or an absolute path.

    Raises:
        UsageError: the corpus has never heard of it.
    """
    document_id = document_id_of_name(name)
    if engine.parts.views.manifest.document(document_id) is None:
        raise UsageError(
            f"there is no document {name}", op="find document", subject=name, hint="see: refold documents list"
        )
    return document_id


def document_id_of_name(name: str) -> DocumentId:
    """The same, whether the corpus has heard of it or not."""
    return DocumentId(name) if _UUID.fullmatch(name) else document_id_of(uri_named(name))


def uri_named(name: str) -> str:
    """The canonical uri of a path or a uri, as people write push:a=b; what is neither stays as it is."""
    if name.startswith("/"):
        return file_uri(Path(name))
    with suppress(InvalidUri):
        return canonical_uri(name)
    return name


def position_named(name: str) -> Position | None:
    """The position that `name` spells; None if it spells none: `push:a=b` is a document."""
    try:
        position = Position.parse(name)
    except UsageError:
        return None
    return position if all(tp.topic in TOPICS for tp in position) else None


def mode_named(name: str) -> Mode:
    """The mode called `name`, in any case; UsageError if there is none."""
    return _named(Mode, name, "mode")


def priority_named(name: str) -> Priority:
    """The priority called `name`, in any case; UsageError if there is none."""
    return _named(Priority, name, "priority")


def _named(words: type[WordT], name: str, what: str) -> WordT:
    known = {word.value: word for word in words if word.value != "UNKNOWN"}
    if name.upper() not in known:
        choices = ", ".join(word.lower() for word in known)
        raise UsageError(f"there is no {what} {name!r}", op=f"choose {what}", hint=f"choose one of: {choices}")
    return known[name.upper()]
