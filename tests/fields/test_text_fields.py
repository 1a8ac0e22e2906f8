"""Text: n-grams against a plain counting of them, tokenizers, and texts that no one expects."""

import math
import os
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC

from ceiba.base.errors import DataError
from ceiba.fields import Field, NgramSpec, TextSpec
from ceiba.fields.characters import BLANK, HAN, MARK, MAX_CHARACTERS, WORD, character_classes, clean_text
from ceiba.fields.ngram_keys import DocumentCounts

TOKENIZERS = ("word", "character", "bpe", "byte", "wordpiece", "unigram", "ngrams")
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS)


def fit(tokenizer: object, texts: list[str | None], **options: object) -> Field:
    return TextSpec(tokenizer=tokenizer, **options).fit([pa.array(texts, pa.string())])


def ids(field: Field, texts: list[str | None]) -> list[list[int]]:
    found = field.encode(pa.array(texts, pa.string()))["ids"]
    return [row.tolist() for row in np.split(found.values, found.offsets[1:-1])]


def plain_ngrams(text: str, words: int, characters: tuple[int, int], han: int) -> Iterator[tuple[str, ...]]:
    """The n-grams of a text, one after another, as a reader would list them."""
    units, runs, word, run = [], [], "", ""
    for mark in [*unicodedata.normalize("NFC", text).lower(), "\n"]:
        kind = character_classes()[min(ord(mark), 0x3FFFF)]
        if kind == WORD:
            word += mark
        elif word:
            units.append((word, False))
            word = ""
        if kind == HAN:
            units.append((mark, True))
        if kind in (WORD, MARK):
            run += mark
        elif run:
            runs.append(run)
            run = ""
    for length in range(1, max(words, han) + 1):
        for start in range(len(units) - length + 1):
            part = units[start : start + length]
            if length <= (han if all(is_han for _, is_han in part) else words):
                yield ("words", *[unit for unit, _ in part])
    for run in runs:
        for length in range(characters[0], characters[1] + 1):
            around = f" {run} " if length > 1 else run
            for start in range(len(around) - length + 1):
                if around[start : start + length].strip():
                    yield ("characters", around[start : start + length])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("ab,B é日本ß_\u0301\n1", max_size=14), min_size=1, max_size=5),
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 3)),
)
def test_ngrams_and_their_weights_are_those_of_a_plain_count(texts: list[str], options: tuple[int, ...]) -> None:
    words, shortest, more, han = options
    characters = (shortest, shortest + more - 1)
    counted = [Counter(plain_ngrams(text, words, characters, han)) for text in texts]
    rows_with = Counter(ngram for found in counted for ngram in found)
    spec = NgramSpec(words=words, characters=characters, han=han, min_rows=1, character_weight=0.5)
    if not rows_with:
        with pytest.raises(DataError):
            spec.fit([pa.array(texts)], None, 0)
        return
    field = spec.fit([pa.array(texts)], None, 0)
    assert len(field.vocabulary) == len(rows_with)
    encoded = field.encode(pa.array(texts))
    for place, found in enumerate(counted):
        weights = [
            (1 + math.log(count)) * (math.log((1 + len(texts)) / (1 + rows_with[ngram])) + 1)
            * (0.5 if ngram[0] == "characters" else 1.0)
            for ngram, count in found.items()
        ]  # fmt: skip
        norm = math.sqrt(sum(weight**2 for weight in weights))
        one = encoded["weights"].take(np.array([place])).values
        np.testing.assert_allclose(np.sort(one), np.sort([weight / norm for weight in weights]), rtol=1e-6)
        assert len(set(encoded["ids"].take(np.array([place])).values)) == len(found)


def test_rows_share_the_ids_of_the_ngrams_they_share() -> None:
    field = fit({"type": "ngrams", "characters": None, "min_rows": 1}, ["good film", "good book", "bad film"])
    first, second, third = (set(row) for row in ids(field, ["good film", "good book", "bad film"]))
    assert (len(first & second), len(first & third), len(second & third)) == (1, 1, 0)


def test_a_cut_bag_keeps_the_heaviest_ngrams() -> None:
    texts = ["the rare", "the", "the", "the"]
    field = fit({"type": "ngrams", "characters": None, "words": 1, "min_rows": 1}, texts, max_tokens=1)
    (rare,) = ids(field, ["rare"])
    assert ids(field, ["the rare"]) == [rare]


def test_ngrams_of_one_row_only_are_left_out_unless_none_would_be_left() -> None:
    spec = {"type": "ngrams", "characters": None}
    assert len(fit(spec, ["a b", "a c"]).vocabulary) == 1
    assert len(fit(spec, ["a b"]).vocabulary) == 3


def test_counts_of_ngrams_forget_the_rarest_when_they_are_too_many_to_hold() -> None:
    counts, exact = DocumentCounts(most_held=50, merge_at=30), DocumentCounts()
    for start in range(0, 400, 20):
        block = np.array([3, 9, *range(start + 100, start + 120)], np.uint64)
        counts.add(block)
        exact.add(block)
        assert len(counts.hashes) <= 50
    for one in (counts, exact):
        hashes, rows = one.most(2, 2)
        assert (hashes.tolist(), rows.tolist()) == ([3, 9], [20, 20])
    assert len(exact.most(1000, 1)[0]) == 402
    assert exact.most(1, 1)[0].tolist() == [3]


def test_character_classes() -> None:
    table = character_classes()
    kinds = {"a": WORD, "é": WORD, "\u0301": WORD, "7": WORD, "_": WORD, "ا": WORD, ",": MARK, "€": MARK, " ": BLANK}
    kinds |= {"\u200b": BLANK, "\x00": BLANK, "日": HAN, "カ": HAN, "々": HAN, "。": MARK, "\U00020000": HAN}
    assert {mark: int(table[ord(mark)]) for mark in kinds} == kinds


@every_tokenizer
def test_texts_without_a_known_token_are_empty_rows(tokenizer: str) -> None:
    field = fit(tokenizer, ["plain words here", "plain words there"])
    rows = ids(field, ["", None, "plain words"])
    assert rows[0] == rows[1] == []
    assert rows[2]
    if tokenizer == "ngrams":
        assert ids(field, ["Ωψ", "   \n"]) == [[], []]
    if tokenizer in ("word", "character"):
        assert set(ids(field, ["Ωψ"])[0]) == {1}


@every_tokenizer
@pytest.mark.parametrize(
    "text",
    [
        "\u202eאבג שלום\u202c",
        "a\x00b\x07\x1b[31m",
        "a\u200b\u200d\ufeffb",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "e\u0301 é",
        "\U0010ffff",
        "\r\n\t",
        "[PAD] [UNK]",
    ],
)
def test_unusual_characters_encode_alike_each_time(tokenizer: str, text: str) -> None:
    field = fit(tokenizer, ["plain words [PAD]", "plain words é", text])
    once = ids(field, [text, "plain"])
    assert once == [ids(field, [text])[0], ids(field, ["plain"])[0]]
    assert 0 not in once[0]


@every_tokenizer
def test_composed_and_decomposed_letters_are_equal(tokenizer: str) -> None:
    field = fit(tokenizer, ["caf\u00e9", "caf\u00e9"])
    assert ids(field, ["cafe\u0301"]) == ids(field, ["caf\u00e9"])


@every_tokenizer
def test_ten_megabytes_in_a_cell_are_cut_at_the_stated_length(tokenizer: str) -> None:
    field = fit(tokenizer, ["plain words here", "plain words there"] * 3)
    started = time.monotonic()
    long = ["plain words " * 900_000, "é" * 5_000_000, " " * 10_000_000, "a" * 10_000_000]
    rows = ids(field, long)
    assert time.monotonic() - started < 10
    assert max(map(len, rows)) <= field.max_tokens
    assert rows[0] == ids(field, [long[0][:MAX_CHARACTERS]])[0]


def test_bytes_that_are_no_utf8_are_refused() -> None:
    damaged = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")]
    )
    with pytest.raises(DataError, match="UTF-8"):
        clean_text(damaged)


@every_tokenizer
def test_chinese_text_has_tokens(tokenizer: str) -> None:
    field = fit(tokenizer, ["我们爱北京", "北京大学", "大学"])
    first, second = ids(field, ["北京", "北京大学"])
    assert first
    assert len(second) > len(first)
    assert 1 not in first


def test_words_marks_and_case() -> None:
    field = fit({"type": "word", "min_count": 1}, ["Hello, world!"])
    assert ids(field, ["hello , WORLD !"]) == ids(field, ["Hello, world!"])
    cased = fit({"type": "word", "min_count": 1, "lowercase": False}, ["Hello hello"])
    assert len(set(ids(cased, ["Hello hello"])[0])) == 2


def test_bpe_spells_what_it_never_saw() -> None:
    field = fit({"type": "bpe", "vocab": 400}, ["low lower lowest"] * 4)
    text = "Zürich 日本 lower\n"
    assert field.tokenizer.decode(ids(field, [text])[0]).encode("utf-8", "replace")
    assert 1 not in ids(field, [text])[0]
    assert len(ids(field, ["lower"])[0]) < 5


@pytest.mark.parametrize("tokenizer", TOKENIZERS[:6])
def test_lengths_are_cut_at_the_99th_percentile(tokenizer: str) -> None:
    texts = ["a b"] * 99 + ["a b " * 500]
    assert fit(tokenizer, texts).max_tokens <= 3
    assert fit(tokenizer, texts, max_tokens=7).max_tokens == 7
    assert [len(row) for row in ids(fit(tokenizer, texts, max_tokens=7), texts[-2:])][1] == 7


@every_tokenizer
def test_two_fits_are_equal(tokenizer: str) -> None:
    texts = [f"word{place % 7} tie{place % 5}" for place in range(300)]
    assert fit(tokenizer, texts).files() == fit(tokenizer, texts).files()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("setting", [None, "true", "false"])
def test_a_forked_child_tokenizes_without_waiting_or_warning(setting: str | None) -> None:
    program = """
import os, pyarrow as pa
from ceiba.fields import TextSpec
column = pa.array(["a b c"] * 5000)
setting = os.environ.get("TOKENIZERS_PARALLELISM")
field = TextSpec().fit([column]); field.encode(column)
child = os.fork()
if child == 0:
    field.encode(column); os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert os.environ.get("TOKENIZERS_PARALLELISM") == setting
"""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    environment |= {} if setting is None else {"TOKENIZERS_PARALLELISM": setting}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def matrix(field: Field, column: pa.Array) -> csr_matrix:
    encoded = field.encode(column)
    shape = (len(column), field.layout("text").vocab)
    return csr_matrix((encoded["weights"].values, encoded["ids"].values, encoded["ids"].offsets), shape=shape)


@pytest.mark.data
def test_ag_news_is_read_quickly_and_well(data: Callable[[str], Path]) -> None:
    train = pyarrow.parquet.read_table(data("ag_news/train_subset.parquet")).combine_chunks()
    test = pyarrow.parquet.read_table(data("ag_news/test_7600.parquet"))
    texts = pa.array([f"{row['title']} {row['description']}" for row in test.to_pylist()])
    column = train["text"].chunk(0)
    started = time.process_time()
    field = TextSpec(tokenizer="ngrams").fit([column])
    encoded = matrix(field, column)
    assert time.process_time() - started < 4
    model = LinearSVC(C=0.6).fit(encoded, train["label"].to_numpy())
    assert model.score(matrix(field, texts), test["label"].to_numpy()) >= 0.885


@pytest.mark.data
def test_thucnews_titles_are_read_well(data: Callable[[str], Path]) -> None:
    parts = []
    for name in ("dev", "test"):
        lines = data(f"thucnews_titles/{name}.txt").read_text(encoding="utf-8").splitlines()
        rows = [line.rsplit("\t", 1) for line in lines if line]
        parts.append((pa.array([text for text, _ in rows]), np.array([int(label) for _, label in rows])))
    (column, labels), (texts, truth) = parts
    field = TextSpec(tokenizer="ngrams").fit([column])
    assert LinearSVC(C=0.6).fit(matrix(field, column), labels).score(matrix(field, texts), truth) >= 0.868
