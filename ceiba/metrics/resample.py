"""Bootstrap intervals, vectorized: every resample is a row of Poisson weights, every metric a function of weights.

One function gives both the figure (weights of one) and its resamples, so the two cannot disagree. Memory is bounded by
chunks, time by a subsample whose interval is narrowed to the full number of rows.
Source: Hanley & MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson frequencies";
Bickel, Götze & van Zwet 1997, "Resampling fewer than n observations", section 1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import exp, factorial, isfinite, nan, sqrt
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ceiba.base.keys import generator
from ceiba.metrics.catalog import METRICS

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054
MOST_ROWS = 50_000
CHUNK_WEIGHTS = 1_000_000
MOST_COUNT = 12
STEPS = 1 << 16

Array = NDArray[Any]
Measure = Callable[[Array], dict[str, Array]]
"""Row weights (resample, row) → {metric: (resample,)}, NaN where a resample leaves a metric undefined."""


Rows = NDArray[np.int64] | slice
"""Which rows: some by their positions, or all."""


class Figure(TypedDict):
    """A metric's value and the ends of its interval."""

    value: float
    low: float
    high: float


def _poisson_table() -> NDArray[np.float32]:
    cumulative = np.cumsum([exp(-1) / factorial(count) for count in range(MOST_COUNT)])
    return np.searchsorted(cumulative, (np.arange(STEPS) + 0.5) / STEPS).astype(np.float32)


POISSON = _poisson_table()
"""A uniform 16-bit word → a Poisson count of mean one: one look-up in place of a sampler's rejections."""


def draw_weights(rows: int, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Poisson weights (resample, row) in chunks of bounded size."""
    random = generator(seed, "bootstrap")
    step = max(1, min(resamples, CHUNK_WEIGHTS // max(rows, 1)))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        words = random.integers(0, STEPS, size=(count, rows), dtype=np.uint16)
        yield POISSON[words]


def subsample(rows: int, most_rows: int, seed: int) -> NDArray[np.int64]:
    """The rows that are resampled: all of them, or a keyed choice of the most that time allows."""
    if rows <= most_rows:
        return np.arange(rows)
    return np.sort(generator(seed, "bootstrap rows").choice(rows, most_rows, replace=False))


def bootstrap(
    build: Callable[[Rows, bool], Measure],
    rows: int,
    weights: Array | None,
    seed: int,
    resamples: int,
    most_rows: int = MOST_ROWS,
) -> dict[str, Figure]:
    """Figures with intervals, undefined ones left out. `build(rows, exact)` prepares the measure of some rows."""
    if rows == 0:
        return {}
    whole = np.ones(rows) if weights is None else np.asarray(weights, dtype=np.float64)
    values = {name: float(value[0]) for name, value in build(slice(None), True)(whole[None]).items()}
    values = {name: value for name, value in values.items() if isfinite(value)}
    chosen = subsample(rows, most_rows, seed)
    measure, own = build(chosen, False), whole[chosen].astype(np.float32)
    parts = [measure(drawn * own) for drawn in draw_weights(len(chosen), resamples, seed)]
    scale = sqrt(len(chosen) / rows)
    effective = float(whole.sum() ** 2 / max((whole**2).sum(), np.finfo(float).tiny))
    return {
        name: interval(
            name, value, np.concatenate([part[name] for part in parts]) if parts else np.empty(0), scale, effective
        )
        for name, value in values.items()
    }


def interval(name: str, value: float, draws: Array, scale: float, effective_rows: float) -> Figure:
    """The percentile interval of the resamples, moved onto the value measured: their bias is no part of it.

    Where no resample differs (all right, all wrong), a share of rows takes Wilson's interval instead of a point.
    """
    draws = draws[np.isfinite(draws)].astype(np.float64)
    metric = METRICS[name]
    if len(draws) == 0:
        return {"value": value, "low": value, "high": value}
    if np.ptp(draws) == 0 and name in ROW_SHARES:
        low, high = wilson(value, effective_rows)
    else:
        tail = (1 - CONFIDENCE) / 2
        ends = value + scale * (np.quantile(draws, [tail, 1 - tail]) - draws.mean())
        low, high = float(ends[0]), float(ends[1])
    return {"value": value, "low": max(min(low, value), metric.low), "high": min(max(high, value), metric.high)}


ROW_SHARES = ("accuracy", "subset_accuracy", "top_5_accuracy")
"""Metrics that are a plain share of the rows."""


def wilson(share: float, rows: float) -> tuple[float, float]:
    """The score interval of a share. Source: Wilson 1927, "Probable inference, the law of succession", equation 4."""
    if rows <= 0:
        return nan, nan
    square = NORMAL_QUANTILE**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = NORMAL_QUANTILE / (1 + square / rows) * sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Cells:
    """Rows sorted so that those of equal code lie together."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    codes: NDArray[np.int64]
    size: int

    def sums(self, weights: Array) -> Array:
        """Weight of the rows of each code: (resample, code)."""
        result = np.zeros((len(weights), self.size))
        result[:, self.codes] = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return result


def group(codes: NDArray[np.int64], size: int) -> Cells:
    """Cells of the rows by their code from 0 to size - 1."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1])
    return Cells(order, starts, ordered[starts], size)


def ratio(above: Array, below: Array, empty: float = nan) -> Array:
    """Elementwise quotient; `empty` where the denominator is zero."""
    defined = below > 0
    return np.where(defined, above / np.where(defined, below, 1), empty)
