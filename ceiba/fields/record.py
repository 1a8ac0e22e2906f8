"""All fields of a row together: the one encode of training and serving."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa

from ceiba.base.errors import DataError, RecipeError, nearest
from ceiba.fields.catalog import load_field
from ceiba.fields.field import Array, Encoded, Field, Layout, Ragged, TableLayout

TABLE = "table"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Fields:
    """The fitted fields of a recipe's inputs and outputs.

    `shared` names inputs that use another input's field, `columns` the column of each input that is named otherwise.
    """

    inputs: dict[str, Field]
    outputs: dict[str, Field]
    shared: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, owner in self.shared.items():
            if owner not in self.inputs or owner in self.shared:
                rule = f"input '{name}' must share the field of an input that has its own"
                raise RecipeError(rule, f"'{owner}'", nearest(owner, [known for known in self.inputs if known != name]))
            self.inputs[name] = self.inputs[owner]
        if TABLE in self.inputs and TABLE not in self._table_names:
            raise RecipeError(
                f"an input that is no table column must not be named '{TABLE}'", None, "Rename the column"
            )

    def column(self, name: str) -> str:
        """The column that an input reads."""
        return self.columns.get(name, name)

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that the inputs read, each once."""
        return tuple(dict.fromkeys(map(self.column, self.inputs)))

    @cached_property
    def _table_names(self) -> frozenset[str]:
        return frozenset(name for name, one in self.inputs.items() if isinstance(one.layout(name), TableLayout))

    def encode(self, batch: pa.RecordBatch) -> Encoded:
        """Arrow rows → arrays by part: `table.numbers`, `table.codes`, `NAME.ids`, `NAME.weights`, `NAME.pixels`.

        A part without columns is absent.

        Raises: DataError naming the column that is absent or holds a bad value.
        """
        table: dict[str, list[Array]] = {}
        parts: Encoded = {}
        for name, one in self.inputs.items():
            for part, values in _at(self.column(name), one.encode, batch).items():
                if isinstance(values, Ragged) or name not in self._table_names:
                    parts[f"{name}.{part}"] = values
                else:
                    table.setdefault(part, []).append(values)
        joined: Encoded = {f"{TABLE}.{part}": np.concatenate(columns, axis=1) for part, columns in table.items()}
        return joined | parts

    def targets(self, batch: pa.RecordBatch) -> Encoded:
        """Arrow rows → what the losses compare with, by output.

        Raises: DataError naming the column that is absent or holds a bad value.
        """
        return {name: _at(name, one.target, batch) for name, one in self.outputs.items()}

    def layouts(self) -> dict[str, Layout]:
        """The shape of each group: `table` for all table columns together, and every other input by its name."""
        each = {name: one.layout(name) for name, one in self.inputs.items()}
        table = [layout for layout in each.values() if isinstance(layout, TableLayout)]
        groups: dict[str, Layout] = {TABLE: _side_by_side(table)} if table else {}
        return groups | {name: layout for name, layout in each.items() if not isinstance(layout, TableLayout)}

    def to_json(self) -> dict[str, Any]:
        """Everything learnt, as JSON; `files` holds the rest."""
        own = {name: one.to_json() for name, one in self.inputs.items() if name not in self.shared}
        outputs = {name: one.to_json() for name, one in self.outputs.items()}
        names = {"shared": dict(self.shared), "columns": dict(self.columns)}
        return {"order": list(self.inputs), "inputs": own, "outputs": outputs, **names}

    def files(self) -> dict[str, bytes]:
        """Tokenizers and vocabularies, named `inputs/NAME/FILE`."""
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        return {
            f"{side}/{name}/{file}": data
            for side, fields in sides.items()
            for name, one in fields.items()
            if side == "outputs" or name not in self.shared
            for file, data in one.files().items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """The fields that `to_json` and `files` describe."""
        inputs, outputs = (
            {name: load_field(one, _below(files, f"{side}/{name}/")) for name, one in value[side].items()}
            for side in ("inputs", "outputs")
        )
        shared = dict(value["shared"])
        named = {name: inputs[shared.get(name, name)] for name in value["order"]}
        return cls(named, outputs, shared, dict(value.get("columns", {})))


def _below(files: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    found = {name.removeprefix(folder): data for name, data in files.items() if name.startswith(folder)}
    return {name: data for name, data in found.items() if "/" not in name}


def _at(name: str, step: Callable[[pa.Array], Result], batch: pa.RecordBatch) -> Result:
    """One step on one column; what goes wrong is told with the column's name."""
    if name not in batch.schema.names:
        raise DataError(f"the rows must have a column '{name}'", "none", nearest(name, batch.schema.names))
    try:
        return step(batch.column(name))
    except (DataError, RecipeError) as error:
        raise error.at(f"column '{name}'") from error


def _side_by_side(layouts: list[TableLayout]) -> TableLayout:
    numbers = [name for layout in layouts for name in layout.names[: layout.num_numbers]]
    codes = [name for layout in layouts for name in layout.names[layout.num_numbers :]]
    return TableLayout(
        names=(*numbers, *codes),
        num_numbers=len(numbers),
        cardinalities=tuple(count for layout in layouts for count in layout.cardinalities),
        edges=tuple(edges for layout in layouts for edges in layout.edges),
    )
