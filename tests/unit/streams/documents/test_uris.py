import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.documents import uris
from streams.documents.uris import InvalidUri, canonical_uri, file_uri, folder_file_uri, http_uri, path_of, push_uri

paths = st.lists(st.binary(min_size=1).filter(lambda b: not {0, ord("/")} & set(b)), min_size=1).map(
    lambda names: b"/" + b"/".join(names)
)


@given(paths)
def test_a_path_of_any_bytes_survives_its_uri(path: bytes) -> None:
    uri = file_uri(path)
    assert uri.isascii()
    assert os.fsencode(path_of(uri)) == os.fsencode(Path(os.fsdecode(path)))


def test_a_file_uri_is_the_one_the_standard_library_gives() -> None:
    path = Path("/docs/année 1 [draft]/50%?.md")
    assert file_uri(path) == path.as_uri()
    assert file_uri(str(path)) == file_uri(os.fsencode(path)) == path.as_uri()


def test_a_folder_keeps_its_last_slash_and_nothing_in_a_name_looks_like_a_pattern() -> None:
    assert file_uri("/docs/") == "file:///docs/"
    assert file_uri("/a*b?[c]") == "file:///a%2Ab%3F%5Bc%5D"


@pytest.mark.parametrize("uri", ["file:///docs/a.md", "file://localhost/docs/a.md", "FILE:/docs/a.md"])
def test_every_form_of_rfc_8089_for_this_machine_is_understood(uri: str) -> None:
    assert path_of(uri) == Path("/docs/a.md")


@pytest.mark.parametrize(
    "uri", ["https://host/a", "file://server/share/a", "file:a.md", "file:///a%00b", "/docs/a.md", "", "file:///a?b"]
)
def test_what_names_no_path_on_this_machine_is_refused(uri: str) -> None:
    with pytest.raises(InvalidUri):
        path_of(uri)


def test_a_relative_path_has_no_file_uri() -> None:
    with pytest.raises(InvalidUri, match="not absolute"):
        file_uri("docs/a.md")


def test_a_named_folder_is_spelled_by_name_and_relative_path() -> None:
    assert folder_file_uri("my notes", "2024/ärger.md") == "folder:my%20notes/2024/%C3%A4rger.md"
    assert folder_file_uri("notes", "") == "folder:notes/"
    assert folder_file_uri("a/b", "c") == "folder:a%2Fb/c"


@pytest.mark.parametrize(("name", "path"), [("", "a"), ("n", "../a"), ("n", "/etc/passwd"), ("n", "a/../../b")])
def test_a_named_folder_is_not_left(name: str, path: str) -> None:
    with pytest.raises(InvalidUri):
        folder_file_uri(name, path)


def test_pushed_bytes_are_named_by_their_name() -> None:
    assert push_uri("mail/2024 #1") == "push:mail/2024%20%231"
    with pytest.raises(InvalidUri, match="need a name"):
        push_uri("")


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("HTTP://Example.COM:80/a/./b/../c#part", "http://example.com/a/c"),
        ("https://example.com:443", "https://example.com/"),
        ("https://example.com:8443/?q=1#x", "https://example.com:8443/?q=1"),
        ("http://example.com/%7euser/%2f/%zz", "http://example.com/~user/%2F/%25zz"),
        ("http://example.com/a/..", "http://example.com/"),
        ("http://example.com/../../a", "http://example.com/a"),
        ("http://example.com/a/b/.", "http://example.com/a/b/"),
        ("http://example.com/a//b", "http://example.com/a//b"),
        ("http://example.com/%2e%2e/a", "http://example.com/a"),
        ("https://bücher.example/ü?q=ü b", "https://xn--bcher-kva.example/%C3%BC?q=%C3%BC%20b"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
        ("  http://example.com?x ", "http://example.com/?x"),
    ],
)
def test_an_url_has_one_normal_form_and_that_is_its_own(url: str, normalised: str) -> None:
    assert http_uri(url) == normalised
    assert http_uri(normalised) == normalised


@pytest.mark.parametrize("url", ["ftp://example.com/", "http:///a", "example.com", "http://h:99999/", "http://[::1/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidUri):
        http_uri(url)


@pytest.mark.parametrize("url", ["https://joe:hunter2@example.com/", "https://joe:hunter2@example.com:99999/"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        http_uri(url)
    assert "hunter2" not in f"{caught.value} {caught.value.subject}"


@given(paths)
def test_what_names_a_real_path_is_canonical(path: bytes) -> None:
    real = os.path.normpath(path)
    assert canonical_uri(file_uri(real)) == file_uri(real)


def slowly(uri: str) -> str | None:
    try:
        return uris._canonical_uri(uri)
    except InvalidUri:
        return None


@given(
    st.lists(st.sampled_from(["/", "/", ".", "..", "a", "Z", "-", "_", "~", "%"]) | st.from_regex(r"\A%[0-9A-F]{2}\Z"))
)
def test_what_is_canonical_at_a_glance_is_so_when_looked_at(pieces: list[str]) -> None:
    uri = f"file://{''.join(pieces)}"
    assert bool(uris._is_canonical_file_uri(uri)) == (slowly(uri) == uri and uri != "file:///")


@given(st.text(min_size=1).map(lambda name: name.encode(errors="replace").decode()))
def test_what_names_pushed_bytes_or_lies_in_a_named_folder_is_canonical(name: str) -> None:
    assert canonical_uri(push_uri(name)) == push_uri(name)
    assert canonical_uri(folder_file_uri(name, "2024/a b.md")) == folder_file_uri(name, "2024/a b.md")


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("FILE://localhost/docs/./a/../b%2Emd", "file:///docs/b.md"),
        ("file:/docs/été", "file:///docs/%C3%A9t%C3%A9"),
        ("file:///docs/", "file:///docs"),
        ("folder:my notes/2024/a.md", "folder:my%20notes/2024/a.md"),
        ("folder:notes", "folder:notes/"),
        ("HTTPS://Host:443/a/../b?q#part", "https://host/b?q"),
        ("push:a b", "push:a%20b"),
        ("PUSH:a", "push:a"),
    ],
)
def test_other_spellings_have_a_canonical_form(uri: str, canonical: str) -> None:
    assert canonical_uri(uri) == canonical
    assert canonical_uri(canonical) == canonical


@pytest.mark.parametrize(
    "uri",
    ["", "report.pdf", "/docs/a", "s3://bucket/a", "push:", "folder:n/../a", "folder:n//a", "folder:/a", "file:a"],
)
def test_what_no_document_can_be_called_has_none(uri: str) -> None:
    with pytest.raises(InvalidUri):
        canonical_uri(uri)


@pytest.mark.parametrize(
    "uri", ["push:half \udc80", "file:///half/%20/\udc80x", "http://half\ud83d.example/", "\ud83d"]
)
def test_a_uri_with_half_a_character_names_nothing(uri: str) -> None:
    with pytest.raises(InvalidUri) as refused:
        canonical_uri(uri)
    assert str(refused.value).encode()
