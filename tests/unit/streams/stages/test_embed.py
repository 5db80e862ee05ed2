from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import wordllama
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.errors import MachineError, UsageError
from streams.stages.embed import EMBEDDERS, load_embedder
from streams.stages.embedders import word_tokens
from streams.stages.embedders import wordllama as wordllama_stage
from streams.stages.embedders.word_tokens import TOKEN_DTYPE, WordTokens
from streams.stages.fingerprints import DEFAULT_EMBEDDER

PACKAGE = Path(wordllama.__file__).parent
TOKENIZER = PACKAGE / "tokenizers" / "l2_supercat_tokenizer_config.json"
WEIGHTS = PACKAGE / "weights" / "l2_supercat_256.safetensors"
WEIGHTS_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"

ODD_TEXTS = [
    "a",
    " ",
    "     ",
    "\n",
    "\n\n \n  x\n",
    " leading and trailing ",
    "tab\tand\r\nCRLF\r\n\r\n",
    "    def indented(self):\n        return {'a': [1, 2.5e-3]}\n",
    "ünïcödé naïve façade Ελληνικά σοφός русский текст العربية",
    "日本語の文章です。中文字符,没有空格。한국어 텍스트",
    "emoji 😀👩‍👩‍👧 flags 🇩🇪 and zero\u200bwidth, nbsp\xa0here, soft\xadhyphen",
    "§4 • bullet … dash — quotes “x” „y” «z» m². ²). ─├──══ tree \ufffd\ufffd nbsp \xa0\xa0\xa0\xa0.",
    "the tokenizer's own ▁underline ▁▁ and<s>special</s> <unk> tokens<s><s> <s>",
    "<s>",
    "<s> begins and ends </s>",
    "x" * 5000,
    "word " * 3000,
    "aGVsbG8gd29ybGQ" * 100,
    "=" * 700 + "\n" + "-" * 33,
    "\x00\x01\x7f\ufffd control",
    "ﬁligature İstanbul ẞ ǆ Ⅷ ½ ٣",
]


@pytest.fixture(scope="module")
def wordllama_itself() -> wordllama.WordLlamaInference:
    return wordllama.WordLlama.load(cache_dir=PACKAGE, disable_download=True)


@pytest.fixture(scope="module")
def tokenizer_itself() -> Tokenizer:
    return Tokenizer.from_file(str(TOKENIZER))


@pytest.fixture
def tokens() -> WordTokens:
    return WordTokens(Tokenizer.from_file(str(TOKENIZER)))


@cache
def real_texts(count: int) -> list[str]:
    """Licences, documentation and sources that this machine holds, cut as chunks are, in a fixed random order."""
    folders = [
        "/usr/share/common-licenses",
        "/usr/share/doc",
        sysconfig.get_path("stdlib"),
        str(PACKAGE.parent / "numpy"),
    ]
    files = sorted(
        Path(folder, name)
        for root in folders
        for folder, _, names in os.walk(root)
        for name in names
        if root.startswith("/usr/share") or name.endswith((".py", ".pyi", ".md", ".rst", ".txt", ".html", ".json"))
    )
    random.Random(7).shuffle(files)
    return list(islice((text for file in files for text in chunks_of(file)), count))


def chunks_of(file: Path) -> Iterator[str]:
    text = file.read_bytes()[:3_000].decode(errors="replace") if file.is_file() else ""
    return (text[start : start + 1000] for start in range(0, len(text), 900))


def cosines(some: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    some, others = some.astype(np.float64), others.astype(np.float64)
    return (some * others).sum(axis=1) / (np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1))


def ids(token_bytes: bytes) -> list[int]:
    return np.frombuffer(token_bytes, TOKEN_DTYPE).tolist()


def test_real_texts_get_the_vectors_that_wordllama_itself_gives(
    wordllama_itself: wordllama.WordLlamaInference,
) -> None:
    texts = sorted(real_texts(800), key=len)  # wordllama pads a batch to its longest text
    assert len(texts) == 800
    ours = load_embedder("wordllama-256").embed(texts)
    assert cosines(ours, wordllama_itself.embed(texts, norm=True)).min() > 0.999_999
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-6


@pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: ascii(text[:20]))
def test_odd_texts_get_the_vectors_that_wordllama_itself_gives(
    text: str, wordllama_itself: wordllama.WordLlamaInference
) -> None:
    ours = load_embedder("wordllama-256").embed([text])
    assert cosines(ours, wordllama_itself.embed([text], norm=True)).min() > 0.999_999


syllables = st.sampled_from(
    ["<s>", "</s>", "<unk>", "s>", "▁▁", "  ", "\r\n", "the", "Wor", "ing", "ال", "ος", "ий", "══", ").", "\xa0\xa0"]
)
letters = st.sampled_from("< ▁\n\td7é.,²\"'—”«─├\ufffd§日本😀_№\u2009\xa0")
any_text = st.lists(syllables | letters | st.characters(exclude_categories=("Cs",))).map("".join)


@settings(max_examples=500, deadline=None)
@given(text=any_text)
def test_any_text_has_the_tokens_that_the_tokenizer_itself_gives(text: str) -> None:
    assert ids(SHARED.of([text])[0]) == REFERENCE.encode(text, add_special_tokens=False).ids


SHARED = WordTokens(Tokenizer.from_file(str(TOKENIZER)))
REFERENCE = Tokenizer.from_file(str(TOKENIZER))


def test_no_token_of_the_vocabulary_reaches_across_a_cut() -> None:
    model = json.loads(TOKENIZER.read_text())["model"]
    for token in model["vocab"]:
        spelled = token.replace("▁", " ")
        whole = [token] if token in {"<unk>", "<s>", "</s>"} else word_tokens._PIECES.findall(spelled)
        assert whole == [spelled] or token.startswith("<0x"), token
    assert not [merge for merge in model["merges"] if "<0x" in "".join(merge)], "bytes are merged"


def test_a_full_memo_forgets_and_the_tokens_stay_right(tokenizer_itself: Tokenizer) -> None:
    small = WordTokens(Tokenizer.from_file(str(TOKENIZER)), memo_bytes=20_000)
    held, allowed = [], []
    for text in real_texts(800)[:300]:
        assert ids(small.of([text])[0]) == tokenizer_itself.encode(text, add_special_tokens=False).ids
        held.append(len(small._memo))
        allowed.append(20_000 / word_tokens._ENTRY_BYTES + len(text))
    assert all(pieces < most for pieces, most in zip(held, allowed, strict=True))
    assert any(later < earlier for earlier, later in pairwise(held)), "it never forgot"
    assert small._memo_bytes == sum(word_tokens._size_bytes(*entry) for entry in small._memo.items())


def test_a_lone_surrogate_counts_as_a_question_mark(tokens: WordTokens) -> None:
    assert tokens.of(["what \ud800"]) == tokens.of(["what ?"])


def test_a_text_without_tokens_gets_zeros_and_no_texts_give_no_rows() -> None:
    embedder = load_embedder(DEFAULT_EMBEDDER)
    assert not embedder.embed(["", "full", ""])[[0, 2]].any()
    assert embedder.embed([]).shape == (0, embedder.dim)


def test_the_vector_of_a_text_does_not_depend_on_what_came_before_or_beside_it() -> None:
    texts = real_texts(800)[:200]
    together = load_embedder(DEFAULT_EMBEDDER).embed(texts)
    embedder = load_embedder(DEFAULT_EMBEDDER)
    alone = np.vstack([embedder.embed([text]) for text in reversed(texts)])[::-1]
    assert np.array_equal(together, alone)


def test_threads_share_an_embedder() -> None:
    texts = real_texts(800)[:200]
    embedder, expected = load_embedder(DEFAULT_EMBEDDER), load_embedder(DEFAULT_EMBEDDER).embed(texts)
    with ThreadPoolExecutor(4) as threads:
        answers = threads.map(lambda start: embedder.embed(texts[start : start + 20]), range(0, 200, 20))
        assert np.array_equal(np.vstack(list(answers)), expected)


def test_every_embedder_keeps_its_word_on_shape_type_and_name() -> None:
    for name in EMBEDDERS:
        embedder = load_embedder(name)
        vectors = embedder.embed(["one", "two words"])
        assert (embedder.name, vectors.shape, vectors.dtype) == (name, (2, embedder.dim), np.float32)
        assert len(embedder.fingerprint) == 64


def test_the_weights_are_those_the_fingerprint_stands_for() -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == WEIGHTS_SHA256


def test_loading_leaves_the_wordllama_package_and_the_network_alone() -> None:
    program = (
        "import socket, sys\n"
        "socket.socket.connect = lambda *_: sys.exit('connected')\n"
        "from streams.stages.embed import load_embedder\n"
        "assert load_embedder('wordllama-256').embed(['offline']).any()\n"
        "print(sorted({'wordllama', 'requests', 'scipy', 'safetensors'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")


def test_an_unknown_name_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UsageError, match="word2vec") as caught:
        load_embedder("word2vec")
    assert "wordllama-256" in (caught.value.hint or "")


def test_a_package_without_its_weights_is_a_fault_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wordllama_stage, "_package_folder", lambda: tmp_path)
    with pytest.raises(MachineError, match=r"lacks its 256-dimensional weights") as caught:
        load_embedder("wordllama-256")
    assert "pip install" in (caught.value.hint or "")


OTHER_SHAPE = b'{"embedding.weight": {"dtype": "F16", "shape": [32000, 64], "data_offsets": [0, 4096000]}}'
UNREADABLE_WEIGHTS = {
    "empty": b"",
    "torn": b"torn",
    "no header": (9).to_bytes(8, "little") + b"{no json}",
    "other shape": len(OTHER_SHAPE).to_bytes(8, "little") + OTHER_SHAPE,
}


@pytest.mark.parametrize("weights", UNREADABLE_WEIGHTS.values(), ids=UNREADABLE_WEIGHTS)
def test_damaged_weights_are_a_fault_of_this_machine(
    weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / WEIGHTS.name).write_bytes(weights)
    monkeypatch.setattr(wordllama_stage, "_package_folder", lambda: tmp_path)
    with pytest.raises(MachineError, match="weights"):
        load_embedder("wordllama-256")
