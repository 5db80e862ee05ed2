"""Who may read a data folder, from the first moment on."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import refold
from refold.control import server
from refold.control.server import ControlServer
from refold.engine.data_folder import DataFolder, Ownership
from refold.settings.folder_access import FolderAccess
from tests.commands.refold_cli import Cli, age


def modes(folder: Path) -> dict[str, int]:
    """The permission bits of a folder and of all that is in it."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def wide() -> Iterator[None]:
    """A umask that leaves everything to everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("wide")
async def test_nobody_else_enters_a_folder_that_a_program_makes(tmp_path: Path) -> None:
    async with refold.open(tmp_path / "above" / "data") as pipeline:
        await pipeline.add("a", text="whales")
        found = modes(tmp_path / "above" / "data")
    folders = {name for name in found if (tmp_path / "above" / "data" / name).is_dir()}
    assert {found[name] for name in (".", "views", "indexes", "artifacts")} == {0o700}
    outside = {name: oct(mode) for name, mode in found.items() if "/" not in name and name not in folders}
    assert set(outside.values()) == {"0o600"}, outside
    assert {"control.sock", "log.sqlite", "log.sqlite-wal", "format.json", "owner.lock"} <= set(outside)


@pytest.mark.usefixtures("wide")
def test_a_folder_and_its_files_are_closed_before_anybody_can_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "chmod", lambda *_: None)  # what comes after the making is too late
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with Ownership(folder) as ownership:
        ownership.take(1)
        assert {oct(mode) for name, mode in modes(folder.path).items() if mode & 0o077} == set()


@pytest.mark.usefixtures("wide")
def test_everything_that_a_command_makes_is_for_its_user_only(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("whales " * 100_000)
    age(tmp_path)
    Cli(tmp_path / "data")("ingest", str(tmp_path / "a.txt"))
    wider = {name: oct(mode) for name, mode in modes(tmp_path / "data").items() if mode & 0o077}
    assert wider == {}


@pytest.mark.parametrize(("access", "folder_mode", "file_mode"), [("group", 0o770, 0o660), ("all", 0o775, 0o664)])
def test_a_folder_is_open_to_others_where_that_is_set(
    tmp_path: Path, access: str, folder_mode: int, file_mode: int
) -> None:
    Cli(tmp_path / "data", {"REFOLD_FOLDER_ACCESS": access})("documents", "add", "a", "--text", "whales")
    found = modes(tmp_path / "data")
    assert (found["."], found["views"], found["log.sqlite"]) == (folder_mode, folder_mode, file_mode)
    for name, mode in found.items():
        if not name.startswith("indexes/"):  # those are their libraries'
            readable = folder_mode if (tmp_path / "data" / name).is_dir() else 0o444 & file_mode
            assert mode & readable == readable, name


def test_a_folder_of_an_earlier_release_is_closed_and_goes_on(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "data")
    cli("documents", "add", "a", "--text", "whales")
    for path in (cli.data, *cli.data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert len(cli("search", "whales", "--json").json["hits"]) == 1
    found = modes(cli.data)
    assert (found["."], found["log.sqlite"], found["views"]) == (0o700, 0o600, 0o700)


async def test_the_socket_is_never_wider_than_it_is_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(socket.socket):
        def bind(self, address: str) -> None:  # type: ignore[override]
            super().bind(address)
            seen.append(stat.S_IMODE(Path(address).stat().st_mode))

    seen: list[int] = []
    monkeypatch.setattr(server.socket, "socket", Watched)
    before = os.umask(0)
    try:
        control = ControlServer(tmp_path, lambda *_: {})
        await control.start()
    finally:
        os.umask(before)
    assert seen == [0o600]
    assert stat.S_IMODE((tmp_path / "control.sock").stat().st_mode) == 0o600
    await control.stop()


def test_the_lock_of_a_group_is_the_groups(tmp_path: Path) -> None:
    with Ownership(DataFolder(tmp_path / "data", FolderAccess.GROUP)) as ownership:
        ownership.take(1)
        assert modes(tmp_path / "data") == {".": 0o770, "owner.lock": 0o660}


def test_what_its_user_has_made_read_only_stays_so(tmp_path: Path) -> None:
    folder, file = tmp_path / "data", tmp_path / "data" / "log.sqlite"
    folder.mkdir(mode=0o755)
    file.touch()
    file.chmod(0o444)
    folder.chmod(0o555)
    FolderAccess.USER.make_file(file)
    FolderAccess.USER.make_folder(folder)
    assert modes(folder) == {".": 0o500, "log.sqlite": 0o400}
