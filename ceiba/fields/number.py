"""A number: a price, an age, a temperature."""

import dataclasses
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.fields.bins import Bins, fit_edges
from ceiba.fields.columns import as_encoded, as_numbers, no_values, number_stream
from ceiba.fields.field import Array, Encoded, Field, FieldSpec, Target
from ceiba.fields.sample import Moments, Sample

Normalize = Literal["standard", "minmax", "quantile", "none"]
NUM_KNOTS = 256


def signed_log(values: Array) -> Array:
    """log(1 + x) of the size, with the sign kept, so that it is defined everywhere."""
    return np.sign(values) * np.log1p(np.abs(values))


def signed_exp(values: Array) -> Array:
    """The inverse of `signed_log`."""
    return np.sign(values) * np.expm1(np.abs(values))


def stretched(values: Array, clip: tuple[float, float] | None, log: bool) -> NDArray[np.float64]:
    """Values clipped and with their logarithm taken, before any scaling; 0.0 is added to turn -0 into 0."""
    values = values.astype(np.float64) + 0.0
    values = np.clip(values, *clip) if clip else values
    return signed_log(values) if log else values


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
        scaled = np.where(missing, np.float32(self.fill), self.scaled(self._stretched(values)))
        parts = [scaled, missing.astype(np.float32)] if self.indicator else [scaled]
        return {"numbers": np.stack(parts, axis=1).astype(np.float32)}

    def target(self, column: pa.Array) -> NDArray[np.float32]:
        return as_encoded((self._stretched(as_numbers(column)) - self.mean) / self.std)

    def restore(self, standardized: Array) -> NDArray[np.float64]:
        """Standardized targets → the user's units."""
        values = np.asarray(standardized, dtype=np.float64) * self.std + self.mean
        return signed_exp(values) if self.log else values

    def _stretched(self, values: Array) -> NDArray[np.float64]:
        return stretched(values, self.clip, self.log)

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Stretched values → encoded ones."""
        if self.normalize == "standard":
            values = (values - self.mean) / self.std
        elif self.normalize == "minmax":
            values = (values - self.low) / ((self.high - self.low) or 1.0)
        elif self.normalize == "quantile":
            values = np.interp(values, *self.knots)
        else:
            return values.astype(np.float32)
        return as_encoded(values)

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
        needs_sample = self.bins is not None or self.normalize == "quantile" or self.missing == "median"
        for values in number_stream(column):
            rows += len(values)
            moments.add(self._stretched(values))
            if needs_sample:
                sample.add(values)
        if moments.count == 0:
            raise no_values("must hold a number")
        values = sample.values()
        known = ~np.isnan(values)
        kept = self._stretched(values[known])
        mean, std = moments.settle()
        unbinned = NumberField(
            mean=mean,
            std=std,
            low=moments.low,
            high=moments.high,
            log=self.log,
            clip=self.clip,
            normalize=self.normalize,
            knots=_knots(kept) if self.normalize == "quantile" and len(kept) else ((), ()),
            fill=0.0,
            indicator=moments.count < rows if self.indicator == "auto" else self.indicator,
            edges=(),
        )
        middle = {"mean": mean, "median": float(np.median(kept)) if len(kept) else mean}
        fill = middle.get(self.missing, float(self._stretched(np.zeros(1))[0]))
        edges = fit_edges(self.bins, unbinned.scaled(kept), known, target, seed)
        return dataclasses.replace(unbinned, fill=float(unbinned.scaled(np.array([fill]))[0]), edges=edges)

    def _stretched(self, values: Array) -> NDArray[np.float64]:
        return stretched(values, self.clip, self.log)


def _knots(values: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, and the normal distribution's quantiles at the same levels; equal quantiles share their mean."""
    levels = (np.arange(NUM_KNOTS) + 0.5) / NUM_KNOTS
    normal = np.array([statistics.NormalDist().inv_cdf(level) for level in levels])
    places, group, counts = np.unique(np.quantile(values, levels), return_inverse=True, return_counts=True)
    heights = np.bincount(group, normal) / counts
    return tuple(places.tolist()), tuple(heights.tolist())
