"""Operations on numbers."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from ceiba.base.errors import DataError
from ceiba.clean.spec import CleanSpec, Names


def as_float(column: pa.Array, operation: str, name: str) -> pa.Array:
    try:
        return column.cast(pa.float64())
    except pa.ArrowException as error:
        problem = str(error).splitlines()[0]
        raise DataError(
            f"clean.{operation} needs a column of numbers, '{name}'", problem, "Add the spelling to data.missing"
        ) from error


class Log1pSpec(CleanSpec):
    """The natural logarithm of 1 + value, for counts and amounts."""

    type: Literal["log1p"] = "log1p"
    columns: Names
    """The columns."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        numbers = as_float(column, self.type, name)
        low = pc.min(numbers).as_py()
        if low is not None and low <= -1:
            raise DataError(
                f"clean.log1p needs numbers above -1 in column '{name}'", low, "Clip the column first, or leave it out"
            )
        return pc.log1p(numbers)


class ClipSpec(CleanSpec):
    """Numbers held inside bounds."""

    type: Literal["clip"] = "clip"
    columns: dict[str, tuple[float | None, float | None]]
    """Column → [lowest, highest]; null for no bound."""

    def change(self, column: pa.Array, name: str) -> pa.Array:
        low, high = self.columns[name]
        numbers = as_float(column, self.type, name)
        if low is not None:
            numbers = pc.max_element_wise(numbers, low, skip_nulls=False)
        return numbers if high is None else pc.min_element_wise(numbers, high, skip_nulls=False)
