"""The tokens of texts under wordllama's tokenizer, exactly, and fast for words seen before.

The tokenizer (Llama 2's byte-pair encoding) turns spaces into ``▁``, puts one before the text and merges characters by
rank. No merge joins what no token of the vocabulary joins, so a text may be cut wherever no token reaches across, and
each piece be tokenised alone, once. In this vocabulary no token spans a newline, a space after another character, a
letter beside punctuation, or a digit beside anything but spaces; a test holds every token against `_PIECES`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

TOKEN_DTYPE = np.dtype("<u2")
"""Token numbers are below 32,000."""

MEMO_BYTES = 32 * 1024 * 1024
"""Bound of the memo: about 150,000 pieces; 20,000 chunks of sources and documentation held 118,000."""

_ENTRY_BYTES = 200
"""What a memo entry takes beside its characters and tokens: two object headers and its share of the dict's table."""

_LEARN_PIECES = 1_000
"""Pieces tokenised at a time, joined by newlines: alone they cost 1.6 times as much, 10,000 together 1.1 times."""

_PUNCTUATION = (
    "\r!-/:-@\\[-`{-~\xa0\xab\xb2\xbb\u2009\u200a\u200e\u2014\u2019\u201c\u201d\u201e\u2020\u2500\u2550\u251c\ufffd"
)
_LETTERS = "A-Za-z\xc0-\u06ff"  # Latin, Greek, Cyrillic, Arabic: of all others no two characters share a token
_PIECES = re.compile(f" *[{_LETTERS}]+| *[{_PUNCTUATION}]+| *[^ \\n]|\\n| +")

_SPECIAL_TOKENS = re.compile("(<unk>|</?s>)")  # the tokenizer finds these first and begins a new text after each

_NEWLINE = "\n"
_NEWLINE_TOKEN = 13


class WordTokens:
    """Token numbers of texts, with a bounded memo of the pieces seen so far; not thread-safe.

    Args:
        tokenizer: wordllama's; its normalizer is taken off, since pieces are normalised here.
        memo_bytes: About how much memory the memo may take.
    """

    def __init__(self, tokenizer: Tokenizer, *, memo_bytes: int = MEMO_BYTES) -> None:
        tokenizer.normalizer = None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._memo: dict[str, bytes] = {}
        self._memo_bytes = 0
        self._memo_limit_bytes = memo_bytes
        self._remember(_NEWLINE, np.array([_NEWLINE_TOKEN], TOKEN_DTYPE).tobytes())

    def of(self, texts: Sequence[str]) -> list[bytes]:
        """The token numbers of each text, as bytes of `TOKEN_DTYPE`; a lone surrogate counts as a question mark."""
        pieces_by_text = [_pieces_of(text) for text in texts]
        self._shrink()
        self._learn(set[str]().union(*pieces_by_text).difference(self._memo))
        memorised = self._memo.__getitem__
        return [b"".join(map(memorised, pieces)) for pieces in pieces_by_text]

    def _learn(self, unseen: set[str]) -> None:
        remaining = iter(unseen)
        while pieces := list(islice(remaining, _LEARN_PIECES)):
            joined = _NEWLINE.join(pieces).replace(" ", "▁").encode(errors="replace").decode()
            encoding = self._tokenizer.encode_batch_fast([joined], add_special_tokens=False)[0]
            tokens = np.array(encoding.ids, TOKEN_DTYPE)
            ends = [*np.flatnonzero(tokens == _NEWLINE_TOKEN).tolist(), len(tokens)]
            data, start = tokens.tobytes(), 0
            for piece, end in zip(pieces, ends, strict=True):
                self._remember(piece, data[start * TOKEN_DTYPE.itemsize : end * TOKEN_DTYPE.itemsize])
                start = end + 1

    def _remember(self, piece: str, tokens: bytes) -> None:
        self._memo[piece] = tokens
        self._memo_bytes += _size_bytes(piece, tokens)

    def _shrink(self) -> None:
        """Forget the newest half of a full memo: words met early are the common ones, the latest are mostly rare."""
        if self._memo_bytes <= self._memo_limit_bytes:
            return
        while self._memo_bytes > self._memo_limit_bytes // 2 and len(self._memo) > 1:
            self._memo_bytes -= _size_bytes(*self._memo.popitem())


def _pieces_of(text: str) -> list[str]:
    """`text` cut where no token reaches across, with the tokenizer's own space before it."""
    if _SPECIAL_TOKENS.search(text) is None:
        return _PIECES.findall(" " + text.replace("▁", " ")) if text else []
    pieces: list[str] = []
    for part in filter(None, _SPECIAL_TOKENS.split(text)):
        pieces.extend([part] if _SPECIAL_TOKENS.fullmatch(part) else _pieces_of(part))
    return pieces


def _size_bytes(piece: str, tokens: bytes) -> int:
    return _ENTRY_BYTES + len(piece) + len(tokens)
