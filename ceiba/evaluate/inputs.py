"""A row's inputs as columns of numbers, for the quick models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.optional import require
from ceiba.fields import TABLE_KINDS, Field, Fields, Ragged
from ceiba.fields.pairs import is_pair, joined

MOST_CATEGORIES = 255
MOST_PIXELS = 1024
MOST_TERMS = 100_000
LEAST_ROWS_OF_TERM = 2
COMPONENTS = 32
SVD_ROUNDS = 2
CJK_SHARE = 0.2
CJK_SAMPLE_ROWS = 200
TO = "learn the quick baseline"

Matrix = Any
"""A dense array or a scipy sparse matrix: (row, column)."""


@dataclass(frozen=True)
class Part:
    """One group of inputs: what it is, which columns are categories, and the way from rows to columns."""

    text: str
    is_category: tuple[bool, ...]
    transform: Callable[[pa.RecordBatch], Matrix]


def table_columns(fields: Fields) -> dict[str, Field]:
    """The inputs that are columns of a table."""
    return {name: one for name, one in fields.inputs.items() if one.kind in TABLE_KINDS}


def fit_table(fields: Fields, rows: pa.RecordBatch) -> tuple[Part, Matrix]:
    """Numbers as they are (missing ones stay missing), everything else by its field's codes."""
    columns = table_columns(fields)

    def transform(batch: pa.RecordBatch) -> Matrix:
        blocks = [
            block for name, one in columns.items() for block, _ in _blocks(one, batch.column(fields.column(name)))
        ]
        return np.concatenate(blocks, axis=1, dtype=np.float64)

    first = rows.slice(0, 1)
    kinds = [kinds for name, one in columns.items() for _, kinds in _blocks(one, first.column(fields.column(name)))]
    is_category = tuple(bool(kind) for block in kinds for kind in block)
    named = f"{len(columns)} columns" if len(columns) > 1 else "1 column"
    return Part(named, is_category, transform), transform(rows)


def _blocks(field: Field, column: pa.Array) -> list[tuple[NDArray[Any], list[bool]]]:
    """A column's blocks of numbers, and which of their columns are categories."""
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if field.kind == "number" and numeric:
        values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return [(np.where(np.isfinite(values), values, np.nan)[:, None], [False])]
    blocks = []
    for part, values in field.encode(column).items():
        if isinstance(values, Ragged) or values.shape[1] == 0:
            continue
        few = [count <= MOST_CATEGORIES for count in field.cardinalities()] if part == "codes" else []
        blocks.append((values, few or [False] * values.shape[1]))
    return blocks


def as_texts(column: pa.Array) -> list[str]:
    """A column as texts, a pair as one; a missing one is empty."""
    column = joined(column) if is_pair(column.type) else column
    return [str(value) for value in pc.fill_null(pc.cast(column, pa.string()), "").to_pylist()]


def is_chinese(texts: list[str]) -> bool:
    """Whether words are not told apart by blanks: Chinese and Japanese characters are a good share of a sample."""
    sample = "".join(texts[:CJK_SAMPLE_ROWS])
    found = sum("\u3040" <= character <= "\u9fff" for character in sample)
    return found > CJK_SHARE * max(len(sample), 1)


def fit_text(name: str, rows: pa.RecordBatch) -> tuple[Part, Matrix]:
    """TF-IDF of words and pairs of words; of characters where blanks do not part words."""
    texts = as_texts(rows.column(name))
    characters = is_chinese(texts)
    module = require("sklearn.feature_extraction.text", "train", TO)
    options = {
        "analyzer": "char" if characters else "word", "ngram_range": (1, 2), "sublinear_tf": True,
        "max_features": MOST_TERMS, "dtype": np.float32,
    }  # fmt: skip
    vectorizer = module.TfidfVectorizer(min_df=LEAST_ROWS_OF_TERM, **options)
    try:
        matrix = vectorizer.fit_transform(texts)
    except ValueError:  # no term is in two rows: a term of one row is better than none
        vectorizer = module.TfidfVectorizer(token_pattern=r"(?s).+", **options)
        matrix = vectorizer.fit_transform([text or "?" for text in texts])
    what = f"TF-IDF of {'characters' if characters else 'words'} (1-2 grams, {matrix.shape[1]:,} terms) of '{name}'"
    return Part(what, (), lambda batch: vectorizer.transform(as_texts(batch.column(name)))), matrix


def fit_image(name: str, field: Field, rows: pa.RecordBatch) -> tuple[Part, Matrix]:
    """Pixels from -1 to 1, means of neighbors where there are too many."""

    def transform(batch: pa.RecordBatch) -> Matrix:
        pixels = field.encode(batch.column(name))["pixels"]
        assert isinstance(pixels, np.ndarray)
        return pooled(pixels)

    matrix = transform(rows)
    return Part(f"{matrix.shape[1]} pixel means of '{name}'", (), transform), matrix


def pooled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(row, height, width, channel) → (row, pixel): blocks averaged until a row has few enough."""
    rows, height, width, channels = pixels.shape
    factor = int(np.ceil(np.sqrt(height * width * channels / MOST_PIXELS)))
    tall, wide = height // factor, width // factor
    if factor > 1 and tall and wide:
        cut = pixels[:, : tall * factor, : wide * factor].reshape(rows, tall, factor, wide, factor, channels)
        pixels = cut.mean(axis=(2, 4), dtype=np.float32)
    return (pixels.reshape(rows, np.prod(pixels.shape[1:], dtype=np.int64)) / np.float32(127.5) - 1).astype(np.float32)


def condensed(part: Part, matrix: Matrix, seed: int) -> tuple[Part, Matrix]:
    """The same part in a few dense columns, for models of tables."""
    columns = min(COMPONENTS, matrix.shape[1] - 1, matrix.shape[0] - 1)
    if columns < 1:
        return Part(part.text, (False,) * matrix.shape[1], part.transform), matrix
    decomposition = require("sklearn.decomposition", "train", TO)
    reducer = decomposition.TruncatedSVD(columns, n_iter=SVD_ROUNDS, random_state=seed)
    reduced = reducer.fit_transform(matrix)
    what = f"{columns} components of {part.text}"
    return Part(what, (False,) * columns, lambda batch: reducer.transform(part.transform(batch))), reduced
