"""Answers into a file, a window at a time, all or nothing."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ceiba.base.errors import InputError, nearest
from ceiba.base.files import write_stream
from ceiba.predict.predictor import Answering, Predictor
from ceiba.read import open_frame

LIST_MARK = ";"
"""What stands between the labels of one answer in a text table."""

Writer = Callable[[Path, pa.Schema, Iterator[pa.RecordBatch]], None]


def predict_file(
    predictor: Predictor, source: object, out: Path, keep: Sequence[str] = (), by: Answering | None = None
) -> int:
    """Answer every row of a source into a file whose suffix tells its format; the number of rows.

    `by` answers elsewhere, as in `Predictor.stream`.

    Raises: InputError for a suffix that no writer knows; DataError as `Predictor.stream` does.
    """
    suffix = Path(out).suffix.removeprefix(".").lower()
    if suffix not in WRITERS:
        raise InputError(f"{out} must have the suffix of a known format", f"'.{suffix}'", nearest(suffix, WRITERS))
    frame = open_frame(source, predictor.reading)
    answers = predictor.stream(frame, keep, by)
    first = next(answers, None)
    schema = predictor.predict(frame).schema if first is None else first.schema
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        batch = first
        while batch is not None:
            rows += batch.num_rows
            yield batch
            batch = next(answers, None)

    with write_stream(Path(out)) as temporary:
        WRITERS[suffix](temporary, schema, counted())
    return rows


def _write_csv(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch], delimiter: str = ",") -> None:
    options = pa_csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    flat = pa.schema(
        [pa.field(field.name, pa.string() if pa.types.is_nested(field.type) else field.type) for field in schema]
    )
    with pa_csv.CSVWriter(str(path), flat, write_options=options) as writer:
        for batch in batches:
            columns = [unnested(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))


def unnested(column: pa.Array) -> pa.Array:
    """A list as one text, since a text table has no lists; one of structures as JSON."""
    if not pa.types.is_nested(column.type):
        return column
    if pa.types.is_list(column.type) and pa.types.is_struct(column.type.value_type):
        return pa.array([json.dumps(value, ensure_ascii=False) for value in column.to_pylist()], pa.string())
    return pc.binary_join(column.cast(pa.list_(pa.string())), LIST_MARK)


def _write_tsv(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    _write_csv(path, schema, batches, "\t")


def _write_jsonl(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for batch in batches:
            file.writelines(json.dumps(row, ensure_ascii=False, default=_plain) + "\n" for row in batch.to_pylist())


def _plain(value: Any) -> str:
    """What JSON has no form for: dates and times as ISO text."""
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _write_parquet(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_arrow(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


WRITERS: dict[str, Writer] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
    "feather": _write_arrow,
}
"""Suffix → writer."""
