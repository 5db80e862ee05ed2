"""Stacks of small servers: what `refold dev` promises of any server, tried without waiting for large ones."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from refold.local import stack as stack_module
from refold.local.folder_lock import LOCK, locked
from refold.local.interrupts import Interrupts
from refold.local.server import Launch, NotUp, Software, answers, free_port
from refold.local.stack import Stack
from schemas.errors import MachineError, UsageError

TIMEOUT_S = 30.0
SERVE = "import http.server as h, sys; h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"
FAIL = "print('the heron is ill'); print('it stays in its nest'); raise SystemExit(1)"
HANG = "import time; time.sleep(600)"


def python(program: str) -> Software:
    """A server that runs `program` with its port."""
    return Software(
        launch=lambda _home, port: Launch(command=[sys.executable, "-c", program, str(port)]),
        is_healthy=lambda port: answers(f"http://127.0.0.1:{port}/"),
        variables=lambda port: {"HERON_URL": f"http://127.0.0.1:{port}"},
    )


@pytest.fixture
def software(monkeypatch: pytest.MonkeyPatch) -> dict[str, Software]:
    """Every server there is, for this test."""
    known = {"good": python(SERVE), "other": python(SERVE)}
    monkeypatch.setattr(stack_module, "SERVERS", known)
    return known


@pytest.fixture
def stack(software: dict[str, Software], tmp_path: Path) -> Iterator[Stack]:
    assert software
    stack = Stack(tmp_path / "stack")
    yield stack
    stack.down()


def servers_of(stack: Stack) -> list[int]:
    """The processes that live in the folder of `stack`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found += [process.pid] if process.cwd().startswith(str(stack.folder)) else []
    return found


def test_servers_come_up_are_found_again_and_go(stack: Stack) -> None:
    started = stack.up()
    assert [one.state for one in started] == ["running", "running"]
    assert len(servers_of(stack)) == 2
    assert stack.up() == Stack(stack.folder).status() == started
    assert stack.down() == ["good", "other"]
    assert not stack.folder.exists()


def test_asking_how_it_is_prepares_nothing(stack: Stack, software: dict[str, Software]) -> None:
    assert [one.state for one in stack.status()] == ["stopped", "stopped"]
    assert stack.variables() == {}
    assert not stack.folder.exists()
    stack.up(["good"])
    software["good"] = Software(
        launch=lambda *_: pytest.fail("it was prepared"),
        is_healthy=software["good"].is_healthy,
        variables=software["good"].variables,
    )
    asked = Stack(stack.folder)
    assert [one.state for one in asked.status()] == ["running", "stopped"]
    assert list(asked.variables()) == ["HERON_URL"]


def test_one_that_does_not_come_up_is_told_with_the_end_of_its_log_and_takes_the_others_along(
    stack: Stack, software: dict[str, Software]
) -> None:
    software["other"] = python(FAIL)
    with pytest.raises(NotUp, match="other ended by itself") as caught:
        stack.up()
    assert caught.value.last_lines == ["the heron is ill", "it stays in its nest"]
    assert str(stack.folder / "other" / "server.log") in str(caught.value.hint)
    assert [one.state for one in stack.status()] == ["stopped", "stopped"]
    assert servers_of(stack) == []
    assert [path.name for path in stack.folder.iterdir()] == ["other"]


def test_one_that_ran_before_stays_when_another_one_does_not_come_up(
    stack: Stack, software: dict[str, Software]
) -> None:
    stack.up(["good"])
    software["other"] = python(FAIL)
    with pytest.raises(NotUp):
        stack.up()
    assert [one.state for one in stack.status()] == ["running", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_during_up_leaves_nothing_behind(
    stack: Stack, software: dict[str, Software], number: signal.Signals
) -> None:
    software["other"] = python(HANG)
    handlers = signal.getsignal(number)
    threading.Thread(target=send_when_begun, args=(stack, number)).start()
    with pytest.raises(KeyboardInterrupt):
        stack.up()
    assert servers_of(stack) == []
    assert not stack.folder.exists()
    assert signal.getsignal(number) == handlers


def send_when_begun(stack: Stack, number: signal.Signals) -> None:
    """Send a signal to this process once both servers are noted."""
    pause = threading.Event()
    for _ in range(int(TIMEOUT_S / 0.01)):
        if len(list(stack.folder.glob("*/server.json"))) == 2:
            break
        pause.wait(0.01)
    os.kill(os.getpid(), number)


def test_a_signal_during_what_must_not_be_torn_waits_for_its_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:  # noqa: PT012 - the order is the point
        with interrupts.held_off():
            signal.raise_signal(signal.SIGTERM)
            done.append("the note is written")
        done.append("never")
    assert done == ["the note is written"]


def test_a_port_that_is_taken_is_told_before_anything_is_started(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"port {port} for other is taken by another process"):
            stack.up(ports={"other": port})
    assert not stack.folder.exists()


def test_ports_that_cannot_be_meant_are_refused(stack: Stack) -> None:
    port = free_port()
    with pytest.raises(MachineError, match="is taken by other"):
        stack.up(ports={"good": port, "other": port})
    with pytest.raises(UsageError, match="other is not among the servers to start"):
        stack.up(["good"], ports={"other": port})
    stack.up(["good"])
    with pytest.raises(UsageError, match="good runs already"):
        stack.up(["good"], ports={"good": port})


def test_a_killed_server_comes_back_on_its_port_unless_that_is_taken(stack: Stack) -> None:
    (first,) = stack.up(["good"])
    (server,) = stack._servers(["good"])
    server.stop()
    (again,) = stack.up(["good"])
    assert again == first
    server.stop()
    assert server.port is not None
    with socket.create_server(("127.0.0.1", server.port)):
        (elsewhere,) = stack.up(["good"])
        assert elsewhere.state == "running"
        assert elsewhere.variables != first.variables


def test_the_second_of_two_at_once_says_so_waits_and_finds_what_the_first_has_started(stack: Stack) -> None:
    said, found = threading.Event(), []
    second = Stack(stack.folder, on_wait=said.set)
    with locked(stack.folder):
        waiting = threading.Thread(target=lambda: found.append(second.up(["good"])))
        waiting.start()
        assert said.wait(TIMEOUT_S)
        assert found == []
    waiting.join(TIMEOUT_S)
    assert stack.up(["good"]) == found[0]


def test_a_lock_that_its_holder_has_deleted_holds_nobody_up_and_locks_nobody_in(tmp_path: Path) -> None:
    folder, inside, most = tmp_path / "stack", [0], [0]

    def hold() -> None:
        for _ in range(50):
            with locked(folder):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                assert (folder / LOCK).exists()
                inside[0] -= 1

    with ThreadPoolExecutor(4) as threads:
        for held in [threads.submit(hold) for _ in range(4)]:
            held.result(TIMEOUT_S)
    assert (inside, most) == ([0], [1])
    assert not folder.exists()


def test_a_file_is_no_place_for_servers(stack: Stack) -> None:
    stack.folder.write_text("precious")
    with pytest.raises(MachineError, match="is no folder"):
        stack.up()
    assert stack.folder.read_text() == "precious"
