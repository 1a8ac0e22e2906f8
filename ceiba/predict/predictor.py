"""The Predictor: fields, a backend and answers, put together once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from ceiba.answers import Answer, NumberAnswer, SequenceAnswer, SpanAnswer, load_answer
from ceiba.answers.tags import NO_WORD
from ceiba.base.errors import BundleError, CeibaError, DataError, InputError, listed, nearest
from ceiba.bundle import META, Bundle
from ceiba.clean import Cleaner, CleanOption
from ceiba.fields import Encoded, Fields, Pieces, Ragged, TokenField, measured_rows
from ceiba.fields.slices import first_bad_row, slice_rows, sliced
from ceiba.predict.forms import rows_and_form
from ceiba.predict.quotes import quoted_texts
from ceiba.read import Frame, ReadSpec, are_lines

BATCH_ROWS = 1024
WINDOW_BATCHES = 16
"""Batches within which rows are sorted by length before they are padded."""
WINDOW_BYTES = 64 << 20
"""About what the encoded rows of a window take at most."""
BATCH_TOKENS = 1 << 16
"""Tokens of a batch, padding included, at most: what a network makes of them is many times as large."""
BATCH_PIXELS = 1 << 20
"""The same for the values of pixels."""

EMBEDDING = "embedding"
"""What an embedding backend answers."""

Array = NDArray[Any]
Backend = Callable[[dict[str, Array]], Mapping[str, Array]]
"""{part: (row, ...)} → {output: logits (row, ...)}."""

Answering = Callable[[Iterator[pa.RecordBatch], Sequence[str], str], Iterator[pa.RecordBatch]]
"""(windows, columns that are kept, origin) → their answers, in their order."""

_OPERATIONS: TypeAdapter[list[Any]] = TypeAdapter(list[CleanOption])


@dataclass(frozen=True)
class Predictor:
    """Rows → answers: each batch is cleaned and encoded once, by the code that encoded the training rows."""

    fields: Fields
    answers: Mapping[str, Answer]
    backend: Backend
    cleaner: Cleaner = field(default_factory=lambda: Cleaner(()))
    """The operations on columns that the training rows went through."""
    reading: ReadSpec = field(default_factory=ReadSpec)
    """How a file must be read to be like the training data."""
    ids: tuple[str, ...] = ()
    """Columns that are passed through to the answers."""
    batch_rows: int = BATCH_ROWS
    """Rows that the backend is given at once, at most."""

    @classmethod
    def from_bundle(cls, bundle: Bundle, backend: Backend, batch_rows: int = BATCH_ROWS) -> Self:
        """The Predictor of a bundle, with its network opened by a backend.

        Raises: BundleError if the bundle's description of its data is unknown to this version.
        """
        reading = dict(bundle.meta.get("reading", {}))
        try:
            cleaner = Cleaner(_OPERATIONS.validate_python(reading.pop("clean", [])))
            ids = tuple(reading.pop("ids", ()))
            spec = ReadSpec.model_validate(reading)
            answers = {name: load_answer(value) for name, value in bundle.answers.items()}
            fields = Fields.from_json(bundle.fields_json, bundle.field_files())
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            problem = str(error).splitlines()[0]
            raise BundleError(
                f"{bundle.folder / META} must describe how data are read", problem, "Use an undamaged copy"
            ) from error
        return cls(fields, answers, backend, cleaner, spec, ids, batch_rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that may be needed, before cleaning."""
        return tuple(sorted(self.cleaner.before(frozenset(self.fields.read))))

    def encode(self, batch: pa.RecordBatch) -> Encoded:
        """Raw rows → arrays by part.

        Raises: DataError for a column that is missing, or a value that its field cannot take.
        """
        return self.fields.encode(self.cleaner(batch))

    def run(self, encoded: Encoded) -> dict[str, Array]:
        """Arrays by part → logits by output, in the order of the rows.

        Rows of different lengths are sorted by length, run in batches padded to their longest, and put back in order.

        Raises: CeibaError if the backend breaks its contract.
        """
        order = _by_length(encoded)
        parts: dict[str, list[Array]] = {name: [] for name in self.answers}
        for rows in _cut(encoded, order, self.batch_rows):
            found = self.backend({name: _padded(part, rows) for name, part in encoded.items()})
            for name in self.answers:
                parts[name].append(_checked(found, name, len(rows)))
        found = {name: _in_order(logits, order) if logits else self.no_logits(name) for name, logits in parts.items()}
        whole = next((part for part in encoded.values() if isinstance(part, Pieces)), None)
        return found if whole is None else {name: whole.add_up(logits) for name, logits in found.items()}

    def windows(self, frame: Frame, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, dict[str, Array]]]:
        """Raw rows and their logits, a window at a time; the next window is encoded while the backend runs."""
        batches = self._cut_windows(frame, columns)
        ahead = next(batches, None)
        if ahead is None:
            return
        encoded, start = self._encode_at(ahead, frame.origin, 0), 0
        with ThreadPoolExecutor(1, thread_name_prefix="ceiba-encode") as pool:
            for following in chain(batches, [None]):
                batch, start = ahead, start + ahead.num_rows
                soon = None if following is None else pool.submit(self._encode_at, following, frame.origin, start)
                yield batch, self.run(encoded)
                if following is None or soon is None:
                    return
                ahead, encoded = following, soon.result()

    def logits(self, frame: Frame) -> dict[str, Array]:
        """Logits of every row, by output.

        Raises: DataError as `encode` does.
        """
        self.check(frame)
        parts: dict[str, list[Array]] = {name: [] for name in self.answers}
        whole = [name for name, one in self.fields.inputs.items() if getattr(one, "whole", False)]
        lines = next((name for name in whole if are_lines(frame, name)), None)
        ways = self.windows(frame, self._read(frame, ())) if lines is None else self._on_lines(frame, lines)
        for _, logits in ways:
            for name, values in logits.items():
                parts[name].append(values)
        return {name: _joined(values) if values else self.no_logits(name) for name, values in parts.items()}

    def _on_lines(self, frame: Frame, name: str) -> Iterator[tuple[None, dict[str, Array]]]:
        """The same for windows on the lines of one text, which say nothing each by itself."""
        field = self.fields.inputs[name]
        assert isinstance(field, TokenField)
        for rows in measured_rows(field, frame.column(name), lines=True):
            yield None, self.run({f"{name}.{part}": values for part, values in field.pieces(rows).items()})

    def _cut_windows(self, frame: Frame, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows = min(self.batch_rows * WINDOW_BATCHES, slice_rows(self.fields, WINDOW_BYTES))
        return sliced(frame.batches(columns), rows)

    def answer(self, batch: pa.RecordBatch, kept: Sequence[str], origin: str, start: int) -> pa.RecordBatch:
        """The answers of one window, which begins at row `start` of its origin, behind the columns that are kept.

        Raises: DataError as `encode` does, with the row.
        """
        logits = self.run(self._encode_at(batch, origin, start))
        return self.answered(self._kept(batch, kept), logits, batch)

    def stream(self, frame: Frame, keep: Sequence[str] = (), by: "Answering | None" = None) -> Iterator[pa.RecordBatch]:
        """Answers in the order of the rows, a window at a time, behind the columns that are kept; ids always are.

        A kept column that has an output's name holds its truth, and is called NAME_truth beside the answer.
        `by` answers the windows elsewhere; None: here.

        Raises: DataError as `encode` does, and for a column to keep that is not there.
        """
        kept = tuple(dict.fromkeys((*(name for name in self.ids if name in frame.names), *keep)))
        for name in kept:
            if name not in frame.names:
                raise DataError(
                    f"{frame.origin} must have the column '{name}'", "none of that name", nearest(name, frame.names)
                )
        self.check(frame)
        if by is not None:
            yield from by(self._cut_windows(frame, self._read(frame, kept)), kept, frame.origin)
            return
        for batch, logits in self.windows(frame, self._read(frame, kept)):
            yield self.answered(self._kept(batch, kept), logits, batch)

    def predict(self, rows: Any) -> Any:
        """Answers in the form in which the rows came: a list of dicts, one dict, a dict of columns, a table of pandas,
        polars, Arrow or datasets; a path gives an Arrow table. Columns that are not needed are passed over.

        Raises: DataError as `encode` does.
        """
        wanted = (*self.columns, *self.ids)
        kinds = {self.fields.column(name): one.kind for name, one in self.fields.inputs.items()}
        frame, names, form = rows_and_form(rows, wanted, kinds, self.reading)
        self.check(frame, names)
        return form(pa.Table.from_batches(list(self.stream(frame)) or [self._no_answers(frame)]))

    def embed(self, rows: Any) -> NDArray[np.float32]:
        """A vector a row, (row, dim): what the network makes of its inputs before any head; rows in any form.

        Rows that mean alike to the network lie close together, for search and for models of other kinds.

        Raises: DataError as `encode` does; InputError for an exported model, or one that reads its rows in pieces.
        """
        embed = getattr(self.backend, "embed", None)
        if embed is None:
            raise InputError(
                "embed needs the trained network", "an exported one", "Open the bundle that training wrote"
            )
        if any(getattr(one, "whole", False) for one in self.fields.inputs.values()):
            raise InputError("embed needs a network that reads a row at once", "a language model", "Use another bundle")
        wanted = (*self.columns, *self.ids)
        kinds = {self.fields.column(name): one.kind for name, one in self.fields.inputs.items()}
        frame, names, _ = rows_and_form(rows, wanted, kinds, self.reading)
        self.check(frame, names)
        bare = replace(self, backend=embed, answers={EMBEDDING: NumberAnswer(0.0, 1.0)})
        vectors: NDArray[np.float32] = bare.logits(frame)[EMBEDDING]
        return vectors

    def check(self, frame: Frame, names: Sequence[str] | None = None) -> None:
        """Raises: DataError if the frame lacks a column; `names` are those of all columns there were."""
        known = frame.schema.names
        if self.cleaner.operations:
            known = self.cleaner(_empty(frame, self._read(frame, ()))).schema.names
        for name in self.fields.read:
            if name not in known:
                do = nearest(name, known if names is None else names)
                raise DataError(f"the rows must have the column '{name}'", "none of that name", do)

    def _kept(self, batch: pa.RecordBatch, names: Sequence[str]) -> dict[str, pa.Array]:
        return {f"{name}_truth" if name in self.answers else name: batch.column(name) for name in names}

    def _encode_at(self, batch: pa.RecordBatch, origin: str, start: int) -> Encoded:
        try:
            return self.encode(batch)
        except DataError as error:
            raise error.at(f"{origin} row {start + first_bad_row(self.encode, batch) + 1},") from error

    def _read(self, frame: Frame, keep: Sequence[str]) -> tuple[str, ...]:
        wanted = {*self.columns, *keep}
        return tuple(name for name in frame.names if name in wanted)

    def answered(
        self, kept: dict[str, pa.Array], logits: Mapping[str, Array], batch: pa.RecordBatch | None = None
    ) -> pa.RecordBatch:
        """Kept columns, then the answers of each output; a column that is kept is not replaced.

        `batch` holds the raw rows, which some answers quote; without it, such quotes are missing.
        """
        found: dict[str, pa.Array] = {}
        for name, answer in self.answers.items():
            if isinstance(answer, SpanAnswer) and batch is not None:
                texts = quoted_texts(self.fields, answer.source, self.cleaner(batch))
                found |= answer.columns(name, logits[name], texts)
            elif isinstance(answer, SequenceAnswer):
                found |= answer.columns(name, logits[name], self.decoder(name))
            else:
                found |= answer.columns(name, logits[name])
        return pa.RecordBatch.from_pydict(kept | {name: found[name] for name in found if name not in kept})

    def decoder(self, name: str) -> Callable[[Sequence[int]], str]:
        """What spells the tokens of an output that is written."""
        one = self.fields.outputs[name]
        assert isinstance(one, TokenField)
        return one.decode

    def no_logits(self, name: str) -> Array:
        """The logits of no row."""
        answer = self.answers[name]
        widths: dict[str, tuple[int, ...]] = {"binary": (), "number": (), "text": (2,), "span": (3,), "sequence": (1,)}
        widths["preference"] = (2,)
        if answer.kind == "tags":
            widths["tags"] = (1, len(getattr(answer, "labels", ())))
        width = widths.get(answer.kind, (len(getattr(answer, "labels", ())),))
        return np.zeros((0, *width), dtype=np.float32)

    def _no_answers(self, frame: Frame) -> pa.RecordBatch:
        kept = {name: pa.array([], frame.schema.field(name).type) for name in self.ids if name in frame.names}
        return self.answered(kept, {name: self.no_logits(name) for name in self.answers})


def _by_length(encoded: Encoded) -> NDArray[np.int64] | None:
    """The order of rows by their number of tokens; None where no part has tokens."""
    lengths = [part.lengths for part in encoded.values() if isinstance(part, Ragged)]
    return np.argsort(np.sum(lengths, axis=0), kind="stable") if lengths else None


def _cut(encoded: Encoded, order: NDArray[np.int64] | None, batch_rows: int) -> Iterator[NDArray[np.int64]]:
    """Rows a batch: at most `batch_rows`, fewer where they have many tokens or pixels, one at least."""
    num_rows = len(next(iter(encoded.values())))
    rows = np.arange(num_rows) if order is None else order
    widest = np.zeros(num_rows, dtype=np.int64)
    for part in encoded.values():
        if isinstance(part, Ragged):
            np.maximum(widest, np.maximum.accumulate(part.lengths[rows]), out=widest)
        elif part.ndim > 2:
            batch_rows = max(1, min(batch_rows, BATCH_PIXELS // max(int(np.prod(part.shape[1:])), 1)))
    start = 0
    while start < num_rows:
        widths = widest[start : start + batch_rows]
        fits = np.arange(1, len(widths) + 1) * widths <= BATCH_TOKENS
        count = max(1, int(fits.argmin()) if not fits.all() else len(widths))
        yield rows[start : start + count]
        start += count


def _padded(part: Array | Ragged, rows: NDArray[np.int64]) -> Array:
    if isinstance(part, Ragged):
        return part.take(rows).pad()
    is_run = len(rows) == rows[-1] - rows[0] + 1 and bool((rows[1:] > rows[:-1]).all())
    return part[rows[0] : rows[-1] + 1] if is_run else part[rows]


def _checked(found: Mapping[str, Array], name: str, num_rows: int) -> Array:
    if name not in found:
        raise BundleError(f"the network must answer '{name}'", listed(found), "Use the bundle's own network")
    logits = np.asarray(found[name])
    if logits.shape[:1] != (num_rows,):
        raise CeibaError(
            f"the network must answer '{name}' for each of {num_rows} rows", f"shape {logits.shape}", "Export it again"
        )
    return logits


def _joined(parts: list[Array]) -> Array:
    """Rows of several batches; where each word has logits, all as wide as the widest, with NO_WORD past a row's end."""
    if parts[0].ndim < 3 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    width = max(part.shape[1] for part in parts)
    wide = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=10 * NO_WORD) for part in parts]
    return np.concatenate(wide)


def _in_order(parts: list[Array], order: NDArray[np.int64] | None) -> Array:
    logits = _joined(parts)
    if order is None:
        return logits
    result = np.empty_like(logits)
    result[order] = logits
    return result


def _empty(frame: Frame, columns: Sequence[str]) -> pa.RecordBatch:
    schema = pa.schema([frame.schema.field(name) for name in columns], frame.schema.metadata)
    return pa.RecordBatch.from_pylist([], schema=schema)
