"""A command finds the owner of its folder, or becomes it, however long the owner had worked on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refold.api.session import Session
from refold.control import client
from refold.control.messages import Call, Interrupted, Json
from refold.control.server import ControlServer
from refold.embedded.agreement import refuse_other_settings
from refold.engine.data_folder import DataFolder, Ownership
from refold.settings.settings import Settings, load_settings
from schemas.errors import DataFolderLocked, UsageError


class Owner:
    """Holds a folder's lock and answers calls with `answer`, by the real socket, until it `ends`."""

    def __init__(self, folder: DataFolder) -> None:
        self.called, self.ended = threading.Event(), threading.Event()
        self.stopped = threading.Event()
        self._ownership = Ownership(folder)
        self._server = ControlServer(folder.path, self._answer)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def begin(self, *, listens: bool = True) -> None:
        """Own the folder."""
        self._ownership.take(1)
        self._thread.start()
        if listens:
            asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()

    def end(self) -> None:
        """Listen no more, then let go."""
        if not self.ended.is_set():
            self.ended.set()
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
            self._ownership.release()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _answer(self, _call: Call, _emit: Any, caller_left: threading.Event) -> Mapping[str, Any]:
        self.called.set()
        while not (caller_left.wait(0.05) or self.ended.is_set()):
            pass
        if caller_left.is_set():
            self.stopped.set()
        return {"answered by": "the owner"}


class Clock:
    """Seconds that pass when somebody says so."""

    now_s = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.now_s


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load_settings({"data": tmp_path / "data", "lock_wait_s": 30.0})
    DataFolder(made.data).create()
    return made


@contextmanager
def owned(settings: Settings, *, listens: bool = True) -> Iterator[Owner]:
    owner = Owner(DataFolder(settings.data))
    owner.begin(listens=listens)
    try:
        yield owner
    finally:
        owner.end()


class Caller(threading.Thread):
    """Calls `status` in a thread."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        super().__init__(daemon=True)
        self.stop, self.result, self.error = threading.Event(), {}, None
        self.places: list[bool] = []
        self._session = Session(settings, monotonic=clock)

    result: Json
    error: Exception | None

    def run(self) -> None:
        """The call."""
        try:
            self.result = self._session.call("status", {}, on_place=self._placed, stop=self.stop)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _placed(self, is_here: bool) -> None:  # noqa: FBT001 - as Session calls it
        self.places.append(is_here)


def test_a_command_takes_over_also_when_it_was_forwarded_longer_than_it_waits_for_an_owner(settings: Settings) -> None:
    clock = Clock()
    with owned(settings) as owner:
        caller = Caller(settings, clock)
        caller.start()
        assert owner.called.wait(60)
        clock.now_s += 3_600
        owner.end()
        caller.join(120)
    assert caller.error is None
    assert caller.result["data"] == str(settings.data)  # the real command, run here
    assert (caller.places[0], caller.places[-1]) == (False, True)


def test_an_owner_that_does_not_answer_is_waited_for_as_long_as_is_set(settings: Settings) -> None:
    clock = Clock()
    with owned(settings, listens=False):
        caller = Caller(settings, clock)
        caller.start()
        while caller.is_alive() and not caller.places:  # it has begun, and counts from then
            caller.join(0.01)
        assert caller.is_alive()
        clock.now_s += 3_600
        caller.join(120)
    assert isinstance(caller.error, DataFolderLocked)


def test_a_command_that_waits_for_an_owner_ends_when_it_is_asked_to_stop(settings: Settings) -> None:
    with owned(settings, listens=False):
        caller = Caller(settings, Clock())
        caller.start()
        caller.stop.set()
        caller.join(120)
    assert isinstance(caller.error, Interrupted)


def test_the_owner_is_told_to_stop_and_its_answer_is_waited_for(settings: Settings) -> None:
    with owned(settings) as owner:
        caller = Caller(settings, Clock())
        caller.start()
        assert owner.called.wait(60)
        caller.stop.set()
        caller.join(120)
        assert owner.stopped.is_set()
    assert caller.result["answered by"] == "the owner"


def test_a_call_that_is_too_long_is_refused_before_it_is_sent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LINE_LIMIT_BYTES", 1_000)
    with owned(settings) as owner, pytest.raises(UsageError, match="too large"):
        client.forward(DataFolder(settings.data).path, Call(command="x", arguments={"a": "b" * 1_000}), lambda _: None)
    assert not owner.called.is_set()


def call(command: str, **sections: Any) -> Call:
    settings = load_settings(sections)
    return Call(command=command, settings_fingerprint=settings.fingerprint, settings=settings.agreed)


@pytest.mark.parametrize("command", ["ingest", "plan"])
@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"sources": {"suffixes": [".md"]}}, r"sources\.suffixes"),
        ({"sources": {"hidden": True, "ignore": ["a"]}}, r"sources\.hidden, sources\.ignore"),
        ({"retries": {"max_attempts": 1}}, r"retries\.max_attempts"),
        ({"chunking": {"size": 500}}, r"chunking\.size"),
    ],
)
def test_commands_that_plan_are_refused_with_other_settings_by_name(
    command: str, sections: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=f"has other settings: {named}$"):
        refuse_other_settings(call(command, **sections), load_settings(), owner="here")


def test_others_may_differ_in_what_they_do_not_need() -> None:
    refuse_other_settings(call("search", sources={"suffixes": [".md"]}), load_settings(), owner="here")
    refuse_other_settings(call("ingest", pool={"processes": 1}), load_settings(), owner="here")
    with pytest.raises(UsageError, match=r"limits\.text_chars"):
        refuse_other_settings(call("search", limits={"text_chars": 5_000}), load_settings(), owner="here")


def test_a_command_of_a_release_that_does_not_tell_its_settings_plans_nothing() -> None:
    fingerprint = load_settings().fingerprint
    refuse_other_settings(Call(command="search", settings_fingerprint=fingerprint), load_settings(), owner="here")
    with pytest.raises(UsageError):
        refuse_other_settings(Call(command="ingest", settings_fingerprint=fingerprint), load_settings(), owner="here")
    with pytest.raises(UsageError):
        refuse_other_settings(Call(command="search", settings_fingerprint="other"), load_settings(), owner="here")
