"""A projector: keeps those projections up to date whose leases it holds, and shares them with the other projectors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from math import ceil

from projections.fold.progress import ProjectionStatus
from projections.sql.leases import Lease, Leases
from refold.cluster.projector.upkeep import Maker, Upkeep
from refold.cluster.watchdog import PATIENCE_S
from schemas.errors import TransientError
from streams.process_log import ProcessLogger

STOP_S = 10.0
"""How long a projection may take to apply what it has read, when its lease is given up."""

AGAIN_S = 5.0
"""Before a projection that stopped is opened again: what it met may take its time to pass."""

_MEMBER = "projector:"
_log = ProcessLogger(__name__)


class Projector:
    """Shares `makers`, the openers of views by projection, with other projectors; `turn` is called over and over.

    Each takes as many as its share. One that is gone is missed when its leases have run out. A projection moves when
    its holder gives it up: the next one goes on where the view stands. Two that believe to hold the same one do no
    harm: the view's position is compared and set.

    `leases` say who keeps what; `holder` names this process, unlike any other.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        holder: str,
        makers: Mapping[str, Maker],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._holder = holder
        self._makers = makers
        self._monotonic = monotonic
        self._member: Lease | None = None
        self._held: dict[str, Lease] = {}
        self._upkeeps: dict[str, Upkeep] = {}
        self._again_at_s: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._problem: str | None = None
        self._turned_at_s = monotonic()

    def run(self, stop: threading.Event) -> None:
        """Take turns until `stop`, three within the duration of a lease; then give everything up."""
        try:
            while not stop.is_set():
                self.turn()
                stop.wait(self._leases.duration_s / 3)
        finally:
            self.leave()

    def turn(self) -> None:
        """Renew what is held, give up what is too much, take what is free, and open again what has stopped."""
        self._turned_at_s = self._monotonic()
        try:
            self._renew()
            holders = self._leases.holders()
            members = sum(name.startswith(_MEMBER) for name in holders)
            self._share(holders, ceil(len(self._makers) / max(members, 1)))
            for name in self._held:
                self._keep(name)
        except TransientError as exc:
            _log.warning("leases cannot be renewed now", error=str(exc))
            self._problem = str(exc)
        else:
            self._problem = None

    def leave(self) -> None:
        """Give everything up; the others need not wait for the leases to run out."""
        endings = [self._give_up(name) for name in list(self._held)]
        for ending in endings:
            ending.join(STOP_S)
        if self._member is not None:
            self._release(self._member)

    def statuses(self) -> Sequence[ProjectionStatus]:
        """How the projections are doing that are kept here."""
        return [status for upkeep in list(self._upkeeps.values()) if (status := upkeep.status) is not None]

    def not_ready(self) -> Sequence[str]:
        """What is wrong, for people."""
        upkeeps = list(self._upkeeps.values())
        stopped = [f"{one.name}: {one.error}" for one in upkeeps if one.error is not None]
        still = [f"{one.name}: {standstill}" for one in upkeeps if (standstill := one.standstill) is not None]
        silent_s = self._monotonic() - self._turned_at_s
        hung = [f"leases were not renewed for {silent_s:.0f} s"] if silent_s >= self._patience_s else []
        return [*([self._problem] if self._problem else []), *hung, *stopped, *still]

    @property
    def _patience_s(self) -> float:
        return max(PATIENCE_S, self._leases.duration_s)  # three turns are taken in that time

    def _renew(self) -> None:
        self._member = self._leases.take(f"{_MEMBER}{self._holder}", self._holder)
        for name, lease in list(self._held.items()):
            if not self._leases.renew(lease):
                _log.warning("a lease was lost", projection=name)
                self._end(name, None)

    def _share(self, holders: Mapping[str, str], share: int) -> None:
        for name in list(self._held)[share:]:
            self._give_up(name)
        for name in self._makers:
            if len(self._held) >= share:
                return
            if name not in holders and (lease := self._leases.take(name, self._holder)) is not None:
                self._held[name] = lease
                _log.info("a lease was taken", projection=name)

    def _keep(self, name: str) -> None:
        upkeep = self._upkeeps.get(name)
        if upkeep is not None:
            self._tell(name, upkeep)
        if upkeep is not None and upkeep.error is not None:
            now_s = self._monotonic()
            if now_s < self._again_at_s.setdefault(name, now_s + AGAIN_S):
                return
        if upkeep is not None and (upkeep.error is not None or upkeep.is_outdated):
            threading.Thread(target=upkeep.stop, args=(STOP_S,), name=f"close-{name}", daemon=True).start()
            upkeep = None
        if upkeep is None:
            self._again_at_s.pop(name, None)
            self._upkeeps[name] = Upkeep(name, self._makers[name], monotonic=self._monotonic)

    def _tell(self, name: str, upkeep: Upkeep) -> None:
        """Log what stops a projection or holds it up, once as long as it stays the same."""
        trouble = upkeep.trouble
        if trouble is None:
            if upkeep.is_at_work and self._told.pop(name, None) is not None:
                _log.info("a projection goes on", projection=name)
            return
        if self._told.get(name) != str(trouble):
            self._told[name] = str(trouble)
            hint = getattr(trouble, "hint", None)
            _log.warning("a projection does not go on", projection=name, error=str(trouble), hint=hint)

    def _give_up(self, name: str) -> threading.Thread:
        return self._end(name, self._held[name])

    def _end(self, name: str, lease: Lease | None) -> threading.Thread:
        """Let go of the view and then of `lease`, in a thread: the other leases have to be renewed meanwhile."""
        del self._held[name]
        self._again_at_s.pop(name, None)
        upkeep = self._upkeeps.pop(name, None)

        def end() -> None:
            if upkeep is not None:
                upkeep.stop(STOP_S)
            if lease is not None:
                self._release(lease)

        ending = threading.Thread(target=end, name=f"close-{name}", daemon=True)
        ending.start()
        return ending

    def _release(self, lease: Lease) -> None:
        try:
            self._leases.release(lease)
        except TransientError as exc:  # it runs out by itself
            _log.warning("a lease could not be given up", lease=lease.name, error=str(exc))
