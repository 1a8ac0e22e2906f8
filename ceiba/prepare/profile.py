"""What a table holds and what is wrong with it, before anything is learnt from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ceiba.prepare.cautions import Caution, across, duplicates, leakage, of_column, shown
from ceiba.prepare.kinds import LEFT_OUT, infer_kinds
from ceiba.prepare.leaks import sample_table
from ceiba.prepare.show import profile_html, profile_text
from ceiba.prepare.summary import Summary, is_number, summarize
from ceiba.read import Frame, are_lines, open_frame

NUM_BINS = 20
NUM_TOP = 10
NUM_SAMPLES = 5
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class ColumnProfile:
    """What one column holds; what its kind does not have is left empty."""

    name: str
    kind: str
    role: str
    """input, target, or left out."""
    type: str
    missing: int
    distinct: int
    is_exact: bool
    low: float | str | None = None
    high: float | str | None = None
    mean: float | None = None
    std: float | None = None
    quantiles: dict[str, float] = field(default_factory=dict)
    histogram: dict[str, list[float]] | None = None
    """{"edges", "counts"}"""
    top: list[tuple[str, int]] = field(default_factory=list)
    words: float | None = None
    characters: float | None = None


@dataclass(frozen=True)
class Profile:
    """A table's columns, its warnings, some of its rows."""

    origin: str
    rows: dict[str, int]
    """Part → number of rows."""
    targets: tuple[str, ...]
    columns: tuple[ColumnProfile, ...]
    warnings: tuple[Caution, ...]
    notes: tuple[str, ...]
    samples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, str]:
        """Column → kind."""
        return {column.name: column.kind for column in self.columns}

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def to_text(self) -> str:
        """A table for a terminal."""
        return profile_text(self.to_json())

    def _repr_html_(self) -> str:
        return profile_html(self.to_json())


def profile(
    source: object,
    target: str | Sequence[str] = (),
    others: Mapping[str, Frame] | None = None,
    texts: Sequence[str] = (),
) -> Profile:
    """Profile a frame, or whatever `open_frame` opens; `others` are more parts of it by name, such as its test, and
    `texts` the targets that are texts, not labels.

    Three passes over the rows at most; memory is bounded.

    Raises: DataError for a target that is no column, and for what cannot be read.
    """
    frame = source if isinstance(source, Frame) else open_frame(source)
    targets = (target,) if isinstance(target, str) else tuple(target)
    summaries = summarize(frame)
    kinds, left_out = infer_kinds(frame, targets, summaries)
    kinds |= dict.fromkeys(texts, "text")
    sampled = tuple(name for name, kind in kinds.items() if kind != "text" and _is_plain(frame.schema.field(name)))
    sample = sample_table(frame, sampled)
    histograms = _histograms(frame, summaries)
    columns = tuple(
        _column(summary, kinds[name], targets, sample, histograms.get(name)) for name, summary in summaries.items()
    )
    parts = {"train": frame, **(others or {})}
    is_one_text = any(are_lines(frame, name) for name in frame.names)  # whose lines may well recur
    warnings = [
        *leakage(sample, kinds, targets),
        *([] if is_one_text else duplicates(parts, kinds, targets)),
        *(warning for summary in summaries.values() for warning in of_column(summary, kinds, targets)),
        *across(parts, summaries, kinds, targets),
        *(Caution("left out", text) for text in left_out),
    ]
    return Profile(
        origin=frame.origin,
        rows={name: part.num_rows for name, part in parts.items()},
        targets=targets,
        columns=columns,
        warnings=tuple(warnings),
        notes=frame.notes,
        samples=[{name: shown(value) for name, value in row.items()} for row in frame.head(NUM_SAMPLES).to_pylist()],
    )


def _is_plain(one: pa.Field) -> bool:
    return not (pa.types.is_nested(one.type) or pa.types.is_binary(one.type))


def _histograms(frame: Frame, summaries: Mapping[str, Summary]) -> dict[str, dict[str, list[float]]]:
    """Counts over bins of equal width between the lowest and the highest value, for every column of numbers."""
    ranges = {
        name: (summary.low, summary.high)
        for name, summary in summaries.items()
        if is_number(summary.type) and summary.low is not None and summary.high is not None
    }
    counts = {name: np.zeros(NUM_BINS, dtype=np.int64) for name in ranges}
    for batch in frame.batches(tuple(ranges)) if ranges else ():
        for name, (low, high) in ranges.items():
            values = batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
            finite = values[np.isfinite(values)]
            counts[name] += np.histogram(finite, NUM_BINS, (low, high if high > low else low + 1.0))[0]
    return {
        name: {
            "edges": np.linspace(low, high if high > low else low + 1.0, NUM_BINS + 1).tolist(),
            "counts": counts[name].astype(float).tolist(),
        }
        for name, (low, high) in ranges.items()
    }


def _column(
    summary: Summary, kind: str, targets: Sequence[str], sample: pa.Table, histogram: dict[str, list[float]] | None
) -> ColumnProfile:
    role = "target" if summary.name in targets else "left out" if kind == LEFT_OUT else "input"
    quantiles = {}
    if histogram is not None and summary.name in sample.schema.names:
        values = sample[summary.name].cast(pa.float64()).drop_null().to_numpy()
        finite = values[np.isfinite(values)]
        if len(finite):
            quantiles = {str(level): float(one) for level, one in zip(LEVELS, np.quantile(finite, LEVELS), strict=True)}
    is_text = pa.types.is_string(summary.type)
    return ColumnProfile(
        name=summary.name,
        kind=kind,
        role=role,
        type=str(summary.type),
        missing=summary.missing,
        distinct=summary.distinct,
        is_exact=summary.is_exact,
        low=summary.first if summary.low is None else summary.low,
        high=summary.last if summary.high is None else summary.high,
        mean=summary.mean,
        std=summary.std,
        quantiles=quantiles,
        histogram=histogram,
        top=[(str(shown(value)), count) for value, count in summary.top(NUM_TOP)],
        words=summary.words if is_text else None,
        characters=summary.characters if is_text else None,
    )
