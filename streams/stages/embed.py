"""The port of static embedders, which run inside the stage pool, and the table of those that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import UsageError
from streams.stages.embedders.wordllama import WordLlamaEmbedder


class EmbedderSpec(Protocol):
    """What an embedder is, loaded or not."""

    @property
    def name(self) -> str:
        """What generations and settings call it, such as ``wordllama-256``."""

    @property
    def dim(self) -> int:
        """The number of components of a vector."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 hex that changes when the same text would get another vector."""


class Embedder(EmbedderSpec, Protocol):
    """Turns texts into vectors. Thread-safe; the vector of a text depends on nothing but the text."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`, of shape (texts, dim) and length 1; zeros for a text without any token."""


class EmbedderKind(EmbedderSpec, Protocol):
    """What an embedder is, and how it is loaded."""

    def load(self) -> Embedder:
        """It, loaded from this machine without any network; see `load_embedder` for errors."""


EMBEDDERS: Mapping[str, EmbedderKind] = {
    "wordllama-256": WordLlamaEmbedder,
}


def embedder_spec(name: str) -> EmbedderSpec:
    """What the embedder called `name` is; loads nothing, for that takes a tenth of a second.

    Raises:
        UsageError: there is none of that name.
    """
    return _kind(name)


def load_embedder(name: str) -> Embedder:
    """The embedder called `name`, loaded from this machine without any network.

    Raises:
        UsageError: there is none of that name.
        MachineError: its files are missing or not what they should be.
    """
    return _kind(name).load()


def _kind(name: str) -> EmbedderKind:
    kind = EMBEDDERS.get(name)
    if kind is None:
        raise UsageError(
            f"there is no embedder named {name!r}",
            op="load embedder",
            subject=name,
            hint=f"choose one of: {', '.join(sorted(EMBEDDERS))}",
        )
    return kind
