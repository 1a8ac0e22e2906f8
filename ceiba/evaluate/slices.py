"""Slices: the figures of parts of the rows, so that a model that fails a group cannot hide in the mean."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.evaluate.gather import Scored
from ceiba.metrics import figures
from ceiba.read import Frame

MOST_GROUPS = 12
QUARTILES = 4
RESAMPLES = 100
MISSING = "(missing)"
Groups = list[tuple[str, NDArray[np.int64]]]


def slice_groups(frame: Frame, column: str) -> Groups:
    """(value, rows) of each part: categories as they are, the most frequent first; numbers by quartile.

    Raises: DataError for an unknown column, or one whose values cannot be grouped.
    """
    kind = frame.schema.field(column).type if column in frame.names else None
    if kind is not None and (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"slice column '{column}' must hold categories or numbers", str(kind), "Name another column")
    values = pa.chunked_array(list(frame.column(column)), kind)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        numbers = pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False)
        if len(np.unique(numbers[np.isfinite(numbers)])) > MOST_GROUPS:
            return _quartiles(numbers)
    return _categories(values)


def _quartiles(numbers: NDArray[np.float64]) -> Groups:
    """Parts between quartiles, named by the least and the greatest value in them."""
    known = np.isfinite(numbers)
    inner = np.unique(np.quantile(numbers[known], np.linspace(0, 1, QUARTILES + 1)[1:-1]))
    part = np.searchsorted(inner, numbers, side="left")
    groups: Groups = []
    for place in range(len(inner) + 1):
        rows = np.flatnonzero(known & (part == place))
        if len(rows):
            groups.append((f"{numbers[rows].min():.4g} to {numbers[rows].max():.4g}", rows))
    return groups + _rest(MISSING, np.flatnonzero(~known))


def _categories(values: pa.ChunkedArray) -> Groups:
    """Parts by value; what is beyond the most frequent ones is one part."""
    coded = pc.cast(values, pa.string()).combine_chunks().dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    names = coded.dictionary.to_pylist()
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    groups: Groups = [(names[place], np.flatnonzero(codes == place)) for place in order[:MOST_GROUPS]]
    others = f"({len(names) - MOST_GROUPS} other values)"
    return (
        groups
        + _rest(others, np.flatnonzero(np.isin(codes, order[MOST_GROUPS:])))
        + _rest(MISSING, np.flatnonzero(codes < 0))
    )


def _rest(name: str, rows: NDArray[np.int64]) -> Groups:
    return [(name, rows)] if len(rows) else []


def slice_section(scored: Scored, groups: Groups, seed: int) -> list[dict[str, Any]]:
    """Value, measured rows and figures of each part."""
    section = []
    for value, rows in groups:
        part = scored.take(rows).known()
        table = figures(
            part.kind, part.truth, part.scores, part.threshold, seed=seed, resamples=RESAMPLES, labels=part.labels
        )
        section.append({"value": value, "rows": len(part.truth), "metrics": table})
    return section
