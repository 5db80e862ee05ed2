from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from schemas.errors import UsageError
from streams.stages import fingerprints
from streams.stages.fingerprints import StageSettings, stage_parameters, version_fingerprint
from streams.stages.media_types import HTML, OFFICE

CONTENT = "ab" * 32


def fingerprint(
    settings: StageSettings | None = None,
    *,
    content_hash: str = CONTENT,
    media_type: str = "text/html",
    metadata: Mapping[str, str] | None = None,
) -> str:
    return version_fingerprint(
        settings or StageSettings(), content_hash=content_hash, media_type=media_type, metadata=metadata or {}
    )


def test_a_fingerprint_is_the_same_in_every_release_until_a_version_is_raised() -> None:
    pinned = "8c0700093549fad6c1db49f66fb568653fd07c4fe36a4324ee84d00f4fd7fb08"
    assert fingerprint() == pinned, (
        "users' documents will be read again; if a version was raised for that, pin this one"
    )


def test_content_metadata_media_type_and_chunking_each_make_another_version() -> None:
    made = [
        fingerprint(),
        fingerprint(content_hash="cd" * 32),
        fingerprint(metadata={"author": "Ada"}),
        fingerprint(metadata={"author": "Bob"}),
        fingerprint(media_type="text/plain"),
        fingerprint(StageSettings(chunk_size=500)),
        fingerprint(StageSettings(chunk_overlap=50)),
    ]
    for one, other in itertools.combinations(made, 2):
        assert one != other


def test_the_order_of_metadata_does_not_matter() -> None:
    assert fingerprint(metadata={"a": "1", "b": "2"}) == fingerprint(metadata={"b": "2", "a": "1"})


def test_limits_make_no_other_version_and_do_make_other_parameters() -> None:
    lower = StageSettings(max_document_bytes=1000, max_pages=10, max_text_chars=1000, timeout_s=1)
    assert fingerprint(lower) == fingerprint()
    parameters = stage_parameters(StageSettings(), embed_fingerprint="e")
    changed = {
        stage for stage, value in stage_parameters(lower, embed_fingerprint="e").items() if value != parameters[stage]
    }
    assert changed == {"limits"}


def test_a_raised_parser_version_touches_only_its_own_media_types(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {media_type: fingerprint(media_type=media_type) for media_type in ("text/html", "application/pdf")}
    raised = {**fingerprints.PARSER_VERSIONS, OFFICE: fingerprints.PARSER_VERSIONS[OFFICE] + 1}
    monkeypatch.setattr(fingerprints, "PARSER_VERSIONS", raised)
    fingerprints._stages_fingerprint.cache_clear()
    try:
        assert fingerprint(media_type="text/html") == before["text/html"]
        assert fingerprint(media_type="application/pdf") != before["application/pdf"]
    finally:
        fingerprints._stages_fingerprint.cache_clear()
    assert HTML in raised


def test_every_stage_has_its_parameter() -> None:
    parameters = stage_parameters(StageSettings(), embed_fingerprint="e")
    assert set(parameters) == {"fetch", "parse", "chunk", "embed", "limits"}
    assert parameters["embed"] == "e"


def test_settings_that_cannot_work_are_refused() -> None:
    for settings in (
        {"chunk_size": 100, "chunk_overlap": 100},
        {"chunk_overlap": -1},
        {"max_pages": 0},
        {"timeout_s": 0},
    ):
        with pytest.raises(UsageError):
            StageSettings(**settings)
