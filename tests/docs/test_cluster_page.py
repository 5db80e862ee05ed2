"""What the page on the cluster engine tells people to type, typed in its order in one empty folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.commands.markdown_blocks import ROOT, blocks
from tests.commands.pages import reader_environment
from tests.servers.qdrant import qdrant_over_http
from tests.servers.run import ADDRESSES, RUN, address_of
from tests.worlds.cluster import forget_corpus

PAGE = ROOT / "ops" / "cluster.md"
TIMEOUT_S = 300

CORPORA = {name: f"test-{RUN}-{uuid4().hex[:8]}-{name}" for name in ("papers", "moved")}
"""What the corpora of the page are called here: the servers may be somebody's, who has corpora of these names."""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A shell that finds `refold`, this Python and real servers, and no settings of whoever runs the tests."""
    pytest.importorskip("faust", reason="needs pip install 'refold[kafka]'")
    named = {ADDRESSES[name]: address_of(name) for name in ("kafka", "registry", "opensearch", "postgres")}
    with contextlib.ExitStack() as stack:
        qdrant = os.environ.get("QDRANT_URL") or stack.enter_context(qdrant_over_http())
        for corpus in CORPORA.values():
            stack.callback(forget_corpus, corpus, qdrant=qdrant)
        yield {**reader_environment(tmp_path), **named, "QDRANT_URL": qdrant}


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """One shell in an empty folder; what it began ends with the test."""
    folder = tmp_path / "somewhere"
    folder.mkdir()
    shell = subprocess.Popen(
        ["bash", "-e"],
        stdin=subprocess.PIPE,
        stdout=(tmp_path / "shell.log").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    yield shell
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def here(commands: str) -> str:
    """`commands` with the corpora called as they are here, wherever their names stand."""
    return re.sub(rf"\b({'|'.join(CORPORA)})\b", lambda name: CORPORA[name[0]], commands)


def test_no_corpus_of_the_page_bears_a_name_that_somebody_may_use() -> None:
    commands = here("\n".join(block.text for block in blocks(PAGE) if block.is_run and block.language == "bash"))
    named = set(re.findall(r"(?:corpus:|--corpus|--prefix refold\.)\s*([\w-]+)", commands))
    assert named == set(CORPORA.values())
    assert all(RUN in name for name in named)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 100)
def test_every_shell_block_of_the_page_works(shell: subprocess.Popen[str], tmp_path: Path) -> None:
    commands = here("\n".join(block.text for block in blocks(PAGE) if block.is_run and block.language == "bash"))
    # What the page stops at its end ends well.
    shell.communicate(f"set -x\n{commands}\nwait\n", timeout=TIMEOUT_S)
    told = (tmp_path / "shell.log").read_text()
    assert shell.returncode == 0, told + "\n".join(path.read_text()[-4_000:] for path in tmp_path.rglob("*.log"))
    assert "Traceback" not in told
    assert told.count("consistent") == 3
    assert "herons.md" in told
