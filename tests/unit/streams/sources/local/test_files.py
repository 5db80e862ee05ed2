"""Reading files that do not hold still."""

import os
from pathlib import Path

import pytest

from schemas.events import Finding
from streams.documents.uris import file_uri
from streams.source import SourceChanged, SourceGone, SourceTooLarge, SourceUnavailable, SourceUnreadable
from streams.sources.local.files import Files, PathNotAllowed
from tests.samples.changing_files import while_read
from tests.samples.real_files import LONG_AGO_NS, as_nobody, open_descriptors, open_to_all, write


def finding(path: Path) -> Finding:
    return Finding(uri=file_uri(path))


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(2 * 1024 * 1024 + 17))
    assert Files().read(finding(path)).data == path.read_bytes()


def test_an_empty_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.md", "")
    assert Files().read(finding(path)).data == b""


def test_what_was_read_comes_with_what_the_file_looked_like_then(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", "longer than planned")
    planned = Finding(uri=file_uri(path), size_bytes=3, modified_at_ns=1)
    assert Files().read(planned).finding == Finding(uri=file_uri(path), size_bytes=19, modified_at_ns=LONG_AGO_NS)


def test_a_file_that_grows_while_it_is_read_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "growing.log", "a line\n")
    while_read(monkeypatch, path, lambda: path.write_bytes(b"a line\none more\n"))
    with pytest.raises(SourceChanged):
        Files().read(finding(path))


def test_a_file_rewritten_in_place_while_it_is_read_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "rewritten.md", "old words")
    while_read(monkeypatch, path, lambda: path.write_bytes(b"new words"))
    before = open_descriptors()
    with pytest.raises(SourceChanged):
        Files().read(finding(path))
    assert open_descriptors() == before


def test_a_file_replaced_while_it_is_read_is_read_to_its_old_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "replaced.md", "old words")
    new = write(tmp_path / "new.md", "new words")
    while_read(monkeypatch, path, lambda: new.replace(path))
    assert Files().read(finding(path)).data == b"old words"
    assert path.read_text() == "new words"


@pytest.mark.parametrize("name", ["missing.md", "file.md/below", "link.md"])
def test_a_file_that_is_no_longer_there_is_gone(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file.md")
    (tmp_path / "link.md").symlink_to("file.md")
    with pytest.raises(SourceGone):
        Files().read(finding(tmp_path / name))


@pytest.mark.parametrize("special", ["pipe", "folder", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path: Path, special: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceUnreadable, match="no regular file"):
        Files().read(finding(tmp_path / special))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_file_that_holds_more_than_it_says_is_not_taken_for_what_it_says() -> None:
    with pytest.raises(SourceChanged):
        Files().read(finding(Path("/proc/self/status")))


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


def refused(files: Files, path: Path) -> PathNotAllowed:
    with pytest.raises(PathNotAllowed) as caught:
        files.read(finding(path))
    return caught.value


def test_only_what_lies_in_allowed_roots_is_read(tmp_path: Path) -> None:
    files = Files(allowed_roots=[tmp_path / "docs", tmp_path / "mail"])
    inside = write(tmp_path / "docs" / "deep" / "a.md", "read me")
    assert files.read(finding(inside)).data == b"read me"
    write(tmp_path / "docs-old" / "a.md")
    for path in (tmp_path / "docs-old" / "a.md", Path("/etc/shadow"), tmp_path / "docs" / ".." / "docs-old" / "a.md"):
        error = refused(files, path)
        assert (error.subject, error.op) == (file_uri(path), "read file")
        assert "push the content" in str(error.hint)


def test_a_link_in_a_root_that_leads_out_of_it_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "secret" / "key.md")
    root = tmp_path / "docs"
    write(root / "real" / "a.md", "inside")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "key.md").symlink_to(tmp_path / "secret" / "key.md")
    (root / "in").symlink_to(root / "real")
    files = Files(allowed_roots=[root])
    refused(files, root / "out" / "key.md")
    refused(files, root / "key.md")
    assert files.read(finding(root / "in" / "a.md")).data == b"inside"


def test_a_root_may_itself_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "disk7" / "a.md", "inside")
    (tmp_path / "docs").symlink_to(tmp_path / "disk7")
    files = Files(allowed_roots=[tmp_path / "docs"])
    assert files.read(finding(tmp_path / "docs" / "a.md")).data == b"inside"


def test_a_refusal_does_not_tell_whether_the_file_is_there(tmp_path: Path) -> None:
    there = write(tmp_path / "there.md")
    files = Files(allowed_roots=[tmp_path / "docs"])
    assert str(refused(files, there)) == str(refused(files, tmp_path / "not-there.md"))


def test_no_root_means_no_file(tmp_path: Path) -> None:
    refused(Files(allowed_roots=[]), write(tmp_path / "a.md"))


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
