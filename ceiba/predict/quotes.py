"""The texts that answers quote."""

import pyarrow as pa

from ceiba.fields import Fields, TokenField
from ceiba.fields.pairs import is_pair, parted


def quoted_texts(fields: Fields, name: str, batch: pa.RecordBatch) -> list[str]:
    """The text of each row that an answer may be a piece of: of a pair its second; missing ones are empty."""
    column, field = batch.column(fields.column(name)), fields.inputs[name]
    assert isinstance(field, TokenField)
    texts: list[str] = field.clean(parted(column)[1] if is_pair(column.type) else column).to_pylist()
    return texts
