"""Kills an ingest over and over and holds what is left against the promises.

The hundred kills that are too many for every test run::

    python -m tests.crash.kill_campaign --documents 1000 --kills 100 --seed 1

It takes about ten minutes on two cores and prints its figures as JSON; exit code 1 when a promise was broken. The ten
kills of every test run: `test_kill_campaign.py`.

With ``--lives 0.8 3.5`` each life lasts so many seconds, whatever it has come to: a loop of crashes. Then what the log
holds of requests, and how many documents each life has completed, are what matters.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.commands.refold_cli import Cli, age, kill_group
from tests.crash.check_export import entries, partitions
from tests.crash.kill_moments import Kill, Watch, at_start_up, seeded_kills, timed_kills

CHECK = Path(__file__).parent / "check_export.py"
COUNTED_REFOLD = Path(__file__).parent / "counted_refold.py"
MAX_LAST_INGESTS = 5
"""An ingest that is not killed ends its own job; jobs that were killed while they planned may take another one."""

MAX_QUEUED_PER_DOCUMENT = 3
"""An ingest goes on with the interrupted one; a kill between the look for it and the next job may ask once more."""


@dataclass(frozen=True)
class CampaignReport:
    """What was done and what came of it; `problems` is empty when every promise was kept.

    `trips` counts the documents handed to a pool process: one each, and one more for each that a kill interrupted.
    `queued` counts the requests that were taken, `completed_by_life` the documents that each life has completed.
    """

    documents: int
    kills: int
    kills_by_moment: Mapping[str, int]
    lives: int
    seconds: float
    trips: int
    queued: int
    completed_by_life: Sequence[int]
    log: Mapping[str, Any]
    verified: Mapping[str, Any]
    problems: Sequence[str]


@dataclass
class _Campaign:
    cli: Cli
    docs: Path
    documents: int
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    completed: int = 0
    completed_by_life: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def live_and_die(self, kill: Kill) -> None:
        """Ingest until `kill` says so; a life that comes to its end before is none."""
        process = self.cli.start("ingest", str(self.docs), "--json")
        watch = Watch(self.cli.data, process, completed=self.completed)
        self.lives += 1
        try:
            is_to_die = watch.until(kill.is_reached, delay_s=kill.delay_s)
        finally:
            kill_group(process)
            watch.close()
        _, stderr = process.communicate()
        self.completed_by_life.append(max(watch.completed - self.completed, 0))
        self.completed = max(self.completed, watch.completed)
        if is_to_die:
            self.kills[kill.name] += 1
        elif process.returncode != 0:
            self.problems.append(f"life {self.lives} ended with {process.returncode}: {stderr}")
        if "Traceback" in stderr:
            self.problems.append(f"life {self.lives}: {stderr}")

    def finish(self) -> None:
        """Ingest to the end."""
        for _ in range(MAX_LAST_INGESTS):
            self.lives += 1
            answer = self.cli("ingest", str(self.docs), "--json").json
            jobs = self.cli("jobs", "list", "--json").json["jobs"]
            if not answer["searchable"] or answer["failed"]:
                self.problems.append(f"the last ingest: {answer}")
            if all(job["status"] == "finished" for job in jobs):
                return
        self.problems.append(f"jobs are left over: {[job for job in jobs if job['status'] != 'finished']}")


def run(
    documents: int, kills: int, seed: int, data: Path, *, lives_s: tuple[float, float] | None = None
) -> CampaignReport:
    """Ingest `documents` in `data`, an empty folder, through `kills` SIGKILLs of the whole process group.

    With `lives_s`, the shortest and the longest life in seconds, the moments are the clock's.
    """
    rng = random.Random(seed)
    began_s = time.monotonic()
    docs = write_documents(data / "docs", documents, rng)
    trips = data / "trips"
    cli = Cli(data / "data", {"TRIPS_FILE": str(trips)}, program=(str(COUNTED_REFOLD),))
    campaign = _Campaign(cli, docs, documents, rng)
    for kill in timed_kills(kills, rng, lives_s) if lives_s else seeded_kills(documents, kills, rng):
        campaign.live_and_die(kill)
    while campaign.kills.total() < kills:  # some lives came to their end before their moment
        campaign.live_and_die(at_start_up(rng))
    campaign.finish()
    verified = campaign.cli("verify", "--deep", "--json", exit_code=None).json
    log = checked(campaign.cli, data / "export")
    return CampaignReport(
        documents=documents,
        kills=campaign.kills.total(),
        kills_by_moment=dict(campaign.kills),
        lives=campaign.lives,
        seconds=round(time.monotonic() - began_s, 1),
        trips=len(trips.read_text().splitlines()),
        queued=log.get("requests", 0),
        completed_by_life=campaign.completed_by_life,
        log=log,
        verified=verified,
        problems=[
            *campaign.problems,
            *log["problems"],
            *unequal(documents, log, verified),
            *_asked_too_often(documents, log),
            *_parsed_again(trips, data / "export"),
        ],
    )


def write_documents(folder: Path, count: int, rng: random.Random) -> Path:
    """`count` different texts of one to six chunks, a third of them HTML."""
    folder.mkdir(parents=True)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(2_000)]
    for number in range(count):
        text = f"Document {number}. " + " ".join(rng.choices(words, k=rng.randint(20, 800)))
        name, content = f"{number:05}.txt", text
        if number % 3 == 0:
            name, content = f"{number:05}.html", f"<html><title>{number}</title><body><p>{text}</p></body></html>"
        (folder / name).write_text(content)
    age(folder)
    return folder


def checked(cli: Cli, export: Path, *kind: str) -> dict[str, Any]:
    """What a reader of Avro finds in the log."""
    cli("log", "export", str(export))
    command = [sys.executable, "-I", str(CHECK), str(export), "--once", *kind]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    figures: dict[str, Any] = json.loads(ran.stdout) if ran.stdout else {"problems": [ran.stderr]}
    return figures


def unequal(documents: int, log: Mapping[str, Any], verified: Mapping[str, Any]) -> list[str]:
    """What the log or the indexes lack of `documents`, or hold beyond them."""
    problems = []
    if (log.get("documents"), log.get("completed")) != (documents, documents):
        problems.append(f"of {documents} documents {log.get('documents')} were asked for, {log.get('completed')} done")
    if not verified["consistent"]:
        problems.append(f"the indexes differ from the log: {verified}")
    if any(index["orphaned"] or not index["expected"] for index in verified["indexes"].values()):
        problems.append(f"the indexes hold what they should not: {verified}")
    return problems


def _asked_too_often(documents: int, log: Mapping[str, Any]) -> list[str]:
    queued = log.get("requests", 0)
    if queued <= MAX_QUEUED_PER_DOCUMENT * documents:
        return []
    return [f"{queued} requests were queued for {documents} documents, more than {MAX_QUEUED_PER_DOCUMENT} for each"]


def _parsed_again(trips: Path, export: Path) -> list[str]:
    """What was handed to a pool process after its document was completed."""
    completed_at_us = {
        event["content_hash"]: int(event["meta"]["occurred_at"].timestamp() * 1_000_000)
        for (topic, _), paths in partitions(export).items()
        for _, kind, event in entries(paths)
        if topic == "documents" and kind == "DocumentCompleted"
    }
    made = [(content_hash, int(at_us)) for content_hash, at_us in map(str.split, trips.read_text().splitlines())]
    return [f"{one} was parsed again after it was completed" for one, at_us in made if at_us > completed_at_us[one]]


def main() -> None:
    """Run a campaign and print its report."""
    parser = argparse.ArgumentParser(description="Kills an ingest over and over.")
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lives", type=float, nargs=2, metavar="SECONDS", help="the shortest and the longest life")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in and leave behind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refold-kills-") as scratch:
        folder = arguments.keep or Path(scratch)
        lives_s = tuple(arguments.lives) if arguments.lives else None
        report = run(arguments.documents, arguments.kills, arguments.seed, folder, lives_s=lives_s)
    sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
