"""Reading files that do not hold still."""

import asyncio
import os
from pathlib import Path

import pytest
from real_files import LONG_AGO_NS, as_nobody, open_descriptors, open_to_all, write

from schemas.events import Finding
from streams.adapter import SourceChanged, SourceGone, SourceUnavailable, SourceUnreadable
from streams.adapters import Files, PathNotAllowed, SourceTooLarge
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


async def refused(files: Files, path: Path) -> PathNotAllowed:
    with pytest.raises(PathNotAllowed) as in_pieces:
        await fetched(files, finding(path))
    with pytest.raises(PathNotAllowed) as at_once:
        files.read(finding(path))
    assert str(at_once.value) == str(in_pieces.value)
    return at_once.value


async def test_only_what_lies_in_allowed_roots_is_read(tmp_path: Path) -> None:
    files = Files(allowed_roots=[tmp_path / "docs", tmp_path / "mail"])
    inside = write(tmp_path / "docs" / "deep" / "a.md", "read me")
    assert files.read(finding(inside)).data == await fetched(files, finding(inside)) == b"read me"
    write(tmp_path / "docs-old" / "a.md")
    for path in (tmp_path / "docs-old" / "a.md", Path("/etc/shadow"), tmp_path / "docs" / ".." / "docs-old" / "a.md"):
        error = await refused(files, path)
        assert (error.subject, error.op) == (file_uri(path), "read file")
        assert "push the content" in str(error.hint)


async def test_a_link_in_a_root_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "secret" / "key.md")
    root = tmp_path / "docs"
    write(root / "real" / "a.md", "inside")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "key.md").symlink_to(tmp_path / "secret" / "key.md")
    (root / "in").symlink_to(root / "real")
    files = Files(allowed_roots=[root])
    await refused(files, root / "out" / "key.md")
    await refused(files, root / "key.md")
    assert files.read(finding(root / "in" / "a.md")).data == b"inside"


async def test_a_root_may_itself_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "disk7" / "a.md", "inside")
    (tmp_path / "docs").symlink_to(tmp_path / "disk7")
    files = Files(allowed_roots=[tmp_path / "docs"])
    assert files.read(finding(tmp_path / "docs" / "a.md")).data == b"inside"


async def test_a_refusal_does_not_tell_whether_the_file_is_there(tmp_path: Path) -> None:
    there = write(tmp_path / "there.md")
    files = Files(allowed_roots=[tmp_path / "docs"])
    assert str(await refused(files, there)) == str(await refused(files, tmp_path / "not-there.md"))


async def test_no_root_means_no_file(tmp_path: Path) -> None:
    await refused(Files(allowed_roots=[]), write(tmp_path / "a.md"))


def test_a_folder_that_becomes_a_link_while_its_file_is_opened_gives_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "secret" / "a.md", "secret")
    write(tmp_path / "docs" / "sub" / "a.md", "inside")
    real_open = os.open

    def swap_and_open(path: Path, flags: int) -> int:
        (tmp_path / "docs" / "sub").rename(tmp_path / "docs" / "moved")
        (tmp_path / "docs" / "sub").symlink_to(tmp_path / "secret")
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", swap_and_open)
    with pytest.raises(PathNotAllowed):
        Files(allowed_roots=[tmp_path / "docs"]).read(finding(tmp_path / "docs" / "sub" / "a.md"))
