"""Damages a data folder between the kills of an ingest, and holds what is told and left against the promises.

A long one, some ten seconds for each damage on two cores::

    python -m tests.crash.damage_campaign --documents 60 --damages 100 --seed 1

It prints its figures as JSON; exit code 1 when a promise was broken. The few damages of every test run:
`test_damage_campaign.py`.

Each round edits some documents, ingests, and is killed at a seeded moment. Then one byte of the artifacts, of the
indexes or of the log is another one, or one of their files is cut. What must hold:

- A command answers what is right, or tells in one line and a hint that it cannot; never a traceback. A search that an
  index misleads (nothing sums up what it reads) is counted, and `verify --deep` has to tell.
- What is told names the command that heals, or a backup where nothing else can; `verify --deep` finds nothing then.
- The log has lost nothing, whatever was damaged beside it. A damaged log is told with exit code 4, or reads as before;
  a copy of it that is put back heals it, as ops/runbooks/damaged-log.md says. Where its hint names a command that goes
  on without what is lost, that is done instead half of the time: what is left is the beginning of what there was.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from schemas.events import DocumentCompleted, PipelineEvent
from streams.log import TOPIC_NAMES
from streams.logs.sqlite.end import LogEnd, read_end
from streams.logs.sqlite.log import SqliteLog
from tests.commands.refold_cli import Answer, Cli, age, kill_group
from tests.crash.check_export import check
from tests.crash.disk_damage import PARTS, Damage, seeded_damage
from tests.crash.kill_moments import KINDS, Watch, seeded_kills

EDITED = 4
"""Documents that are edited before each life."""

ACCEPTED = 0.5
"""The share of losses of the log that are accepted; the others are healed by a backup."""

MACHINE = 4
"""The exit code of a damaged log."""

HEALS = re.compile(r"refold (rebuild \w+|ingest \S+ --force)")
"""The commands that hints name."""

ACCEPTS = "rebuild all"
"""What goes on without events that the log has lost."""

Log = Mapping[str, Sequence[PipelineEvent]]
"""The events of each topic, in order."""


@dataclass(frozen=True)
class DamageReport:
    """What was done and what came of it; `problems` is empty when every promise was kept.

    `told` counts the damages that a command told of, by their part of the folder; nothing had to be told of the others.
    `misled` are the searches that damage led to a wrong answer, until `verify --deep` told of it.
    """

    documents: int
    damages: Sequence[str]
    damages_by_part: Mapping[str, int]
    told: Mapping[str, int]
    misled: Sequence[str]
    healed_by: Mapping[str, int]
    kills: int
    seconds: float
    log: Mapping[str, Any]
    problems: Sequence[str]


@dataclass
class _Campaign:
    cli: Cli
    docs: Path
    documents: int
    rng: random.Random
    editions: dict[int, int] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    healed_by: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    misled: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Ingest every document once."""
        self.docs.mkdir(parents=True)
        for number in range(self.documents):
            self._write(number)
        age(self.docs)
        self.cli("ingest", str(self.docs), "--json")

    def live_and_die(self) -> None:
        """Edit some documents, ingest, and be killed at a moment that the seed says, unless it is over before."""
        for number in self.rng.sample(range(self.documents // 2, self.documents), EDITED):
            self._write(number)
        kill = self.rng.choice(list(seeded_kills(EDITED, len(KINDS), self.rng)))
        completed = _completed_in(events_of(self.cli.data / "log.sqlite"))
        process = self.cli.start("ingest", str(self.docs), "--json")
        watch = Watch(self.cli.data, process, completed=completed)
        try:
            self.kills += watch.until(kill.is_reached, delay_s=kill.delay_s)
        finally:
            kill_group(process)
            watch.close()
        _, stderr = process.communicate()
        if "Traceback" in stderr:
            self.problems.append(f"the ingest before damage {len(self.damages) + 1}: {stderr}")

    def suffer(self, part: str, kept: Path) -> None:
        """Damage `part`, ask, heal, and see that everything is there; `kept` is for a copy from before."""
        shutil.copytree(self.cli.data, kept, ignore=shutil.ignore_patterns("*.sock"))
        before = events_of(kept / "log.sqlite")
        damage = seeded_damage(self.cli.data, part, self.rng)
        self.damages.append(damage)
        sys.stderr.write(f"{len(self.damages)}: {damage}\n")
        damage.happen()
        known = len(self.problems)
        hints = self._ask(damage)
        if hints is not None:
            self.told[part] += 1
            if part == "log" and self._is_to_accept(hints):
                before = self._accepted(damage, before, read_end(kept / "log.sqlite"))
            else:
                self._heal(damage, hints, kept)
        self._see_that_all_is_well(damage, before)
        if len(self.problems) > known:  # the next damage is to be judged by itself
            shutil.rmtree(self.cli.data)
            shutil.copytree(kept, self.cli.data)
        shutil.rmtree(kept)

    def _ask(self, damage: Damage) -> list[str] | None:
        """What commands that cannot answer give as hints; None if all of them answer as if nothing had happened."""
        number = self.rng.randrange(self.documents // 2)
        questions = [
            ("search", word_of(number, 0), "--mode", "keyword"),
            ("search", text_of(number, 0), "--mode", "vector"),
            ("ingest", str(self.docs)),
            ("status",),
            ("log", "stat"),
            ("verify", "--deep"),
        ]
        self.rng.shuffle(questions)
        misled = len(self.misled)
        hints: list[str] = []
        for question in questions:
            answer = self._answer(damage, *question)
            if answer is not None and not self._is_right(damage, question, answer, number):
                hints.append(self._hint(damage, question, answer))
        if len(self.misled) > misled and not hints:
            self._problem(damage, f"nothing tells what is wrong with the last of {self.misled}")
        return hints or None

    def _answer(self, damage: Damage, *question: str) -> Answer | None:
        """None where it is not even an answer, which is a problem."""
        try:
            answer = self.cli(*question, "--json", exit_code=None)
            json.loads(answer.stdout)
        except (AssertionError, ValueError) as error:
            self._problem(damage, f"{question} ends without an answer: {error}")
            return None
        return answer

    def _is_right(self, damage: Damage, question: Sequence[str], answer: Answer, number: int) -> bool:
        """Whether it is what it would be without damage; what is neither that nor an error is a problem."""
        said = answer.json
        if "error" in said:
            return False
        match question[0]:
            case "search":
                found = [Path(hit["uri"]).stem for hit in said["hits"][:1]]
                if found != [name_of(number)]:
                    self.misled.append(f"{damage}: {question[-2:]} found {found}, not {number}")
                return True
            case "ingest":
                return answer.exit_code == 0
            case "log":
                return True
            case "status":
                return not any(projection.get("error") for projection in said["projections"])
            case _:
                return bool(said["consistent"])

    def _hint(self, damage: Damage, question: Sequence[str], answer: Answer) -> str:
        """The hint that comes with what is told; one has to."""
        said = answer.json
        if "error" in said:
            hint = said["error"]["hint"]
            if damage.part == "log" and said["error"]["exit_code"] != MACHINE:
                self._problem(damage, f"{question} ends with {answer.exit_code}: {answer.stdout}")
        elif question[0] == "status":
            hint = " ".join(projection.get("hint") or "" for projection in said["projections"])
        else:
            hint = self.cli(*question, exit_code=None).stderr  # which only people are given
        if not hint:
            self._problem(damage, f"{question} gives no hint: {answer.stdout[:500]}")
        return hint or ""

    def _is_to_accept(self, hints: Sequence[str]) -> bool:
        """Whether the loss is accepted that hints tell of; backups have their turn, too."""
        return any(ACCEPTS in HEALS.findall(hint) for hint in hints) and self.rng.random() < ACCEPTED

    def _accepted(self, damage: Damage, before: Log, acknowledged: LogEnd | None) -> Log:
        """Go on without what is lost; what the log must hold afterwards of what it held `before`."""
        told = self.cli(*ACCEPTS.split(), "--json", exit_code=None)
        if told.exit_code != 0:
            self._problem(damage, f"its loss cannot be accepted: {told.stdout}")
            return before
        self.healed_by[ACCEPTS] += 1
        lost: Mapping[str, int] = told.json.get("lost_events", {})
        if not lost or acknowledged is None:
            self._problem(damage, f"nothing says what was lost: {told.stdout}")
            return before
        return {topic: before[topic][: end - lost.get(topic, 0)] for topic, end in acknowledged.end_offsets.items()}

    def _heal(self, damage: Damage, hints: Sequence[str], kept: Path) -> None:
        """Do what the hints say, one command after the other, until the indexes are as the log says."""
        commands = sorted({match for hint in hints for match in HEALS.findall(hint)})
        if damage.part == "log" or (not commands and any("backup" in hint for hint in hints)):
            self._put_back(damage.part, kept)
            self.healed_by[f"a backup of {damage.part}"] += 1
            commands = ["rebuild all"]
        for command in commands:
            verb, what, *options = command.split()
            self.cli(verb, str(self.docs) if verb == "ingest" else what, *options, "--json", exit_code=None)
            verified = self.cli("verify", "--deep", exit_code=None)
            if verified.exit_code == 0:
                self.healed_by[" ".join((verb, "SOURCE" if verb == "ingest" else what, *options))] += 1
                return
            # A backup may be older than what the log names by now: what is lacking then is told with a hint of its own.
            commands += [more for more in HEALS.findall(verified.stderr) if more not in commands]
        self._problem(damage, f"not healed by {commands}, which the hints name: {hints}")

    def _put_back(self, part: str, kept: Path) -> None:
        """The files of `part` as they were before the damage."""
        for path in [path for path in self.cli.data.glob(PARTS[part]) if path.is_file()]:
            path.unlink()
        for path in [path for path in kept.glob(PARTS[part]) if path.is_file()]:
            shutil.copy2(path, self.cli.data / path.relative_to(kept))

    def _see_that_all_is_well(self, damage: Damage, before: Log) -> None:
        """Ingest to the end; whatever the log held is there, and both indexes are as it says."""
        done = self._answer(damage, "ingest", str(self.docs))
        if done is not None and done.exit_code != 0:
            self._problem(damage, f"the ingest afterwards: {done.stdout}")
        verified = self._answer(damage, "verify", "--deep")
        if verified is not None and verified.exit_code != 0:
            self._problem(damage, f"the indexes differ afterwards: {verified.stdout}")
        try:
            after = events_of(self.cli.data / "log.sqlite")
        except Exception as error:  # noqa: BLE001 - whatever it is, the log cannot be read
            self._problem(damage, f"the log cannot be read afterwards: {error!r}")
            return
        for topic, events in before.items():
            if after[topic][: len(events)] != events:
                self._problem(damage, f"the log has lost events of {topic}, which it had before")

    def _problem(self, damage: Damage, what: str) -> None:
        self.problems.append(f"damage {len(self.damages)} ({damage}): {what}")

    def _write(self, number: int) -> None:
        edition = self.editions[number] = self.editions.get(number, -1) + 1
        (self.docs / f"{name_of(number)}.txt").write_text(text_of(number, edition))


def run(documents: int, damages: int, seed: int, folder: Path) -> DamageReport:
    """Ingest `documents`, at least ten, and damage the data folder `damages` times, in `folder`, an empty one."""
    began_s = time.monotonic()
    campaign = _Campaign(Cli(folder / "data"), folder / "docs", documents, random.Random(seed))
    campaign.begin()
    for number in range(damages):
        campaign.live_and_die()
        campaign.suffer(list(PARTS)[number % len(PARTS)], folder / "kept")
    exported = campaign.cli("log", "export", str(folder / "export"), exit_code=None)
    log = check(folder / "export", once=False) if exported.exit_code == 0 else {"problems": [exported.stderr]}
    return DamageReport(
        documents=documents,
        damages=[str(damage) for damage in campaign.damages],
        damages_by_part=dict(Counter(damage.part for damage in campaign.damages)),
        told=dict(campaign.told),
        misled=campaign.misled,
        healed_by=dict(campaign.healed_by),
        kills=campaign.kills,
        seconds=round(time.monotonic() - began_s, 1),
        log=log,
        problems=[*campaign.problems, *log["problems"]],
    )


def events_of(path: Path) -> Log:
    """Every event of a log."""
    log = SqliteLog(path, read_only=True)
    try:
        return {topic: list(_events(log, topic)) for topic in TOPIC_NAMES}
    finally:
        log.close()


def _events(log: SqliteLog, topic: str) -> Iterator[PipelineEvent]:
    partitions = log.partitions(topic)
    for batch in log.read(partitions, log.begin(partitions)):
        yield from (recorded.event for recorded in batch.recorded)


def _completed_in(log: Log) -> int:
    return sum(isinstance(event, DocumentCompleted) for event in log["documents"])


def name_of(number: int) -> str:
    """The name of a document's file, without its suffix."""
    return f"{number:04}"


def word_of(number: int, edition: int) -> str:
    """A word that only this edition of this document has."""
    return f"word{number}edition{edition}"


def text_of(number: int, edition: int) -> str:
    """The text of one chunk, unlike any other one's."""
    rng = random.Random(f"{number} {edition}")
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(3, 8))) for _ in range(60)]
    return f"{word_of(number, edition)} {' '.join(words)}"


def main() -> None:
    """Run a campaign and print its report."""
    parser = argparse.ArgumentParser(description="Damages a data folder between the kills of an ingest.")
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--damages", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder to work in and leave behind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refold-damage-") as scratch:
        folder = arguments.keep or Path(scratch)
        report = run(arguments.documents, arguments.damages, arguments.seed, folder)
    sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
