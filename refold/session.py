"""One command: against a data folder, as its owner or through the owner that is there; or beside a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from refold.commands import COMMANDS
from refold.control.client import OwnerAway, forward
from refold.control.messages import Call, Json
from refold.data_folder import DataFolder, Ownership
from refold.settings import Settings
from schemas.errors import DataFolderLocked, UsageError

RETRY_S = 0.05
"""Between two tries to reach an owner that is starting or ending."""


class Session:
    """Runs commands. In a cluster every command asks the servers itself.

    The embedded engine takes the data folder when nobody owns it, else forwards to the owner.

    A forwarded command whose owner ends takes the folder and goes on; commands that begin something carry an id made
    by the caller (`job_id`), so that going on is not beginning again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = DataFolder(settings.data)

    def call(
        self,
        command: str,
        arguments: Mapping[str, Any],
        *,
        on_event: Callable[[Json], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> Json:
        """The result of `command`.

        Raises:
            RefoldError: whatever the command raises, here or at the owner.
            DataFolderLocked: an owner is there and does not answer within `lock_wait_s`.
        """
        if self._settings.engine == "cluster":
            return self._run_beside_cluster(command, arguments, on_event, stop or threading.Event())
        call = Call(command=command, arguments=arguments, settings_fingerprint=self._settings.fingerprint)
        deadline = time.monotonic() + self._settings.lock_wait_s
        self._refuse_missing(command)
        while True:
            ownership = Ownership(self._folder)
            if ownership.try_take():
                with ownership:
                    return self._run_as_owner(call, on_event, stop or threading.Event())
            try:
                return forward(self._folder.path, call, on_event)
            except OwnerAway:
                if time.monotonic() >= deadline:
                    raise self._locked(ownership) from None
                time.sleep(RETRY_S)

    def _run_beside_cluster(
        self, command: str, arguments: Mapping[str, Any], on_event: Callable[[Json], None], stop: threading.Event
    ) -> Json:
        from refold.cluster.client_wiring import open_client  # noqa: PLC0415 - the machinery of a cluster
        from refold.own_process import prepare  # noqa: PLC0415 - as above

        prepare(self._settings)
        with open_client(self._settings) as engine:
            return dict(engine.run(Call(command=command, arguments=arguments), on_event, stop))

    def _refuse_missing(self, command: str) -> None:
        if not COMMANDS[command].creates_folder and not self._folder.exists():
            raise UsageError(
                f"there is no data folder at {self._folder.path}",
                op=command,
                subject=str(self._folder.path),
                hint="ingest something first: refold ingest FOLDER, or name the folder with --data",
            )

    def _run_as_owner(self, call: Call, on_event: Callable[[Json], None], stop: threading.Event) -> Json:
        from refold.own_process import prepare  # noqa: PLC0415 - a forwarded command needs none of the machinery
        from refold.wiring import open_engine  # noqa: PLC0415 - as above

        prepare(self._settings)
        with open_engine(self._settings, folder=self._folder) as engine:
            engine.listen()
            return dict(engine.run(call, on_event, stop))

    def _locked(self, ownership: Ownership) -> DataFolderLocked:
        return DataFolderLocked(
            f"{self._folder.path} is owned by process {ownership.owner_pid()}, which does not answer",
            op="open",
            subject=str(self._folder.path),
            hint="wait for it to end, or give more time with REFOLD_LOCK_WAIT_S",
        )
