from __future__ import annotations

import pytest

from streams.stages.failures import FAILURES, StageFailed
from streams.stages.fingerprints import PARSER_VERSIONS, StageSettings
from streams.stages.media_types import PARSERS_BY_MEDIA_TYPE, media_type_of
from streams.stages.parse import MAX_TITLE_CHARS, PARSERS, parse, title_of
from tests.samples import hostile

SETTINGS = StageSettings()


def parsed(content: bytes, name: str = "notes.txt", settings: StageSettings = SETTINGS) -> tuple[str, dict[str, int]]:
    return parse(content, media_type_of(content, name), settings)


def code(content: bytes, name: str, settings: StageSettings = SETTINGS) -> str:
    with pytest.raises(StageFailed) as failed:
        parsed(content, name, settings)
    assert failed.value.hint == FAILURES[failed.value.code].hint
    return failed.value.code


def test_every_media_type_has_a_parser_and_every_parser_has_a_version() -> None:
    assert set(PARSERS_BY_MEDIA_TYPE.values()) == set(PARSERS), "PARSERS is in streams/stages/parse.py"
    assert set(PARSER_VERSIONS) == set(PARSERS), "PARSER_VERSIONS is in streams/stages/fingerprints.py"


def test_an_empty_file_has_an_empty_text() -> None:
    for name in ("empty.txt", "empty.pdf", "empty.docx"):
        assert parsed(b"", name) == ("", {"bytes": 0, "characters": 0})


def test_line_breaks_of_other_systems_become_newlines_and_nothing_else_changes() -> None:
    assert parsed(b"one\r\ntwo\rthree\n  four\t\n")[0] == "one\ntwo\nthree\n  four\t\n"


def test_text_that_is_not_paged_holds_no_page_end() -> None:
    assert parsed(b"one\ftwo\x0c")[0] == "one\ntwo\n"


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("utf-8-sig", "Grüße aus Köln"),
        ("utf-16", "Grüße aus Köln"),
        ("utf-16-be", "\ufeffGrüße aus Köln"),
        ("utf-32", "Grüße aus Köln"),
    ],
)
def test_a_byte_order_mark_tells_the_charset(charset: str, text: str) -> None:
    assert parsed(text.encode(charset)) == ("Grüße aus Köln", {"bytes": len(text.encode(charset)), "characters": 14})


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("latin-1", "Motörhead"),
        ("cp1252", "Les élèves français étaient très contents de naître en été - là-bas."),
        ("cp1250", "Zażółć gęślą jaźń, proszę państwa. Wszyscy ludzie rodzą się wolni i równi."),
        ("cp1251", "Съешь ещё этих мягких французских булок, да выпей чаю."),
        ("shift_jis", "これは日本語のテキストです。文字コードを判定します。"),
        ("gb18030", "这是中文文本。用于检测编码。"),
    ],
)
def test_legacy_charsets_are_guessed_and_the_guess_is_counted(charset: str, text: str) -> None:
    read, counts = parsed(text.encode(charset))
    assert read == text
    assert counts["guessed_charset"] == 1


def test_utf8_with_a_broken_byte_stays_utf8() -> None:
    content = "Grüße, schöne Füße und größere Häuser".encode().replace("ö".encode(), b"\xc3", 1)
    text, counts = parsed(content)
    assert text == "Grüße, sch\ufffdne Füße und größere Häuser"
    assert counts["replaced_characters"] == 1
    assert "guessed_charset" not in counts


def test_noise_is_no_text_whatever_its_name_says() -> None:
    for name in ("noise.bin", "noise.txt", "noise.html", "noise.md", "noise"):
        assert code(hostile.noise(5_000), name) == "binary_noise"
    assert code(hostile.noise(300), "short-noise.txt") == "binary_noise"


def test_noise_after_a_long_beginning_of_text_is_told_from_text() -> None:
    assert code(b"a readable line\n" * 5_000 + hostile.noise(200_000), "half.txt") == "binary_noise"


def test_known_formats_without_parser_are_named() -> None:
    assert code(b"\x89PNG\r\n\x1a\n" + bytes(40), "picture.txt") == "unsupported_media_type"
    assert code(b"\x1f\x8b\x08" + hostile.noise(100), "changelog.gz") == "unsupported_media_type"


def test_the_first_heading_of_markdown_is_its_title() -> None:
    for content in (b"intro\n\n# The *Title* #\n\ntext", b"The *Title*\r\n===\r\n\r\ntext"):
        text, counts = parsed(content, "a.md")
        assert title_of(text, counts) == "The *Title*"
        assert text == content.decode().replace("\r\n", "\n")
    text, counts = parsed(b"## only a second level", "a.md")
    assert title_of(text, counts) is None


def test_a_title_that_is_not_in_the_text_is_put_before_it() -> None:
    html = b"<title>Manual\n of  Arms</title><p>Shoulder arms!"
    text, counts = parsed(html, "a.html")
    assert text == "Manual of Arms\n\nShoulder arms!"
    assert title_of(text, counts) == "Manual of Arms"


def test_an_endless_title_is_cut() -> None:
    text, counts = parsed(b"<title>" + b"very " * 10_000 + b"long</title><p>x", "a.html")
    assert len(title_of(text, counts) or "") <= MAX_TITLE_CHARS


def test_too_much_text_is_refused() -> None:
    limits = StageSettings(max_text_chars=1_000)
    assert parsed(b"x" * 1_000, settings=limits)[1]["characters"] == 1_000
    assert code(b"x" * 1_001, "long.txt", limits) == "too_large"
