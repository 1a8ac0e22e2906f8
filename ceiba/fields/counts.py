"""How many rows hold each label, in bounded memory."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MOST_HELD = 2_000_000
MERGE_AT = 200_000


class Counts:
    """Rows a label; where labels are too many to hold, the rarest are forgotten.

    Source: Manku and Motwani 2002, "Approximate frequency counts over data streams", section 4.2 (to forget the rare).
    """

    def __init__(self, most_held: int = MOST_HELD):
        self.most_held = most_held
        self.forgotten = 0
        self._table = pa.table({"label": pa.array([], pa.string()), "rows": pa.array([], pa.int64())})
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0

    def __len__(self) -> int:
        return int(self._settled().num_rows)

    def add(self, places: NDArray[np.int64], labels: pa.Array) -> None:
        """Count a chunk in: for each row a place among `labels`, -1 for none; a null label is not counted."""
        rows = np.bincount(places[places >= 0], minlength=len(labels)).astype(np.int64)
        chunk = pa.table({"label": labels, "rows": pa.array(rows)})
        chunk = chunk.filter(pc.and_(pc.is_valid(chunk["label"]), pc.greater(chunk["rows"], 0)))
        self._waiting.append(chunk)
        self._num_waiting += chunk.num_rows
        if self._num_waiting > MERGE_AT:
            self._settled()

    def _settled(self) -> pa.Table:
        if self._waiting:
            joined = pa.concat_tables([self._table, *self._waiting])
            merged = joined.group_by("label", use_threads=False).aggregate([("rows", "sum")])
            self._table = merged.select(["label", "rows_sum"]).rename_columns(["label", "rows"])
            self._waiting, self._num_waiting = [], 0
            if self._table.num_rows > self.most_held:
                self.forgotten += self._table.num_rows - self.most_held // 2
                self._table = self._first(self.most_held // 2)
        return self._table

    def _first(self, most: int) -> pa.Table:
        return self._table.sort_by([("rows", "descending"), ("label", "ascending")]).slice(0, most)

    def most(self, most: int, min_rows: int = 1) -> tuple[list[str], list[int]]:
        """The most frequent labels with their rows, ties by their characters."""
        self._settled()
        table = self._first(most)
        table = table.filter(pc.greater_equal(table["rows"], min_rows))
        return table["label"].to_pylist(), table["rows"].to_pylist()
