"""Arrow types inside Ceiba are few: what comes in by other types is settled here, once."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ceiba.base.errors import DataError

MOST_ROWS = 65_536
"""Rows of a batch at most, so that one batch of ordinary columns stays small."""


PLAIN = frozenset(
    (pa.int64(), pa.float64(), pa.float32(), pa.string(), pa.bool_(), pa.binary(), pa.null(), pa.date32())
)


def settled_type(type_: pa.DataType) -> pa.DataType:
    """The type inside Ceiba for an Arrow type: dictionaries decoded, views and large forms plain, decimals float64."""
    if type_ in PLAIN:
        return type_
    types = pa.types
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return settled_type(type_.value_type)
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if types.is_large_binary(type_) or types.is_binary_view(type_) or types.is_fixed_size_binary(type_):
        return pa.binary()
    if types.is_decimal(type_):
        return pa.float64()
    if types.is_float16(type_):
        return pa.float32()
    if types.is_date64(type_):
        return pa.date32()
    if types.is_large_list(type_) or types.is_list(type_):
        return pa.list_(settled_type(type_.value_type))
    if types.is_fixed_size_list(type_):
        return pa.list_(settled_type(type_.value_type), type_.list_size)
    if _is_file(type_):
        return pa.binary()
    if isinstance(type_, pa.BaseExtensionType):
        return settled_type(type_.storage_type)
    return type_


def _is_file(type_: pa.DataType) -> bool:
    """The form in which `datasets` stores an image or a sound: its bytes and the path they came from."""
    return pa.types.is_struct(type_) and {field.name for field in type_} == {"bytes", "path"}


def settled_schema(schema: pa.Schema, origin: str) -> pa.Schema:
    """The schema inside Ceiba; metadata of a field is kept, that of pandas and others dropped.

    Raises: DataError for columns of one name.
    """
    names = schema.names
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DataError(f"{origin} must not have two columns of one name", f"'{twice[0]}' twice", "Rename one of them")
    return pa.schema([pa.field(field.name, settled_type(field.type), metadata=field.metadata) for field in schema])


def _settle(column: pa.Array, type_: pa.DataType) -> pa.Array:
    if column.type == type_:
        return column
    if isinstance(column.type, pa.BaseExtensionType):
        return _settle(column.storage, type_)
    if _is_file(column.type):
        return _settle(pc.struct_field(column, "bytes"), type_)
    if pa.types.is_run_end_encoded(column.type):
        return _settle(pc.run_end_decode(column), type_)
    return column.cast(type_)


def settle_batch(batch: pa.RecordBatch, schema: pa.Schema, origin: str) -> pa.RecordBatch:
    """A batch with its columns cast to the types of a settled schema of the same names.

    Raises: DataError with the column's name where a value does not fit.
    """
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        try:
            columns.append(_settle(column, field.type))
        except pa.ArrowException as error:
            problem = str(error).splitlines()[0]
            raise DataError(
                f"{origin} column '{field.name}' must be readable as {field.type}", problem, "Convert the column"
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def settle_batches(batches: Iterator[pa.RecordBatch], schema: pa.Schema, origin: str) -> Iterator[pa.RecordBatch]:
    """Batches settled to a schema, cut to a bounded number of rows, without empty ones."""
    for batch in batches:
        for start in range(0, batch.num_rows, MOST_ROWS):
            yield settle_batch(batch.slice(start, MOST_ROWS), schema, origin)
