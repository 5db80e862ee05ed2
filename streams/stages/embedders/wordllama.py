"""The embedder ``wordllama-256``: the mean of wordllama's token vectors, from the weights inside its package.

It gives what ``WordLlama.load().embed(texts, norm=True)`` gives, without importing that package: that would cost half a
second, configure the root logger and pad every batch to its longest text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.errors import MachineError
from streams.stages.embedders.word_tokens import TOKEN_DTYPE, WordTokens

_BLOCK_TEXTS = 64
"""Texts tokenised at a time, so that their pieces take little memory beside the memo."""

_GATHERED_ROWS = 1024
"""Token vectors gathered and summed at a time (1 MiB): a chunk at once, and no more than that for a longer text."""

_SHAPE = (32_000, 256)


class WordLlamaEmbedder:
    """Means of token vectors, of length 1.

    Token vectors are kept as float32 from their first use on: at most 32 MiB, and a few pages for a query alone. The
    float16 weights stay in the file, mapped into memory and shared by all processes.
    """

    name = "wordllama-256"
    dim = _SHAPE[1]
    fingerprint = sha256(b"embed/wordllama-256/1").hexdigest()

    def __init__(self, weights: NDArray[np.float16], tokens: WordTokens) -> None:
        self._weights = weights
        self._tokens = tokens
        self._vectors = np.empty(weights.shape, np.float32)
        self._is_known = np.zeros(len(weights), np.bool_)
        self._gathered = np.empty((_GATHERED_ROWS, self.dim), np.float32)
        self._lock = Lock()

    @classmethod
    def load(cls) -> Self:
        """It, from the installed wordllama package; nothing is downloaded.

        Raises:
            MachineError: the package or its weights are not there.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the pool's processes are the parallelism
        folder = _package_folder()
        try:
            weights = _map_weights(folder / "weights" / "l2_supercat_256.safetensors")
            tokenizer = Tokenizer.from_str(
                (folder / "tokenizers" / "l2_supercat_tokenizer_config.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError, KeyError) as exc:
            raise _not_installed(f"the wordllama package lacks its 256-dimensional weights: {exc}") from exc
        return cls(weights, WordTokens(tokenizer))

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`, of shape (texts, 256) and length 1; zeros for an empty text."""
        sums = np.zeros((len(texts), self.dim), np.float32)
        with self._lock:
            for start in range(0, len(texts), _BLOCK_TEXTS):
                block = self._tokens.of(texts[start : start + _BLOCK_TEXTS])
                self._add(block, to=sums[start:])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        np.divide(sums, lengths, out=sums, where=lengths > 0)
        return sums

    def _add(self, block: Sequence[bytes], *, to: NDArray[np.float32]) -> None:
        tokens = np.frombuffer(b"".join(block), TOKEN_DTYPE).astype(np.intp)  # what `take` would make of each slice
        self._know(tokens)
        end = 0
        for row, token_bytes in enumerate(block):
            start, end = end, end + len(token_bytes) // TOKEN_DTYPE.itemsize
            for part in range(start, end, _GATHERED_ROWS):
                to[row] += self._gather(tokens[part : min(part + _GATHERED_ROWS, end)]).sum(axis=0)

    def _know(self, tokens: NDArray[np.intp]) -> None:
        unknown = np.unique(tokens[~self._is_known[tokens]])
        self._vectors[unknown] = self._weights[unknown]
        self._is_known[unknown] = True

    def _gather(self, tokens: NDArray[np.intp]) -> NDArray[np.float32]:
        # Without mode="clip" numpy gathers into a copy first, in case a number is out of range.
        return self._vectors.take(tokens, axis=0, out=self._gathered[: len(tokens)], mode="clip")


def _package_folder() -> Path:
    spec = find_spec("wordllama")  # finds the folder without running the package
    if spec is None or spec.origin is None:
        raise _not_installed("the wordllama package is not installed")
    return Path(spec.origin).parent


def _map_weights(path: Path) -> NDArray[np.float16]:
    """The matrix in a safetensors file: eight bytes of header length, a JSON header, the numbers."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        tensor = json.loads(file.read(header_bytes))["embedding.weight"]
    if tensor["dtype"] != "F16" or tuple(tensor["shape"]) != _SHAPE:
        raise ValueError(f"{path} holds {tensor['dtype']} {tensor['shape']}, not F16 {list(_SHAPE)}")
    offset = 8 + header_bytes + int(tensor["data_offsets"][0])
    return np.memmap(path, dtype="<f2", mode="r", offset=offset, shape=_SHAPE)


def _not_installed(message: str) -> MachineError:
    return MachineError(
        message,
        op="load embedder",
        subject="wordllama-256",
        hint="pip install --force-reinstall wordllama==0.4.0.post1",
    )
