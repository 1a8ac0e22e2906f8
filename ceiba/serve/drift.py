"""How far what is asked lies from what was learnt: the population stability index of each column.

    PSI = Σ (asked - learnt) · ln(asked / learnt)    over the shares of the bins

Below 0.1 is little, above 0.25 is much. Source: Siddiqi 2006, "Credit Risk Scorecards", chapter 7.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

LEAST_ROWS = 200
"""Before so many rows were seen there is no score."""
EVERY_S = 0.05
"""At most so often a batch is looked at, so that looking costs little."""
HALF_LIFE_ROWS = 20_000
"""The past counts half after so many rows."""
LEAST_SHARE = 1e-4
MOST_LABELS = 10


class Drift:
    """The columns of one version that the training profile describes."""

    def __init__(self, profile: Mapping[str, Any] | None):
        """`profile` is the report's part about data."""
        self.numbers: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self.labels: dict[str, tuple[list[str], NDArray[np.float64]]] = {}
        for column in (profile or {}).get("columns", []):
            self._learn(column)
        self.learnt = {name: learnt for name, (_, learnt) in (*self.numbers.items(), *self.labels.items())}
        self.seen = {name: np.zeros(len(shares)) for name, shares in self.learnt.items()}
        self.next = 0.0

    def _learn(self, column: Mapping[str, Any]) -> None:
        if column.get("role") != "input":
            return
        histogram, top = column.get("histogram"), column.get("top") or []
        if column.get("kind") == "number" and histogram and sum(histogram["counts"]):
            edges = np.array(histogram["edges"][1:-1], np.float64)
            self.numbers[column["name"]] = edges, _shares(np.array(histogram["counts"], np.float64))
        elif column.get("kind") in ("category", "binary") and top:
            labels = [str(label) for label, _ in top[:MOST_LABELS]]
            rows = [float(count) for _, count in top[:MOST_LABELS]]
            known = sum(float(count) for _, count in top)
            rest = max(known - sum(rows), 0.0)
            self.labels[column["name"]] = labels, _shares(np.array([*rows, rest]))

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch in, if it is time to look again."""
        now = time.monotonic()
        if now < self.next or not self.seen:
            return
        self.next = now + EVERY_S
        fade = 0.5 ** (batch.num_rows / HALF_LIFE_ROWS)
        for name in batch.schema.names:
            if name in self.numbers:
                values = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
                places = np.searchsorted(self.numbers[name][0], values[~np.isnan(values)], side="right")
                counts = np.bincount(places, minlength=len(self.seen[name])).astype(np.float64)
            elif name in self.labels and pa.types.is_string(batch.schema.field(name).type):
                labels, _ = self.labels[name]
                found = Counter(pc.utf8_trim_whitespace(batch.column(name)).to_pylist())
                found.pop(None, None)
                known = [float(found.pop(label, 0)) for label in labels]
                counts = np.array([*known, float(sum(found.values()))])
            else:
                continue
            self.seen[name] = fade * self.seen[name] + counts

    def scores(self) -> dict[str, float]:
        """Column → its index, for the columns of which enough was seen."""
        enough = {name: counts for name, counts in self.seen.items() if counts.sum() >= LEAST_ROWS}
        return {name: stability(self.learnt[name], _shares(counts)) for name, counts in enough.items()}


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    total: float = counts.sum() or 1.0
    return np.maximum(counts / total, LEAST_SHARE)


def stability(learnt: NDArray[np.float64], asked: NDArray[np.float64]) -> float:
    """The population stability index of two lists of shares."""
    return float(((asked - learnt) * np.log(asked / learnt)).sum())
