"""The words of a text or query, as every keyword index sees them: what one backend finds, all find.

A word is a run of letters, digits and their marks in Unicode's sense. Upper and lower case are one (Unicode case
folding), compatibility forms and Latin letters with marks are their ASCII letters (``Ærø`` is ``aero``); other scripts
keep their marks. Han and Hiragana, written without spaces, give one word per character. Nothing is stemmed or left out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

WORDS_VERSION = 1
"""Raised whenever `spaced_words` gives other words for a text; an index of another version has to be rebuilt."""

_BEYOND_ASCII = 128

_ASCII = bytes(byte if byte >= _BEYOND_ASCII or chr(byte).isalnum() else ord(" ") for byte in bytes(range(256)).lower())
"""What becomes of each byte of UTF-8: of ASCII its letters and digits in lower case and else spaces."""

_RUN = re.compile(r"[^\x00-\x7f]+")
_MARKS_ON_ASCII = re.compile(
    "(?:^|(?<=[\x00-\x7f]))[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f]+"
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]+")
"""Soft hyphens, joiners, variation selectors and the like: they stand inside words without parting them."""

_LATIN = str.maketrans(
    {
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\u0131": "i",
        "ł": "l",
        "ŋ": "n",
        "ŧ": "t",
        "þ": "th",
    }
)
"""Latin letters that Unicode does not decompose."""

_CACHED_RUNS = 16_384
"""Runs beyond ASCII whose folding is remembered (about 3 MiB): the words and marks of a language come again."""

_CACHED_RUN_LENGTH = 32
"""Longer runs are rarely met again."""

_QUOTES = re.compile('["\u201c\u201d\u201e\u201f]')
"""The quotes of keyboards and of word processors that replace them."""

_UNSPACED = ("CJK ", "HIRAGANA ")


@dataclass(frozen=True, slots=True)
class Query:
    """What a query asks for.

    Each of `phrases` must stand in a chunk, its words side by side in that order. Any of `words` makes a chunk match
    where there is no phrase, and raises its score in any case.
    """

    words: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for, so nothing matches."""
        return not self.words and not self.phrases


def parse_query(text: str) -> Query:
    """The words of `text`, each once, and its quoted phrases; a quote that is never closed quotes nothing."""
    pieces = _QUOTES.split(text)
    quoted, plain = pieces[1::2], pieces[0::2]
    if len(pieces) % 2 == 0:
        plain.append(quoted.pop())
    phrases = dict.fromkeys(tuple(words(piece)) for piece in quoted)
    return Query(tuple(dict.fromkeys(words(" ".join(plain)))), tuple(phrase for phrase in phrases if phrase))


def words(text: str) -> list[str]:
    """The words of `text` in order."""
    return spaced_words(text).split()


def spaced_words(text: str) -> str:
    """The words of `text` in order, with spaces between them: for an index that splits at spaces."""
    folded = text if text.isascii() else _RUN.sub(_fold_match, text)
    return folded.encode().translate(_ASCII).decode()


def _fold_match(match: re.Match[str]) -> str:
    run = match[0]
    return _fold_cached(run) if len(run) <= _CACHED_RUN_LENGTH else _fold(run)


def _fold(run: str) -> str:
    # Decomposed twice: case folding may leave composed letters, and decomposing gives capitals (U+2122, TM). Marks at
    # the beginning belong to the ASCII character before the run.
    seen = _INVISIBLE.sub("", run)
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", seen).casefold()).translate(_LATIN)
    composed = unicodedata.normalize("NFC", _MARKS_ON_ASCII.sub("", folded))
    return composed.translate(_LETTERS)


_fold_cached = lru_cache(_CACHED_RUNS)(_fold)


class _Letters(dict[int, str]):
    """What becomes of each character, found out once: at most one entry per character of Unicode."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if code >= _BEYOND_ASCII and unicodedata.category(character)[0] not in "LNM":
            kept = " "
        elif unicodedata.name(character, "").startswith(_UNSPACED):
            kept = f" {character} "
        else:
            kept = character
        self[code] = kept
        return kept


_LETTERS = _Letters()
