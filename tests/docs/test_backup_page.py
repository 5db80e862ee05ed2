"""What `ops/backup.md` and `ops/upgrade.md` tell people to do works, also while an ingest runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import refold
from tests.commands.markdown_blocks import ROOT
from tests.commands.pages import reader_environment, typed
from tests.commands.refold_cli import Cli

BACKUP = ROOT / "ops" / "backup.md"
UPGRADE = ROOT / "ops" / "upgrade.md"
DOCUMENTS = 40

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_every_command_of_the_backup_page_works(tmp_path: Path) -> None:
    printed = dict(typed(BACKUP, tmp_path / "somewhere", reader_environment(tmp_path)))
    for verified in ("refold verify --deep --data restored", "refold verify --deep --data restored-cold"):
        assert printed[verified].splitlines()[-1] == "consistent"
    found = printed['refold search "when does the ferry leave?" --data restored --limit 1']
    assert found.startswith("1. Ferry")
    assert "2 unchanged" in printed["refold ingest notes --data restored"]


def test_every_command_of_the_upgrade_page_works(tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    Cli(folder / "refold-data")("documents", "add", "note", "--text", "before the upgrade")
    printed = dict(typed(UPGRADE, folder, reader_environment(tmp_path)))
    assert printed["refold verify"].splitlines()[-1] == "consistent"


async def backed_up_in_the_middle(docs: Path, data: Path, backup: Path) -> None:
    """Ingest `docs`; read no further than its third completion until the backup stands, so that it is the middle."""
    cli, copy, seen, is_made = Cli(data), Cli(backup / "data"), 0, False
    async with refold.open(data, settings={"pool": {"in_flight": 4}}) as pipeline:
        async for event in pipeline.stream_events([docs], buffer_size=1):
            seen += isinstance(event, refold.events.DocumentCompleted)
            if seen == 3 and not is_made:
                await asyncio.to_thread(cli, "log", "export", str(backup / "log"))
                artifacts = ("--artifacts", str(data / "artifacts"))
                imported = await asyncio.to_thread(copy, "log", "import", str(backup / "log"), *artifacts, "--json")
                assert imported.json["artifacts_damaged"] == 0
                is_made = True
    assert (is_made, seen) == (True, DOCUMENTS)


def test_a_backup_that_is_made_while_an_ingest_runs_is_whole(tmp_path: Path) -> None:
    docs, backup = tmp_path / "docs", tmp_path / "backup"
    docs.mkdir()
    for number in range(DOCUMENTS):
        (docs / f"{number:03}.md").write_text(f"# Number {number}\n\nThe document about {number} sheep.\n")
    asyncio.run(backed_up_in_the_middle(docs, tmp_path / "data", backup))

    restored = Cli(tmp_path / "restored")
    (backup / "data").rename(restored.data)
    counted = restored("log", "stat", "--json").json["topics"]["documents"]
    assert 3 <= counted["DocumentCompleted"] < DOCUMENTS
    restored("rebuild", "all")
    assert restored("verify", "--deep", "--json").json["consistent"]
    assert restored("ingest", str(docs), "--json").json["searchable"]
    assert restored("status", "--json").json["documents"]["live"] == DOCUMENTS
    assert restored("verify", "--deep", "--json").json["consistent"]
