"""Writes a golden data folder: what one release left on disk, opened for ever by the releases after it.

A golden folder is written once, by the code of its release, and never again. For the next release, check its code out
elsewhere and name both::

    git worktree add /tmp/released COMMIT
    python -m tests.golden.write_golden_folder folder-COMMIT --code /tmp/released

That writes ``tests/golden/folder-COMMIT.tar.xz`` with three members: ``data``, the folder as a SIGKILL in the middle of
an ingest left it; ``exported``, its log from just before; ``answers.json``, what that release answered then.
`tests/e2e/test_released_folders.py` opens them with today's code.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.commands.refold_cli import Cli, kill_group
from tests.crash.kill_moments import Watch
from tests.samples.golden_sources import (
    CREW,
    LIBRARY,
    SOURCES,
    change_library,
    golden_sources,
    write_crew,
    write_library,
)

GOLDEN = Path(__file__).parent
KILLED_AFTER = 6
"""Completed documents of the crew: enough to be in the middle."""

QUESTIONS = {
    "status": ("status",),
    "documents": ("documents", "list"),
    "history": ("documents", "history", f"file://{LIBRARY}/herons.md"),
    "failure": ("documents", "show", f"file://{LIBRARY}/broken.pdf"),
    "jobs": ("jobs", "list"),
    "keyword": ("search", "shallow water", "--mode", "keyword"),
    "vector": ("search", "a bird that waits for fish", "--mode", "vector", "--limit", "1"),
    "log": ("log", "stat"),
}
"""What the release is asked before the kill."""

CANCEL = """
import asyncio, sys, refold

async def main():
    async with refold.open(sys.argv[1]) as pipeline:
        is_cancelled = False
        async for event in pipeline.stream_events([sys.argv[2]], as_name="fleet", buffer_size=1):
            if isinstance(event, refold.events.DocumentQueued) and not is_cancelled:
                is_cancelled = True
                cancelling = asyncio.create_task(pipeline.call("jobs cancel", job=event.meta.job_id))
                await asyncio.sleep(2)  # nothing starts while nothing is read
        await cancelling

asyncio.run(main())
"""
"""A reader that holds the job back, and cancels it at its first request."""

SUBSCRIBE = """
import asyncio, sys, refold

async def main():
    async with refold.open(sys.argv[1]) as pipeline:
        seen = 0
        async for delivery in pipeline.subscribe(["documents"], group="mirror"):
            seen += 1
            if seen == 4:
                break

asyncio.run(main())
"""
"""Three events are handled: one counts as handled once the next is asked for."""

TRIM = """
import sys
from pathlib import Path

try:
    from streams.logs.sqlite.log import SqliteLog
except ImportError:  # a release whose log was one file
    from streams.logs.sqlite import SqliteLog

log = SqliteLog(Path(sys.argv[1]) / "log.sqlite")
log.trim(log.end(log.partitions("requests")))
log.close()
"""
"""What the owner does after ten thousand requests."""


def write(name: str, code: Path) -> None:
    """Write the golden folder `name` with the release whose checkout is `code`."""
    with golden_sources() as sources:
        made = sources / "made"
        made.mkdir()
        cli = Cli(made / "data", _environment(code), program=("-m", "refold"))
        _check_code(code)
        _fill(cli, code, made)
        answers: dict[str, Any] = {question: cli(*command, "--json").json for question, command in QUESTIONS.items()}
        cli("log", "export", str(made / "exported"))
        _die_in_the_middle(cli)
        (made / "answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")
        _pack(made, GOLDEN / f"{name}.tar.xz")


def _fill(cli: Cli, code: Path, scratch: Path) -> None:
    """A life: files, an edit, a removal, a failure, pushed documents, a cancelled job, a rebuild, a group, a trim."""
    write_library()
    cli("ingest", str(LIBRARY), exit_code=1)  # broken.pdf
    change_library()
    cli("ingest", str(LIBRARY))
    cli("documents", "add", "notes/milk", "--text", "Remember the milk.", "--metadata", "team=kitchen")
    page = scratch / "long.html"
    page.write_text(f"<!doctype html><title>Long</title><!-- {'x' * 300_000} --><p>A page larger than what is packed.")
    cli("documents", "add", "long", "--file", str(page))
    page.unlink()
    write_crew(SOURCES / "fleet", 12)
    _python(CANCEL, cli.data, code, str(SOURCES / "fleet"))
    shutil.rmtree(SOURCES / "fleet")
    cli("rebuild", "vector")
    _python(SUBSCRIBE, cli.data, code)
    _python(TRIM, cli.data, code)


def _die_in_the_middle(cli: Cli) -> None:
    write_crew(CREW)
    few = Cli(cli.data, {**cli.environment, "REFOLD_POOL__IN_FLIGHT": "4"}, cli.program)
    ingest = few.start("ingest", str(CREW), "--as", "crew")
    watch = Watch(cli.data, ingest, completed=0)
    before = _completed(watch)
    is_reached = watch.until(lambda seen: seen.completed >= before + KILLED_AFTER, delay_s=0.0)
    kill_group(ingest)
    watch.close()
    assert is_reached, "the ingest was over before it could be killed"
    assert (cli.data / "log.sqlite-wal").stat().st_size > 0


def _completed(watch: Watch) -> int:
    watch._look()
    return watch.completed


def _environment(code: Path) -> dict[str, str]:
    """Only the checkout is imported from, not this project or the working directory."""
    return {"PYTHONPATH": str(code), "PYTHONSAFEPATH": "1"}


def _python(program: str, data: Path, code: Path, *arguments: str) -> None:
    environment = {**os.environ, **_environment(code)}
    subprocess.run([sys.executable, "-c", program, str(data), *arguments], env=environment, check=True, timeout=120)


def _check_code(code: Path) -> None:
    asked = [sys.executable, "-c", "import refold; print(refold.__file__)"]
    answer = subprocess.run(
        asked, env={**os.environ, **_environment(code)}, check=True, timeout=60, capture_output=True
    )
    assert Path(answer.stdout.decode().strip()).is_relative_to(code.resolve()), answer.stdout


def _pack(made: Path, archive: Path) -> None:
    """All files of `made` but sockets, in a stable order, owned by nobody."""
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in sorted(_files(made)):
            tar.add(path, str(path.relative_to(made)), recursive=False, filter=_nobody)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() or path.is_dir())


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(member.mtime)
    return member


def main() -> None:
    """Write what the command line names."""
    parser = argparse.ArgumentParser(description="Writes the golden data folder of a release.")
    parser.add_argument("name", help="such as folder-a020b48")
    parser.add_argument("--code", type=Path, required=True, help="a checkout of the release")
    arguments = parser.parse_args()
    write(arguments.name, arguments.code.resolve())


if __name__ == "__main__":
    main()
