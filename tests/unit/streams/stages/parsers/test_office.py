from __future__ import annotations

import pytest

from streams.stages.failures import StageFailed
from streams.stages.fingerprints import StageSettings
from streams.stages.media_types import media_type_of
from streams.stages.parse import parse, title_of
from streams.stages.parsers.archive import ALWAYS_UNPACKED_BYTES
from tests.samples import hostile
from tests.samples.documents import docx, epub, pdf, presentation


def parsed(content: bytes, settings: StageSettings | None = None) -> tuple[str, dict[str, int]]:
    return parse(content, media_type_of(content, "document"), settings or StageSettings())


def failure(content: bytes, name: str = "document") -> StageFailed:
    with pytest.raises(StageFailed) as failed:
        parse(content, media_type_of(content, name), StageSettings())
    return failed.value


def test_a_pdf_has_pages_that_end_in_form_feeds() -> None:
    text, counts = parsed(pdf(["the first page", "the second page"]))
    assert text == "the first page\f\n\nthe second page\f"
    assert counts["pages"] == 2


def test_the_title_of_a_pdf_stands_on_its_first_page() -> None:
    text, counts = parsed(pdf(["body"], title="Annual Report"))
    assert text == "Annual Report\n\nbody\f"
    assert title_of(text, counts) == "Annual Report"


def test_slides_are_pages() -> None:
    text, counts = parsed(presentation(["hello slide", "second slide"]))
    assert [page.strip() for page in text.split("\f")] == ["hello slide", "second slide", ""]
    assert counts["pages"] == 2


def test_a_word_document_has_paragraphs_and_no_pages() -> None:
    text, counts = parsed(docx(["one", "two"], title="A Letter"))
    assert text == "A Letter\n\none\n\ntwo"
    assert "pages" not in counts


def test_a_book_and_a_mail() -> None:
    assert parsed(epub("A Book", "Call me Ishmael."))[0] == "A Book\n\nCall me Ishmael."
    mail = b"From: a@b.example\nTo: c@d.example\nSubject: Greetings\n\nHello there\n"
    text, _ = parse(mail, media_type_of(mail, "mail.eml"), StageSettings())
    assert "Greetings" in text
    assert text.endswith("Hello there")


def test_too_many_pages_are_refused() -> None:
    three_pages = pdf(["1", "2", "3"])
    assert parsed(three_pages, StageSettings(max_pages=3))[1]["pages"] == 3
    with pytest.raises(StageFailed, match="3 pages, more than 2"):
        parsed(three_pages, StageSettings(max_pages=2))


def test_damage_is_told_from_encryption() -> None:
    assert failure(hostile.truncated_pdf()).code == "damaged_document"
    assert "cut off" in str(failure(hostile.truncated_pdf()))
    assert failure(hostile.encrypted_pdf()).code == "encrypted_document"
    assert failure(hostile.password_protected_docx(), "secret.docx").code == "encrypted_document"
    assert failure(hostile.encrypted_zip_docx()).code == "encrypted_document"
    assert failure(hostile.corrupt_docx()).code == "damaged_document"
    assert failure(docx(["x"])[:300], "cut.docx").code == "damaged_document"


def test_archives_that_unpack_beyond_reason_are_bombs_by_what_they_say_and_by_what_they_do() -> None:
    assert failure(hostile.zip_bomb(4 * ALWAYS_UNPACKED_BYTES)).code == "archive_bomb"
    assert failure(hostile.lying_zip_bomb(4 * ALWAYS_UNPACKED_BYTES)).code == "archive_bomb"


def test_a_document_that_only_compresses_well_is_no_bomb() -> None:
    text, _ = parsed(docx(["spam and eggs"] * 50_000))
    assert text.count("spam and eggs") == 50_000
