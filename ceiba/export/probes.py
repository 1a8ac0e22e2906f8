"""What the gate runs: real rows and random ones, several batch sizes and lengths, more padding than is needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import CeibaError
from ceiba.base.keys import generator
from ceiba.base.yaml import read_yaml
from ceiba.bundle import Bundle
from ceiba.fields import Encoded, ImageLayout, Layout, Ragged, TableLayout, TextLayout, WordsLayout
from ceiba.predict import Predictor
from ceiba.read import open_frame

Array = NDArray[Any]
BATCHES = (1, 2, 7, 64)
"""Rows at once."""
SHORT, LONGEST = 3, 512
"""Tokens of a short row; the most that a long one is tried with."""
LONG_SENTENCE = 64
"""Words of a long row that are tagged: how long those of training were is not kept."""
LONGER = 1.25
"""How much longer than any training row a row is tried."""
MOST_TOKENS = 1 << 14
"""Tokens of one probe, padding included: what a network makes of them is many times as large."""
MOST_VALUES = 1 << 23
"""The same for the values of pixels."""
PADDING = 9
"""Places of padding that no row needs."""
REAL_ROWS = 64
EXAMPLE_ROWS, EXAMPLE_TOKENS = 3, 5
RAGGED = ("ids", "weights", "characters", "places")
"""Parts with an axis of tokens."""
PLACES = 8
"""Places in a text that random tokens are said to stand at: as large as logits are, so that an error of neither hides
behind the size of the other."""


@dataclass(frozen=True)
class Probe:
    """Rows for one run, and what is special about them."""

    kind: str
    rows: int
    tokens: int
    padding: int
    parts: dict[str, Array]

    def __str__(self) -> str:
        tokens = f" of {self.tokens} tokens" if self.tokens else ""
        return f"{self.rows} {self.kind} rows{tokens}" + (f" and {self.padding} of padding" if self.padding else "")


def random_parts(layouts: Mapping[str, Layout], rows: int, tokens: int, seed: int = 0) -> dict[str, Array]:
    """Rows as the fields might encode them, drawn at random; the first row of a text is full, the second one empty.

    Raises: CeibaError for a layout that nothing here can fill.
    """
    found: dict[str, Array] = {}
    for place, (group, layout) in enumerate(layouts.items()):
        random = generator(seed, "probe", group, rows, tokens)
        if isinstance(layout, TableLayout):
            parts = _table(layout, rows, random)
        elif isinstance(layout, ImageLayout):
            shape = (rows, layout.height, layout.width, layout.channels)
            parts = {"pixels": random.integers(0, 256, shape, dtype=np.uint8)}
        elif isinstance(layout, TextLayout) and layout.told:
            raise CeibaError("An exported model must answer rows", "chats", "Serve the trained bundle")
        elif isinstance(layout, TextLayout):  # texts of one row differ in length
            parts = _text(layout, rows, tokens + place, random)
        else:
            assert isinstance(layout, WordsLayout)
            parts = _words(layout, rows, tokens + place, random)
        found |= {f"{group}.{part}": values for part, values in parts.items()}
    return found


def _table(layout: TableLayout, rows: int, random: np.random.Generator) -> dict[str, Array]:
    parts: dict[str, Array] = {}
    if layout.num_numbers:
        parts["numbers"] = random.standard_normal((rows, layout.num_numbers), dtype=np.float32)
    if layout.cardinalities:
        codes = [random.integers(0, count, rows, dtype=np.int32) for count in layout.cardinalities]
        parts["codes"] = np.stack(codes, axis=1)
    return parts


def _text(layout: TextLayout, rows: int, tokens: int, random: np.random.Generator) -> dict[str, Array]:
    lengths = random.integers(1, tokens + 1, rows)
    lengths[:2] = (tokens, 0)[:rows]
    is_there = np.arange(tokens) < lengths[:, None]
    ids = random.integers(1, max(layout.vocab, 2), (rows, tokens), dtype=np.int32) * is_there
    parts: dict[str, Array] = {"ids": ids.astype(np.int32)}
    if layout.weighted:
        parts["weights"] = random.random((rows, tokens), dtype=np.float32) * is_there
    if layout.places:  # the first token stands for no answer, and is at no place
        first = random.integers(0, PLACES, (rows, tokens, 1)) * np.ones(2, np.int64) + (0, 1)
        parts["places"] = (first * (is_there & (np.arange(tokens) > 0))[:, :, None]).astype(np.int32)
    return parts


def _words(layout: WordsLayout, rows: int, words: int, random: np.random.Generator) -> dict[str, Array]:
    parts = _text(TextLayout(layout.vocab, words, weighted=False), rows, words, random)
    shape = (rows, words, layout.max_characters)
    spelled = np.arange(layout.max_characters) < random.integers(1, layout.max_characters + 1, (rows, words, 1))
    letters = random.integers(1, max(layout.characters, 2), shape, dtype=np.int32)
    return parts | {"characters": (letters * (spelled & (parts["ids"] > 0)[:, :, None])).astype(np.int32)}


def example_parts(layouts: Mapping[str, Layout]) -> dict[str, Array]:
    """The rows that a graph is traced with; no size of them is that of another axis by chance, or one."""
    return random_parts(layouts, EXAMPLE_ROWS, EXAMPLE_TOKENS)


def lengths_of(layouts: Mapping[str, Layout]) -> tuple[int, ...]:
    """One token, a few, as many as the longest training row, and more; one length where there are no texts."""
    most = [min(layout.max_tokens, LONGEST) for layout in layouts.values() if isinstance(layout, TextLayout)]
    most += [LONG_SENTENCE for layout in layouts.values() if isinstance(layout, WordsLayout)]
    if not most:
        return (0,)
    longest = max(most)
    return tuple(sorted({1, min(SHORT, longest), longest, int(longest * LONGER) + 1}))


def random_probes(layouts: Mapping[str, Layout]) -> Iterator[Probe]:
    """Every batch size with every length, and once with more padding than is needed."""
    values = sum(
        layout.height * layout.width * layout.channels for layout in layouts.values() if isinstance(layout, ImageLayout)
    )
    lengths = lengths_of(layouts)
    for rows in BATCHES:
        for tokens in lengths:
            fits = min(MOST_TOKENS // max(tokens, 1), MOST_VALUES // max(values, 1))
            count = max(min(rows, fits), 2 if rows > 1 else 1)
            yield Probe("random", count, tokens, 0, random_parts(layouts, count, tokens))
    if lengths != (0,):
        parts = random_parts(layouts, BATCHES[2], SHORT, 1)
        yield Probe("random", BATCHES[2], SHORT, PADDING, padded(parts, PADDING))


def padded(parts: Mapping[str, Array], by: int) -> dict[str, Array]:
    """The same texts with more padding."""
    return {
        name: np.pad(part, ((0, 0), (0, by), (0, 0))[: part.ndim]) if name.rsplit(".", 1)[1] in RAGGED else part
        for name, part in parts.items()
    }


def real_probes(encoded: Encoded) -> Iterator[Probe]:
    """Encoded rows in batches of every size, each padded to its longest."""
    num_rows, start = len(next(iter(encoded.values()))), 0
    for rows in BATCHES:
        places = np.arange(start, min(start + rows, num_rows))
        start += rows
        if not len(places):
            return
        parts = {
            name: part.take(places).pad() if isinstance(part, Ragged) else part[places]
            for name, part in encoded.items()
        }
        tokens = max((parts[name].shape[1] for name, part in encoded.items() if isinstance(part, Ragged)), default=0)
        yield Probe("real", len(places), tokens, 0, parts)


def probes(layouts: Mapping[str, Layout], encoded: Encoded | None = None) -> Iterator[Probe]:
    """Real rows where there are some, then random ones."""
    if encoded is not None:
        yield from real_probes(encoded)
    yield from random_probes(layouts)


def training_rows(bundle: Bundle, predictor: Predictor, rows: int = REAL_ROWS) -> pa.RecordBatch | None:
    """Some of the rows that the bundle learnt from, raw, if its data are still where its recipe says."""
    recipe, _ = read_yaml(bundle.recipe_text, "recipe.yaml")
    data = recipe.get("data", {}) if isinstance(recipe, Mapping) else {}
    sources = data.get("train")
    paths = [bundle.folder / source for source in (sources if isinstance(sources, list) else [sources]) if source]
    files = data.get("files")
    reading = predictor.reading.model_copy(update={"files": str(bundle.folder / files)} if files else {})
    if not paths or not all(path.exists() for path in paths):
        return None
    try:
        table = open_frame([str(path) for path in paths] if len(paths) > 1 else str(paths[0]), reading).head(rows)
    except CeibaError:
        return None
    return table.combine_chunks().to_batches()[0] if table.num_rows else None


def encoded_rows(bundle: Bundle, predictor: Predictor) -> Encoded | None:
    """The same rows, encoded as in training; None where they are no longer to be had."""
    rows = training_rows(bundle, predictor)
    try:
        return None if rows is None else predictor.encode(rows)
    except CeibaError:
        return None
