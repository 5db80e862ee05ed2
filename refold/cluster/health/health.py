"""How a worker or a projector is: looked at every few seconds, and shown as readiness and metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from prometheus_client import CollectorRegistry, Gauge

from projections.fold.progress import ProjectionStatus
from refold.cluster.health.metrics import process_registry
from refold.cluster.health.server import HealthServer
from refold.cluster.slot_set import SlotStatus
from refold.cluster.watchdog import PATIENCE_S, Sample, Watchdog
from refold.settings.cluster import ClusterSettings
from schemas.errors import RefoldError
from schemas.positions import Position, TopicPartition
from streams.log import EventLog

LOOK_EVERY_S: Final = 5.0
"""A twelfth of the watchdog's patience; each look asks Kafka once for the ends of a few partitions."""

STARTING: Final = "it is starting"


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: where readers stand, and what the process itself knows to be wrong."""

    samples: Callable[[], Sequence[Sample]]
    not_ready: Callable[[], Sequence[str]]


class Health:
    """Shows how a process is at the host and port of `cluster`, from its start on; to be used in a `with`.

    It is not ready until `watch` says what to look at, while that says what is wrong, while a watched reader is stuck,
    and while a server is away that would have to be asked.
    """

    def __init__(
        self,
        cluster: ClusterSettings,
        *,
        watchdog: Watchdog | None = None,
        look_every_s: float = LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry: CollectorRegistry = process_registry()
        self._watchdog = watchdog or Watchdog(clock)
        self._look_every_s = look_every_s
        self._clock = clock
        self._watched: Watched | None = None
        self._problem: str | None = None
        self._looked_at_s = clock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._server: HealthServer | None = None
        if cluster.health_port is not None:
            self._server = HealthServer(
                cluster.health_host, cluster.health_port, not_ready=self.not_ready, registry=self.registry
            )
        self._show_itself()

    @property
    def port(self) -> int | None:
        """Where it is shown; None for nowhere."""
        return None if self._server is None else self._server.port

    def __enter__(self) -> Self:
        """Show it.

        Raises:
            MachineError: the address cannot be listened on.
        """
        if self._server is not None:
            self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self._look_every_s)  # a look may wait for a server that is away
        if self._server is not None:
            self._server.stop()

    def watch(self, watched: Watched) -> None:
        """The process has started: look at `watched` from now on."""
        self._watched = watched
        self._looked_at_s = self._clock()
        self._thread = threading.Thread(target=self._run, name="health-look", daemon=True)
        self._thread.start()

    def not_ready(self) -> Sequence[str]:
        """What is wrong, one line each; nothing while the process is ready."""
        watched = self._watched
        if watched is None:
            return [STARTING]
        silent_s = self._clock() - self._looked_at_s
        silent = [f"it could not be looked at for {silent_s:.0f} s"] if silent_s >= PATIENCE_S else []
        problem = [self._problem] if self._problem is not None else []
        return [*watched.not_ready(), *self._watchdog.stuck(), *problem, *silent]

    def look(self) -> None:
        """Take in where the readers stand now."""
        if self._watched is None:
            return
        try:
            self._watchdog.look(self._watched.samples())
            self._problem = None
        except RefoldError as exc:
            self._problem = str(exc)
        self._looked_at_s = self._clock()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_every_s):
            self.look()

    def _show_itself(self) -> None:
        ready = Gauge("refold_ready", "1 if the process is ready, else 0.", registry=self.registry)
        ready.set_function(lambda: float(not self.not_ready()))
        stuck = Gauge(
            "refold_stuck_partitions", "Partitions that do not move though they should.", registry=self.registry
        )
        stuck.set_function(lambda: len(self._watchdog.stuck()))


def projection_samples(statuses: Sequence[ProjectionStatus]) -> list[Sample]:
    """Where projections stand; those that have stopped say so themselves."""
    return [Sample(one.name, one.position, one.head) for one in statuses if not one.is_stopped]


def slot_samples(statuses: Sequence[SlotStatus], log: EventLog) -> list[Sample]:
    """Where slots stand in `requests`.

    Raises:
        TransientError: the log cannot be reached.
    """
    samples = []
    ends = log.end([TopicPartition("requests", one.number) for one in statuses])
    for one in statuses:
        tp = TopicPartition("requests", one.number)
        samples.append(Sample(f"slot {one.number}", Position({tp: one.taken_offset}), Position({tp: ends.offset(tp)})))
    return samples
