"""A vector: a fixed number of numbers in one column."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ceiba.base.errors import DataError
from ceiba.fields.columns import MISSING_TEXT, as_encoded, as_numbers, no_values, plain
from ceiba.fields.field import Encoded, Field, FieldSpec, Target
from ceiba.fields.sample import Moments


def as_matrix(column: pa.Array, width: int | None, start: int | None = None) -> NDArray[np.float32]:
    """Lists, or text of numbers between blanks, commas and brackets → rows × width, NaN where missing.

    Raises: DataError for a row of another width.
    """
    array = plain(column)
    if pa.types.is_string(array.type):
        text = pc.utf8_trim_whitespace(pc.replace_substring_regex(array, r"[\s,;\[\]()]+", " "))
        text = pc.if_else(pc.is_in(text, pa.array(MISSING_TEXT)), pa.scalar(None, pa.string()), text)
        array = pc.split_pattern(text, pattern=" ")
    if pa.types.is_null(array.type):
        return np.full((len(array), width or 0), np.nan, np.float32)
    if not (
        pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type)
    ):
        raise DataError("must hold lists of numbers", f"the Arrow type {array.type}", "Name another type for it")
    lengths = pc.list_value_length(array)
    known = lengths.is_valid().to_numpy(zero_copy_only=False)
    counts = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    width = int(counts[known][0]) if width is None and known.any() else width or 0
    if (wrong := known & (counts != width)).any():
        row = int(wrong.argmax())
        place = "" if start is None else f" in row {start + row + 1}"
        do = "Mend the row, or name another type for the column"
        raise DataError(f"must hold {width} numbers in each row", f"{counts[row]}{place}", do)
    matrix = np.full((len(array), width), np.nan, np.float32)
    matrix[known] = as_numbers(pc.list_flatten(array)).reshape(-1, width) if width else 0
    return matrix


@dataclass(frozen=True)
class VectorField(Field):
    """Vectors → float32 columns, each standardized by itself."""

    kind: ClassVar[str] = "vector"

    means: tuple[float, ...]
    stds: tuple[float, ...]
    indicator: bool

    def encode(self, column: pa.Array) -> Encoded:
        matrix = as_matrix(column, len(self.means))
        scaled = (matrix.astype(np.float64) - np.array(self.means)) / np.array(self.stds)
        parts: list[NDArray[Any]] = [as_encoded(np.where(np.isnan(scaled), 0.0, scaled))]
        if self.indicator:
            parts.append(np.asarray(np.isnan(matrix).any(axis=1, keepdims=True)))
        return {"numbers": np.concatenate(parts, axis=1).astype(np.float32)}

    def number_parts(self) -> tuple[str, ...]:
        names = [f" {place}" for place in range(len(self.means))]
        return (*names, *[" is missing"] * self.indicator)


class VectorSpec(FieldSpec):
    """A column of vectors."""

    field_class: ClassVar[type[Field]] = VectorField

    type: Literal["vector"] = "vector"
    """The kind of the column."""
    width: int | None = None
    """Numbers in each row; null: as many as the first training row has."""
    normalize: Literal["standard", "none"] = "standard"
    """`standard`: each component has mean 0 and deviation 1. `none`: as it is."""
    indicator: bool | Literal["auto"] = "auto"
    """Whether a column marks missing rows; `auto`: if training rows miss some."""

    def fit(self, column: Iterable[pa.Array], target: Target | None = None, seed: int = 0) -> VectorField:
        width, start, any_missing, moments = self.width, 0, False, [Moments() for _ in range(self.width or 0)]
        empty = 0
        for chunk in column:
            matrix = as_matrix(chunk, width, start)
            start += len(chunk)
            if width is None and matrix.shape[1] == 0:
                empty += len(chunk)
                continue
            width, moments = matrix.shape[1], moments or [Moments() for _ in range(matrix.shape[1])]
            any_missing = any_missing or bool(np.isnan(matrix).any())
            for place, one in enumerate(moments):
                one.add(matrix[:, place].astype(np.float64))
        if not any(one.count for one in moments):
            raise no_values("must hold a vector")
        settled = [one.settle() if self.normalize == "standard" else (0.0, 1.0) for one in moments]
        return VectorField(
            means=tuple(mean for mean, _ in settled),
            stds=tuple(std for _, std in settled),
            indicator=(any_missing or empty > 0) if self.indicator == "auto" else self.indicator,
        )
