"""Checks an exported log by its Avro files alone: ``python check_export.py FOLDER [--once] [--cluster]``.

It imports nothing of the project, on purpose: a stranger with an Avro library reads what `refold log export` wrote and
holds the promises against it.

- Offsets of `documents` have no hole, time does not go back, and no event is there twice.
- Each document's `sequence` counts 1, 2, 3, … without hole or fork, and so do its versions.
- Each request that was taken has exactly one final answer, and nothing happens to it afterwards.
- A document is started only while no other request of it is in work, and one that was in work at two crashes only while
  its process works on nothing else.
- Each job asked for as many distinct requests as its JobPlanned says, and finished at most once.

With ``--cluster``, for a log of many partitions and writers: offsets may have holes, where Kafka's commit markers
stand; events outside `documents` may be there twice and count once; who works beside whom is not looked at.

With ``--once``: each document was completed exactly once, and whatever else was asked of it was skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro

ANSWERS = {"DocumentCompleted", "DocumentSkipped", "DocumentRemoved", "DocumentCancelled", "VectorsAdded"}
SUSPECT_AFTER_CRASHES = 2

Entry = tuple[int, str, dict[str, Any]]


@dataclass(slots=True)
class Request:
    """What happened to one request."""

    document_id: str
    job_id: str | None
    answer: str | None = None


@dataclass(slots=True)
class Document:
    """What happened to one document. `in_work` is the process that works on `started`, an open request."""

    sequence: int = 0
    version: int = 0
    completions: int = 0
    crashes: int = 0
    started: str | None = None
    in_work: str = ""


@dataclass(slots=True)
class Check:
    """Everything read so far; `problems` is what must not be."""

    is_cluster: bool = False
    documents: defaultdict[str, Document] = field(default_factory=lambda: defaultdict(Document))
    requests: dict[str, Request] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    finished: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    crashes: int = 0
    quarantines: int = 0
    starts_after_completion: int = 0
    _event_ids: set[str] = field(default_factory=set)
    _in_work: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _alone: dict[str, str] = field(default_factory=dict)

    def partition(self, topic: str, entries: Iterator[Entry]) -> None:
        """Take in the entries of one partition."""
        next_offset, last_moment = 0, None
        for offset, kind, event in entries:
            where = f"{topic} {offset} {kind}"
            if offset < next_offset or (topic == "documents" and offset != next_offset and not self.is_cluster):
                self.problems.append(f"{where}: offset {next_offset} is missing")
            next_offset = offset + 1
            moment = event["meta"]["occurred_at"]
            is_clamped = topic == "documents" or not self.is_cluster
            if is_clamped and last_moment is not None and moment < last_moment:
                self.problems.append(f"{where}: time goes back")
            last_moment = moment
            self.kinds[kind] += 1
            if topic == "documents":
                self._document(where, kind, event)
            elif self._is_repeated(event):
                continue
            elif kind == "JobPlanned":
                self.planned.setdefault(event["meta"]["job_id"], event["requested"])
            elif kind == "JobFinished":
                self.finished[event["meta"]["job_id"]] += 1

    def _is_repeated(self, event: dict[str, Any]) -> bool:
        """Whether a writer that was killed has sent it before, which its id tells."""
        event_id = str(event["meta"]["event_id"])
        is_known = event_id in self._event_ids
        self._event_ids.add(event_id)
        return is_known and self.is_cluster

    def _document(self, where: str, kind: str, event: dict[str, Any]) -> None:
        event_id, document_id = str(event["meta"]["event_id"]), str(event["document_id"])
        if event_id in self._event_ids:
            self.problems.append(f"{where}: {event_id} is there twice")
        self._event_ids.add(event_id)
        document = self.documents[document_id]
        if event["meta"]["sequence"] != document.sequence + 1:
            self.problems.append(f"{where}: sequence {event['meta']['sequence']} follows {document.sequence}")
        document.sequence = event["meta"]["sequence"]
        if kind == "DocumentQueued":
            self._queued(where, document_id, event)
        elif (request := self._open(where, str(event["request_id"]))) is not None:
            self._moved(where, kind, event, request)

    def _queued(self, where: str, document_id: str, event: dict[str, Any]) -> None:
        request_id = str(event["request_id"])
        if request_id in self.requests:
            self.problems.append(f"{where}: request {request_id} was taken before")
        self.requests[request_id] = Request(document_id, event["meta"]["job_id"])

    def _open(self, where: str, request_id: str) -> Request | None:
        request = self.requests.get(request_id)
        if request is None:
            self.problems.append(f"{where}: request {request_id} was never taken")
        elif request.answer is not None:
            self.problems.append(f"{where}: request {request_id} was answered by {request.answer} before")
        return request

    def _moved(self, where: str, kind: str, event: dict[str, Any], request: Request) -> None:
        document = self.documents[request.document_id]
        if kind == "DocumentStarted":
            self._started(where, event, document)
            return
        if document.started == str(event["request_id"]):
            self._ended(event, document, is_superseded=event.get("reason") == "SUPERSEDED")
        if kind in ANSWERS or (kind == "DocumentFailed" and event["is_final"]):
            request.answer = kind
        if kind == "DocumentCompleted":
            document.completions += 1
            document.crashes = 0
            if event["version"] != document.version + 1:
                self.problems.append(f"{where}: version {event['version']} follows {document.version}")
            document.version = event["version"]

    def _started(self, where: str, event: dict[str, Any], document: Document) -> None:
        process, document_id = event["meta"]["pipeline_id"], str(event["document_id"])
        if document.started is not None:
            if document.in_work == process:
                self.problems.append(f"{where}: the same process has started it already")
            self._ended(event, document, is_superseded=True)
        if process in self._alone and not self.is_cluster:
            self.problems.append(f"{where}: {self._alone[process]}, a suspect, is not left alone")
        if document.crashes >= SUSPECT_AFTER_CRASHES:
            self.quarantines += 1
            self._alone[process] = document_id
            if self._in_work[process] and not self.is_cluster:
                self.problems.append(f"{where}: a suspect beside {len(self._in_work[process])} others")
        self.starts_after_completion += document.completions > 0
        document.started, document.in_work = str(event["request_id"]), process
        self._in_work[process].add(document_id)

    def _ended(self, event: dict[str, Any], document: Document, *, is_superseded: bool) -> None:
        """A start is over; one that another start or request takes the place of was a crash."""
        document_id = str(event["document_id"])
        document.crashes += is_superseded
        self.crashes += is_superseded
        self._in_work[document.in_work].discard(document_id)
        if self._alone.get(document.in_work) == document_id:
            del self._alone[document.in_work]
        document.started = None

    def finish(self, *, once: bool) -> None:
        """Say what is missing at the end."""
        for request_id, request in self.requests.items():
            if request.answer is None:
                self.problems.append(f"request {request_id} of {request.document_id} has no answer")
            elif once and request.answer not in {"DocumentCompleted", "DocumentSkipped"}:
                self.problems.append(f"request {request_id} was answered by {request.answer}")
        taken = Counter(request.job_id for request in self.requests.values())
        for job_id, requested in self.planned.items():
            if taken[job_id] != requested:
                self.problems.append(f"job {job_id} planned {requested} requests, and {taken[job_id]} were taken")
        self.problems += [f"job {job_id} finished {n} times" for job_id, n in self.finished.items() if n > 1]
        for document_id, document in self.documents.items():
            if once and document.completions != 1:
                self.problems.append(f"document {document_id} was completed {document.completions} times")

    def figures(self) -> dict[str, Any]:
        """What was counted, and what is wrong."""
        return {
            "documents": len(self.documents),
            "completed": sum(document.completions for document in self.documents.values()),
            "requests": len(self.requests),
            "crashes": self.crashes,
            "quarantines": self.quarantines,
            "starts_after_completion": self.starts_after_completion,
            "kinds": dict(sorted(self.kinds.items())),
            "problems": self.problems,
        }


def partitions(folder: Path) -> dict[tuple[str, int], list[Path]]:
    """The container files of each topic and partition, in order."""
    found: defaultdict[tuple[str, int], list[tuple[int, Path]]] = defaultdict(list)
    for path in folder.glob("*.avro"):
        topic, partition, number = path.stem.rsplit("-", 2)
        found[topic, int(partition)].append((int(number), path))
    return {place: [path for _, path in sorted(files)] for place, files in sorted(found.items())}


def entries(paths: Sequence[Path]) -> Iterator[Entry]:
    """Offset, kind and event of each record of `paths`."""
    for path in paths:
        with path.open("rb") as file:
            records: Any = fastavro.reader(file, return_record_name=True)
            for record in records:
                kind, event = record["event"]
                yield record["offset"], kind.rpartition(".")[2], event


def check(folder: Path, *, once: bool, is_cluster: bool = False) -> dict[str, Any]:
    """The figures of the export in `folder`."""
    checked = Check(is_cluster)
    for (topic, _), paths in partitions(folder).items():
        checked.partition(topic, entries(paths))
    checked.finish(once=once)
    return checked.figures()


def main() -> None:
    """Print the figures as JSON; exit code 1 when something is wrong."""
    parser = argparse.ArgumentParser(description="Checks an exported log by its Avro files alone.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--once", action="store_true", help="each document was to be completed exactly once")
    parser.add_argument("--cluster", action="store_true", help="the log is Kafka's")
    arguments = parser.parse_args()
    figures = check(arguments.folder, once=arguments.once, is_cluster=arguments.cluster)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if figures["problems"] else 0)


if __name__ == "__main__":
    main()
