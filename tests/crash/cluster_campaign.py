"""Kills workers, projectors and servers of a cluster over and over, and holds what is left against the promises.

The long campaign, about ten minutes on two cores::

    python -m tests.crash.cluster_campaign --documents 5000 --kills 60 --seed 1

It prints its figures as JSON; exit code 1 when a promise was broken. The short one of every test run:
`test_cluster_campaign.py`.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.kill_campaign import checked, unequal, write_documents
from tests.worlds.cluster import ClusterWorld, cluster_world

MEMBERS = ("worker", "projector", "worker", "projector")
BETWEEN_KILLS_S = (1.0, 6.0)
REBALANCE_EVERY_S = 20.0
POLL_S = 0.5
END_S = 600.0


@dataclass(frozen=True)
class ClusterReport:
    """What was done and what came of it; `problems` is empty when every promise was kept."""

    documents: int
    kills: int
    kills_by_role: Mapping[str, int]
    rebalances: int
    outages: Sequence[str]
    seconds: float
    log: Mapping[str, Any]
    verified: Mapping[str, Any]
    problems: Sequence[str]


@dataclass
class _Campaign:
    world: ClusterWorld
    rng: random.Random
    members: list[tuple[str, subprocess.Popen[str]]] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    outages: list[str] = field(default_factory=list)
    guest: subprocess.Popen[str] | None = None
    rebalances: int = 0
    changed_at_s: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Start everybody."""
        self.members = [(role, self.world.start(role)) for role in MEMBERS]

    def kill_one(self) -> None:
        """SIGKILL somebody at a random moment, and start another in its place; a guest comes and goes meanwhile."""
        wait_until(time.monotonic() + self.rng.uniform(*BETWEEN_KILLS_S))
        number = self.rng.randrange(len(self.members))
        role, process = self.members[number]
        self.world.kill(process)
        self.kills[role] += 1
        self.members[number] = (role, self.world.start(role))
        self._rebalance()

    def _rebalance(self) -> None:
        """A third worker joins, or leaves in good order: Kafka hands slots over."""
        if time.monotonic() - self.changed_at_s < REBALANCE_EVERY_S:
            return
        self.changed_at_s = time.monotonic()
        self.rebalances += 1
        if self.guest is None:
            self.guest = self.world.start("worker")
        else:
            self.guest.send_signal(signal.SIGTERM)
            self.guest = None


def wait_until(moment_s: float) -> None:
    """Let time pass: how long a kill waits is what the seed says, nothing is waited for."""
    time.sleep(max(0.0, moment_s - time.monotonic()))


Outage = Callable[[], str]
"""Takes a server away for a while and says what it did."""


def run(world: ClusterWorld, *, documents: int, kills: int, seed: int, outages: Sequence[Outage] = ()) -> ClusterReport:
    """Ingest `documents` through `kills` SIGKILLs, with `outages` spread among them."""
    rng, began_s = random.Random(seed), time.monotonic()
    docs = write_documents(world.folder / "docs", documents, rng)
    campaign = _Campaign(world, rng)
    campaign.begin()
    job_id = world.cli("ingest", str(docs), "--no-wait", "--json").json["job_id"]
    due = {(number + 1) * kills // (len(outages) + 1): outage for number, outage in enumerate(outages)}
    for number in range(kills):
        campaign.kill_one()
        if number + 1 in due:
            campaign.outages.append(due[number + 1]())
    problems = _finish(world, job_id)
    verified = world.cli("verify", "--deep", "--json", exit_code=None).json
    log = checked(world.cli, world.folder / "export", "--cluster")
    return ClusterReport(
        documents=documents,
        kills=campaign.kills.total(),
        kills_by_role=dict(campaign.kills),
        rebalances=campaign.rebalances,
        outages=campaign.outages,
        seconds=round(time.monotonic() - began_s, 1),
        log=log,
        verified=verified,
        problems=[*problems, *log["problems"], *unequal(documents, log, verified)],
    )


def _finish(world: ClusterWorld, job_id: str) -> list[str]:
    """Wait until the job has ended and everything is searchable."""
    deadline_s = time.monotonic() + END_S
    while True:
        job = world.cli("jobs", "show", job_id, "--json").json
        if job["status"] == "finished":
            world.cli("search", "document", "--wait-for", job_id, "--json")
            return [] if job["outcome"] == "SUCCEEDED" else [f"the job ended as {job}"]
        if time.monotonic() > deadline_s:
            return [f"the job has not ended: {job}", world.logs()[-8_000:]]
        wait_until(time.monotonic() + POLL_S)


def main() -> None:
    """Run a campaign over servers of its own and print its report."""
    from tests.servers.outages import own_servers  # noqa: PLC0415 - a test folder is no package

    parser = argparse.ArgumentParser(description="Kills a cluster over and over.")
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder to work in and leave behind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refold-chaos-") as scratch, own_servers() as outages:
        folder = arguments.keep or Path(scratch)
        with cluster_world(folder) as world:
            report = run(
                world, documents=arguments.documents, kills=arguments.kills, seed=arguments.seed, outages=outages
            )
    sys.stdout.write(json.dumps(asdict(report), indent=2) + "\n")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
