"""HTML, as the text a reader sees."""

from __future__ import annotations

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from streams.stages.fingerprints import StageSettings
from streams.stages.media_types import HEAD_BYTES
from streams.stages.parse import Parsed
from streams.stages.parsers.decoding import decoded

MAX_DEPTH: Final = 512
"""Tags nested deeper are dropped and their text kept, as browsers do: building a tree takes time with depth squared."""

MANY_TAGS: Final = 20_000
"""With fewer tags than this no nesting takes a second, so that most files need not be looked through for it."""

_UNSEEN: Final = frozenset(["head", "iframe", "noscript", "object", "script", "style", "svg", "template"])
_PREFORMATTED: Final = frozenset(["pre", "textarea"])

# Characters that stand for breaks until all other white space, which means nothing in HTML, is folded.
_PARAGRAPH: Final = "\x01"
_LINE: Final = "\x02"
_KEPT_NEWLINE: Final = "\x03"
_KEPT_SPACE: Final = "\x04"
_KEPT_TAB: Final = "\x05"
_MARKS: Final = _PARAGRAPH + _LINE + _KEPT_NEWLINE + _KEPT_SPACE + _KEPT_TAB
_UNMARKED: Final = str.maketrans(dict.fromkeys(_MARKS, " "))
_KEPT: Final = str.maketrans({"\n": _KEPT_NEWLINE, " ": _KEPT_SPACE, "\t": _KEPT_TAB, "\r": None})

_BREAKS: Final = {
    **dict.fromkeys(["address", "article", "aside", "blockquote", "details", "dialog", "div", "dl"], _PARAGRAPH),
    **dict.fromkeys(["fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "main"], _PARAGRAPH),
    **dict.fromkeys(["h1", "h2", "h3", "h4", "h5", "h6", "nav", "ol", "p"], _PARAGRAPH),
    **dict.fromkeys(["section", "summary", "table", "ul"], _PARAGRAPH),
    **dict.fromkeys(["br", "dd", "dt", "li", "option", "tr"], _LINE),
    **dict.fromkeys(["td", "th"], " "),
}
"""What stands before and after an element."""

_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}charset=["']?([\w-]{1,40})""", re.IGNORECASE)
_TAG: Final = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_NEVER_NESTED: Final = frozenset(
    b"area base br col dd dt embed hr img input li link meta option p param source tbody td tfoot th thead tr track"
    b" wbr".split()
)


def parse_html(content: bytes, media_type: str, settings: StageSettings) -> Parsed:  # noqa: ARG001 - as `Parser`
    """The visible text: paragraphs apart by an empty line, list items and table rows by a line; title from the head."""
    charset = _CHARSET.search(content[:HEAD_BYTES])
    text, counts = decoded(content, declared=charset[1].decode() if charset else None)
    if any(mark in text for mark in _MARKS):
        text = text.translate(_UNMARKED)
    source = text.encode()
    if source.count(b"<") > MANY_TAGS:
        source = _without_deep_tags(source)
    tree = LexborHTMLParser(source)
    title = None if tree.head is None else tree.head.css_first("title")
    pieces = _pieces(tree.body)
    return Parsed(pages=[_folded("".join(pieces))], title=None if title is None else title.text(), counts=counts)


def _pieces(body: LexborNode | None) -> list[str]:
    """The texts below `body` and the marks between them, in order; a loop, since nesting may be deep."""
    pieces: list[str] = []
    open_elements: list[tuple[LexborNode, str | None]] = []
    node = None if body is None else body.first_child
    while node is not None or open_elements:
        if node is None:
            node, mark = open_elements.pop()
            if mark is not None:
                pieces.append(mark)
        elif (tag := node.tag) == "-text":
            pieces.append(node.text_content or "")
        elif tag in _PREFORMATTED:
            pieces += [_PARAGRAPH, node.text().translate(_KEPT), _PARAGRAPH]
        elif tag not in _UNSEEN:
            mark = _BREAKS.get(tag or "")
            if mark is not None:
                pieces.append(mark)
            if (child := node.first_child) is not None:
                open_elements.append((node, mark))
                node = child
                continue
        node = node.next
    return pieces


def _folded(marked: str) -> str:
    """`marked` with white space folded and marks turned into breaks; linear, whatever runs of marks there are."""
    paragraphs = []
    for part in marked.split(_PARAGRAPH):
        if not part or part.isspace():
            continue
        if _LINE in part:
            lines = [" ".join(line.split()) for line in part.split(_LINE)]
            paragraph = "\n".join(filter(None, lines))
        else:
            paragraph = " ".join(part.split())
        if paragraph:
            paragraphs.append(paragraph)
    text = "\n\n".join(paragraphs)
    return text.replace(_KEPT_NEWLINE, "\n").replace(_KEPT_SPACE, " ").replace(_KEPT_TAB, "\t")


def _without_deep_tags(source: bytes) -> bytes:
    """`source` with the tags below `MAX_DEPTH` turned into (bogus) comments."""
    depth = 0

    def shown(tag: re.Match[bytes]) -> bytes:
        nonlocal depth
        if tag[2].lower() in _NEVER_NESTED:
            return tag[0]
        if tag[1]:
            depth = max(0, depth - 1)
            return tag[0] if depth < MAX_DEPTH else b"<!"
        depth += 1
        return tag[0] if depth <= MAX_DEPTH else b"<!"

    return _TAG.sub(shown, source)
