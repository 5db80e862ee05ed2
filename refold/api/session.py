"""One command: against a data folder, as its owner or through the owner that is there; or beside a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from refold.api.chosen_engine import engine_of
from refold.commands import COMMANDS, run
from refold.control.client import OwnerAway, forward
from refold.control.earlier_owner import completed
from refold.control.messages import Call, Emit, Interrupted, Json
from refold.engine.data_folder import DataFolder, Ownership
from refold.settings.settings import Settings
from schemas.errors import DataFolderLocked, UsageError

RETRY_S = 0.05
"""Between two tries to reach an owner that is starting or ending."""


class Session:
    """Runs commands. In a cluster every command asks the servers itself.

    The embedded engine takes the data folder when no process owns it, else forwards to the owner.

    A forwarded command whose owner ends takes the folder and goes on; a command that starts something
    carries an id chosen by its caller (`job_id`), so a retry resumes it instead of starting it twice.
    """

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._folder = DataFolder(settings.data, settings.folder_access)

    def call(
        self,
        command: str,
        arguments: Mapping[str, Any],
        *,
        on_event: Emit = lambda _: None,
        on_place: Callable[[bool], object] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> Json:
        """The result of `command`.

        `on_place` is called with whether it runs here, and again whenever that changes. Once `stop` is set the
        command ends in good order, wherever it runs; those that do not look at it run to their end.

        Raises:
            RefoldError: whatever the command raises, here or at the owner.
            DataFolderLocked: an owner is there and does not answer within `lock_wait_s`.
            Interrupted: `stop` came before there was a result.
        """
        stop = stop or threading.Event()
        call = Call(
            command=command,
            arguments=arguments,
            settings_fingerprint=self._settings.fingerprint,
            settings=self._settings.agreed,
        )
        if self._settings.engine == "cluster":
            return self._run_here(call, on_event, stop)
        # The embedded engine: own the folder, or ask its owner, until one of the two has worked.
        self._refuse_missing(command)
        deadline_s = self._monotonic() + self._settings.lock_wait_s
        while True:
            ownership = Ownership(self._folder)
            if ownership.try_take():
                on_place(True)  # noqa: FBT003 - is_here
                with ownership:
                    return self._run_here(call, on_event, stop)
            try:
                on_place(False)  # noqa: FBT003 - is_here
                return completed(command, forward(self._folder.path, call, on_event, stop))
            except OwnerAway as away:
                if away.was_reached:  # how long it had worked on this says nothing of how long it takes to end
                    deadline_s = self._monotonic() + self._settings.lock_wait_s
                if self._monotonic() >= deadline_s:
                    raise self._locked(ownership) from None
            if stop.wait(RETRY_S):
                raise Interrupted(op=command, hint="what it had begun goes on with the next ingest")

    def _refuse_missing(self, command: str) -> None:
        if not COMMANDS[command].creates_folder and not self._folder.exists():
            raise UsageError(
                f"there is no data folder at {self._folder.path}",
                op=command,
                subject=str(self._folder.path),
                hint="ingest something first: refold ingest FOLDER, or name the folder with --data",
            )

    def _run_here(self, call: Call, on_event: Emit, stop: threading.Event) -> Json:
        """Run `call` in this process; for the embedded engine as the owner of the folder."""
        from refold.process.setup import prepare  # noqa: PLC0415 - a forwarded command needs none of the machinery

        prepare(log_level=self._settings.log_level, engine=self._settings.engine)
        is_owner = self._settings.engine == "embedded"
        with self._folder.access.mask() if is_owner else nullcontext():
            lost = self._accepted_loss(call) if is_owner else {}
            with engine_of(self._settings, self._folder) as engine:
                engine.listen()
                engine.ends_with = stop
                if stop.is_set():
                    raise Interrupted(op=call.command, hint="nothing was begun")
                return {**run(engine, call, on_event, stop), **lost}

    def _accepted_loss(self, call: Call) -> Json:
        """The events that the log has lost, where the command is to go on without them: `rebuild all`."""
        if call.command != "rebuild" or call.arguments.get("what", "all") != "all":
            return {}
        from refold.embedded.lost_events import accept_lost_events  # noqa: PLC0415 - as above
        from refold.engine.assembly import now  # noqa: PLC0415 - the machinery of an owner

        lost = accept_lost_events(self._folder, clock=now)
        return {"lost_events": dict(lost)} if lost else {}

    def _locked(self, ownership: Ownership) -> DataFolderLocked:
        return DataFolderLocked(
            f"{self._folder.path} is owned by process {ownership.owner_pid()}, which does not answer",
            op="open",
            subject=str(self._folder.path),
            hint="wait for it to end, or give more time with REFOLD_LOCK_WAIT_S",
        )
