"""Reading files that do not hold still."""

import asyncio
import os
from pathlib import Path

import pytest
from real_files import LONG_AGO_NS, as_nobody, open_descriptors, open_to_all, write

from schemas.events import Finding
from streams.adapter import SourceChanged, SourceGone, SourceUnavailable, SourceUnreadable
from streams.adapters import Files, SourceTooLarge
from streams.adapters.files import PIECE_BYTES
from streams.uris import file_uri


def finding(path: Path) -> Finding:
    return Finding(uri=file_uri(path))


async def fetched(files: Files, wanted: Finding) -> bytes:
    return b"".join([piece async for piece in files.fetch(wanted)])


async def test_a_file_is_read_whole_or_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(2 * PIECE_BYTES + 17))
    assert Files().read(finding(path)).data == path.read_bytes()
    assert await fetched(Files(), finding(path)) == path.read_bytes()
    sizes = [len(piece) async for piece in Files().fetch(finding(path))]
    assert sizes == [PIECE_BYTES, PIECE_BYTES, 17]


async def test_an_empty_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.md", "")
    assert Files().read(finding(path)).data == b""
    assert await fetched(Files(), finding(path)) == b""


def test_what_was_read_comes_with_what_the_file_looked_like_then(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", "longer than planned")
    planned = Finding(uri=file_uri(path), size_bytes=3, modified_at_ns=1)
    assert Files().read(planned).finding == Finding(uri=file_uri(path), size_bytes=19, modified_at_ns=LONG_AGO_NS)


async def test_a_file_that_grows_while_it_is_read_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "growing.log"
    path.write_bytes(b"x" * (PIECE_BYTES + 1))
    pieces = Files().fetch(finding(path))
    assert len(await anext(pieces)) == PIECE_BYTES
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceChanged):
        async for _ in pieces:
            pass


async def test_a_file_rewritten_in_place_while_it_is_read_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "rewritten.md"
    path.write_bytes(b"x" * (PIECE_BYTES + 1))
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    pieces = Files().fetch(finding(path))
    await anext(pieces)
    path.write_bytes(b"y" * (PIECE_BYTES + 1))
    with pytest.raises(SourceChanged):
        async for _ in pieces:
            pass


async def test_a_file_replaced_while_it_is_read_is_read_to_its_old_end(tmp_path: Path) -> None:
    path = tmp_path / "replaced.md"
    path.write_bytes(b"x" * (PIECE_BYTES + 1))
    pieces = Files().fetch(finding(path))
    await anext(pieces)
    write(tmp_path / "new.md").replace(path)
    assert [piece async for piece in pieces] == [b"x"]


@pytest.mark.parametrize("name", ["missing.md", "file.md/below", "link.md"])
async def test_a_file_that_is_no_longer_there_is_gone(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file.md")
    (tmp_path / "link.md").symlink_to("file.md")
    with pytest.raises(SourceGone):
        Files().read(finding(tmp_path / name))
    with pytest.raises(SourceGone):
        await fetched(Files(), finding(tmp_path / name))


@pytest.mark.parametrize("special", ["pipe", "folder", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path: Path, special: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceUnreadable, match="no regular file"):
        Files().read(finding(tmp_path / special))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
async def test_a_file_that_holds_more_than_it_says_is_not_taken_for_what_it_says() -> None:
    with pytest.raises(SourceChanged):
        Files().read(finding(Path("/proc/self/status")))
    with pytest.raises(SourceChanged):
        await fetched(Files(), finding(Path("/proc/self/status")))


def test_what_becomes_a_pipe_between_looking_and_opening_is_refused_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = write(tmp_path / "file.md").lstat()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "lstat", lambda _: looked_at)
    before = open_descriptors()
    with pytest.raises(SourceUnreadable, match="no regular file"):
        Files().read(finding(tmp_path / "pipe"))
    assert open_descriptors() == before


def test_a_file_without_permission_is_unreadable_and_the_hint_says_what_to_do(tmp_path: Path) -> None:
    path = write(open_to_all(tmp_path) / "secret.md")
    path.chmod(0o000)

    def refusal() -> tuple[str, str | None]:
        with pytest.raises(SourceUnreadable) as caught:
            Files().read(finding(path))
        return str(caught.value), caught.value.hint

    message, hint = as_nobody(refusal)
    assert message == "permission to read the file is denied"
    assert hint is not None
    assert "permission" in hint


@pytest.mark.parametrize("uri", ["file://server/a.md", "https://example.com/", "file:///a%00b"])
def test_a_uri_that_names_no_local_file_is_unreadable(uri: str) -> None:
    with pytest.raises(SourceUnreadable):
        Files().read(Finding(uri=uri))


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "large.md", "x" * 11)
    assert len(Files().read(finding(path), limit_bytes=11).data) == 11
    with pytest.raises(SourceTooLarge, match="11 bytes, more than the 10"):
        Files().read(finding(path), limit_bytes=10)


def test_a_disk_that_fails_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        Files().read(finding(tmp_path / ("x" * 300)))  # a name too long: an OSError of none of the other kinds


async def test_a_fetch_that_is_given_up_closes_its_file(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(b"x" * (3 * PIECE_BYTES))
    before = open_descriptors()
    pieces = Files().fetch(finding(path))
    await anext(pieces)
    reading = asyncio.create_task(anext(pieces))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await pieces.aclose()
    assert open_descriptors() == before
