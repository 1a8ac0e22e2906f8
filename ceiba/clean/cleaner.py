"""Cleaning applied to batches: the same function before training and before serving."""

from collections.abc import Sequence

import pyarrow as pa

from ceiba.clean.spec import CleanSpec, RowSpec

MARK = b"ceiba.cleaned"


class Cleaner:
    """The column operations of a recipe as one function batch → batch, the same before training and before serving."""

    def __init__(self, operations: Sequence[CleanSpec]):
        self.operations = tuple(operation for operation in operations if not isinstance(operation, RowSpec))
        self.mark = "\n".join(operation.model_dump_json() for operation in self.operations).encode()

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Clean a batch; one that went through these very operations already is given back as it is."""
        if not self.operations or (batch.schema.metadata or {}).get(MARK) == self.mark:
            return batch
        for operation in self.operations:
            batch = operation.apply(batch)
        return batch.replace_schema_metadata({**(batch.schema.metadata or {}), MARK: self.mark})

    def before(self, names: frozenset[str]) -> frozenset[str]:
        """The columns that must be read so that these come out right."""
        for operation in reversed(self.operations):
            names = operation.before(names)
        return names
