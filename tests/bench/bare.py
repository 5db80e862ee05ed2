"""What the floor and the naive loop are made of: the same libraries, called as their manuals show it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import wordllama
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser
from semantic_text_splitter import TextSplitter

CHUNK_CHARS = 1_000
OVERLAP_CHARS = 100


def files_of(folder: Path) -> list[Path]:
    """The files below `folder`, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def text_of(path: Path) -> str:
    """The text of an HTML or text file."""
    content = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix.lower() not in {".html", ".htm"}:
        return content
    tree = LexborHTMLParser(content)
    tree.strip_tags(["script", "style"])
    return tree.body.text(separator=" ") if tree.body else ""


def chunks_of(text: str) -> list[str]:
    """`text` in chunks of the size that refold makes."""
    return _splitter().chunks(text)


class BareEmbedder:
    """wordllama's own `embed`."""

    def __init__(self) -> None:
        package = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=package, disable_download=True)

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """The vectors of `texts`, of length 1."""
        vectors: NDArray[np.float32] = self._model.embed(texts, norm=True)
        return vectors


@cache
def _splitter() -> TextSplitter:
    return TextSplitter(CHUNK_CHARS, overlap=OVERLAP_CHARS)
