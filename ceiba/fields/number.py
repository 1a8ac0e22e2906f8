"""A number: a price, an age, a temperature."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.fields.bins import Bins
from ceiba.fields.columns import as_numbers, no_values, number_stream
from ceiba.fields.field import Array, Encoded, Field, FieldSpec, Target
from ceiba.fields.sample import Moments, Sample, blocks

Normalize = Literal["standard", "minmax", "quantile", "none"]
NUM_KNOTS = 256


def signed_log(values: Array) -> Array:
    """log(1 + x) of the size, with the sign kept, so that it is defined everywhere."""
    return np.sign(values) * np.log1p(np.abs(values))


def signed_exp(values: Array) -> Array:
    """The inverse of `signed_log`."""
    return np.sign(values) * np.expm1(np.abs(values))


@dataclass(frozen=True)
class NumberField(Field):
    """Numbers → float32, and a second column that marks missing ones if training had any."""

    kind: ClassVar[str] = "number"

    mean: float
    std: float
    low: float
    high: float
    log: bool
    clip: tuple[float, float] | None
    normalize: Normalize
    knots: tuple[tuple[float, ...], tuple[float, ...]]
    fill: float
    indicator: bool
    edges: tuple[float, ...]

    def encode(self, column: pa.Array) -> Encoded:
        values = as_numbers(column)
        missing = np.isnan(values)
        scaled = np.where(missing, np.float32(self.fill), self._scaled(self._stretched(values)))
        parts = [scaled, missing.astype(np.float32)] if self.indicator else [scaled]
        return {"numbers": np.stack(parts, axis=1).astype(np.float32)}

    def target(self, column: pa.Array) -> NDArray[np.float32]:
        return ((self._stretched(as_numbers(column)) - self.mean) / self.std).astype(np.float32)

    def restore(self, standardized: Array) -> NDArray[np.float64]:
        """Standardized targets → the user's units."""
        values = np.asarray(standardized, dtype=np.float64) * self.std + self.mean
        return signed_exp(values) if self.log else values

    def _stretched(self, values: Array) -> NDArray[np.float64]:
        """Clipped and with its logarithm taken, before any scaling; 0.0 is added to turn -0 into 0."""
        values = values.astype(np.float64) + 0.0
        values = np.clip(values, *self.clip) if self.clip else values
        return signed_log(values) if self.log else values

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        if self.normalize == "standard":
            values = (values - self.mean) / self.std
        elif self.normalize == "minmax":
            values = (values - self.low) / ((self.high - self.low) or 1.0)
        elif self.normalize == "quantile":
            values = np.interp(values, *self.knots)
        return (values + 0.0).astype(np.float32)

    def number_parts(self) -> tuple[str, ...]:
        return ("", " is missing") if self.indicator else ("",)

    def bin_edges(self) -> tuple[tuple[float, ...], ...]:
        return (self.edges, ()) if self.indicator else (self.edges,)


class NumberSpec(FieldSpec):
    """A column of numbers."""

    field_class: ClassVar[type[Field]] = NumberField

    type: Literal["number"] = "number"
    """The kind of the column."""
    normalize: Normalize = "standard"
    """`standard`: mean 0, deviation 1. `minmax`: 0 to 1. `quantile`: made normal by ranks. `none`: as it is."""
    log: bool = False
    """Take log(1 + x) first, the sign kept; answers are given in the column's own unit again."""
    clip: tuple[float, float] | None = None
    """Lowest and highest value, in the column's unit; what lies outside is moved to the nearer one."""
    missing: Literal["mean", "median", "zero"] = "mean"
    """What stands for a missing input."""
    indicator: bool | Literal["auto"] = "auto"
    """Whether a second column marks missing inputs; `auto`: if training rows miss some."""
    bins: Bins | None = Bins()
    """Pieces of the range, for encoders that use them; null for none."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> NumberField:
        moments, sample, rows = Moments(), Sample(seed=seed), 0
        start = self._field(Moments(), ((), ()), 0.0, False, ())
        for block in blocks(number_stream(column)):
            rows += len(block)
            moments.add(start._stretched(block[~np.isnan(block)]))
            sample.add(block)
        if moments.count == 0:
            raise no_values("must hold a number")
        values = sample.values()
        known = ~np.isnan(values)
        stretched = start._stretched(values[known])
        has_missing = moments.count < rows if self.indicator == "auto" else self.indicator
        field = self._field(
            moments, _knots(stretched) if self.normalize == "quantile" else ((), ()), 0.0, has_missing, ()
        )
        fill = {"mean": moments.mean, "median": float(np.median(stretched)) if len(stretched) else moments.mean}
        middle = np.array([fill.get(self.missing, float(start._stretched(np.zeros(1))[0]))])
        edges = self._edges(field._scaled(stretched), known, target, seed)
        return self._field(moments, field.knots, float(field._scaled(middle)[0]), has_missing, edges)

    def _field(
        self,
        moments: Moments,
        knots: tuple[tuple[float, ...], tuple[float, ...]],
        fill: float,
        indicator: bool,
        edges: tuple[float, ...],
    ) -> NumberField:
        return NumberField(
            mean=moments.mean, std=moments.std, low=moments.low, high=moments.high, log=self.log, clip=self.clip,
            normalize=self.normalize, knots=knots, fill=fill, indicator=indicator, edges=edges,
        )  # fmt: skip

    def _edges(
        self, values: NDArray[np.float32], known: NDArray[np.bool_], target: Target | None, seed: int
    ) -> tuple[float, ...]:
        if self.bins is None:
            return ()
        beside: Array | None = None
        if target is not None and self.bins.by == "target":
            sample = Sample(seed=seed)
            for block in target.values:
                sample.add(np.asarray(block))
            beside = sample.values()
            beside = beside[known] if len(beside) == len(known) else None
        return self.bins.edges(values, beside, target is not None and target.is_class)


def _knots(values: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, and the normal distribution's quantiles at the same levels; equal quantiles share their mean."""
    levels = (np.arange(NUM_KNOTS) + 0.5) / NUM_KNOTS
    normal = np.array([statistics.NormalDist().inv_cdf(level) for level in levels])
    places, group, counts = np.unique(np.quantile(values, levels), return_inverse=True, return_counts=True)
    heights = np.bincount(group, normal) / counts
    return tuple(places.tolist()), tuple(heights.tolist())
