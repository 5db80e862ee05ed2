"""The demo as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from refold.demo.__main__ import QUESTIONS
from refold.demo.documents import DOCUMENTS
from tests.commands.refold_cli import ROOT, TIMEOUT_S, Cli


def run_demo(home: Path, *source: str) -> str:
    """What the demo prints; it must end well."""
    ran = subprocess.run(
        [sys.executable, "-m", "refold.demo.__main__", "--data", str(home), *source],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_demo_ingests_documents_of_every_format_and_finds_what_it_asks_for(tmp_path: Path) -> None:
    told = run_demo(tmp_path / "demo")
    for found in (*QUESTIONS, "tides.html", "lighthouses.pdf", "disk-full.md", "consistent"):
        assert found in told
    listed = Cli(tmp_path / "demo" / "refold-data")("documents", "list", "--json").json["documents"]
    made_here = [document for document in listed if "/demo/documents/" in document["uri"]]
    assert sorted(document["uri"].rpartition("/")[2] for document in made_here) == sorted(DOCUMENTS)
    assert {document["status"] for document in listed} == {"live"}
    assert len(listed) > len(made_here)

    again = run_demo(tmp_path / "demo")
    assert "is used again" in again
    assert "nothing to do" in again


def test_a_source_nobody_knows_is_asked_for_its_own_titles(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "one.html").write_text("<title>Keeping bees in winter</title><p>Leave them alone.")
    (docs / "repairing-clocks.txt").write_text("A clock that stops wants to be cleaned first.\n")
    told = run_demo(tmp_path / "demo", str(docs))
    assert "refold search 'Keeping bees in winter'" in told
    assert "refold search 'repairing clocks'" in told
    assert "Leave them alone" in told
