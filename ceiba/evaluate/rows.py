"""The figure of every row, kept beside a report so that two runs which measured the same rows can be paired."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ceiba.evaluate.gather import Scored
from ceiba.metrics import per_row
from ceiba.read import Frame, table_digest

PAIRED = {
    "binary": "accuracy", "classes": "accuracy", "labels": "subset_accuracy", "number": "squared_error",
    "tags": "accuracy",
    "span": "token_f1",
    "sequence": "chrf",
    "preference": "margin",
    "text": "loss",
}  # fmt: skip
"""Answer kind → the figure that is compared row by row."""
ABOUT = b"ceiba"


class RowScores:
    """Collects one figure a row of every split and output, rows without a truth left out, in the order of the rows."""

    def __init__(self) -> None:
        self.about: dict[str, dict[str, dict[str, str]]] = {}
        self.parts: list[pa.Table] = []

    def add(self, split: str, frame: Frame, scored: Mapping[str, Scored]) -> None:
        """The rows of one split."""
        for name, one in scored.items():
            metric = PAIRED[one.kind]
            values = per_row(one.kind, one.truth, one.scores, metric, one.threshold).astype(np.float32)
            self.about.setdefault(split, {})[name] = {"metric": metric, "truths": hash_of_truths(frame, name)}
            columns: dict[str, Any] = {
                label: pa.DictionaryArray.from_arrays(np.zeros(len(values), np.int32), [text])
                for label, text in (("split", split), ("output", name))
            }
            self.parts.append(pa.table({**columns, "value": values}))

    def to_bytes(self) -> bytes:
        """A Parquet file of columns `split`, `output` and `value`; its schema tells each figure and hash of truths."""
        table = pa.concat_tables(self.parts).unify_dictionaries()
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({ABOUT: json.dumps(self.about)}), sink)
        return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def hash_of_truths(frame: Frame, name: str) -> str:
    """Equal for the same truths in the same order, however they were learnt or cut into batches."""
    return table_digest(frame.select([name]).to_table())[:32]


def read_rows(path: Path) -> dict[tuple[str, str, str, str], NDArray[np.float64]]:
    """(split, output, figure, hash of truths) → its value in every row; nothing where no such file is."""
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    about = json.loads((table.schema.metadata or {}).get(ABOUT, b"{}"))
    split, output = (table[name].combine_chunks().cast(pa.string()) for name in ("split", "output"))
    values = table["value"].to_numpy().astype(np.float64)
    splits, outputs = np.asarray(split), np.asarray(output)
    return {
        (one, name, told["metric"], told["truths"]): values[(splits == one) & (outputs == name)]
        for one, others in about.items()
        for name, told in others.items()
    }
