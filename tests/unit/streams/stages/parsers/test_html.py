from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.stages.fingerprints import StageSettings
from streams.stages.parse import parse, title_of
from tests.samples import hostile


def text_of(source: str | bytes) -> str:
    content = source.encode() if isinstance(source, str) else source
    return parse(content, "text/html", StageSettings())[0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one\n  <b>bo</b>ld <i>word</i><p>two", "one bold word\n\ntwo"),
        ("<h1>Title</h1><a>link</a>", "Title\n\nlink"),
        ("<span><div>in</div></span>tail", "in\n\ntail"),
        ("one<br>two<br><br>three", "one\ntwo\nthree"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>after", "a\nb\n\nc\n\nafter"),
        ("<dl><dt>term<dd>meaning</dl>", "term\nmeaning"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a b\n1 2"),
        ("<pre>def f():\n    return  1\n\n\tx</pre>", "def f():\n    return  1\n\n\tx"),
        ("a&amp;b &lt;tag&gt;&nbsp;c &eacute;", "a&b <tag> c é"),
        ("<p>seen<script>var x = '<p>no</p>'</script><style>p{}</style><noscript>no</noscript>", "seen"),
        ("<svg><text>no</text></svg><template>no</template><iframe>no</iframe>yes", "yes"),
        ("<p>unclosed <b>bold", "unclosed bold"),
        ("no tags at all", "no tags at all"),
        ("a\x01b\x02c", "a b c"),
        ("", ""),
    ],
)
def test_text_as_a_reader_sees_it(source: str, text: str) -> None:
    assert text_of(f"<html><body>{source}") == text


def test_the_title_is_the_one_in_the_head() -> None:
    content = b"<head><title>Real</title></head><body><svg><title>Icon</title></svg><h1>Real</h1>"
    text, counts = parse(content, "text/html", StageSettings())
    assert text == "Real"
    assert title_of(text, counts) == "Real"


def test_a_declared_charset_is_believed_where_utf8_does_not_fit() -> None:
    assert text_of("<meta charset=iso-8859-2><p>Zażółć".encode("iso-8859-2")) == "Zażółć"
    assert text_of("<meta charset=iso-8859-2><p>Zażółć".encode()) == "Zażółć"
    assert text_of("<meta charset=nonsense><p>Motörhead".encode("cp1252")) == "Motörhead"


@pytest.mark.parametrize("tag", ["div", "b", "table"])
def test_two_hundred_thousand_nested_tags_give_up_their_text_in_time(tag: str) -> None:
    started = time.monotonic()
    assert text_of(hostile.nested_tags(200_000, tag)) == "the pearl within"
    assert time.monotonic() - started < 60


@given(st.text(alphabet="<>/abdipr \n\x01\x03é&;\"'=!-", max_size=80))
def test_any_tag_soup_gives_text_without_marks(soup: str) -> None:
    text = text_of(f"<body>{soup}")
    assert not set(text) & set("\x01\x02\x03\x04\x05")
    assert text == text.strip("\n") or "pre" in soup
