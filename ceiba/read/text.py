"""Delimited text: csv and tsv."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from ceiba.read.content import content_hash
from ceiba.read.frame import Frame
from ceiba.read.memory import table_frame
from ceiba.read.parquet import damaged
from ceiba.read.spec import ReadSpec


def read_csv(path: Path, options: ReadSpec) -> Frame:
    """A csv file as a frame."""
    names = list(options.header) if isinstance(options.header, tuple) else None
    delimiter = options.delimiter or ("\t" if ".tsv" in path.suffixes else ",")
    try:
        table = pyarrow.csv.read_csv(
            path,
            pyarrow.csv.ReadOptions(column_names=names, autogenerate_column_names=options.header is False),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter, quote_char=False if options.quote is False else '"', newlines_in_values=True
            ),
            pyarrow.csv.ConvertOptions(
                strings_can_be_null=True,
                null_values=[
                    "",
                    "NA",
                    "N/A",
                    "NaN",
                    "nan",
                    "null",
                    "NULL",
                    *options.missing,
                    *(" " + word for word in options.missing),
                ],
            ),
        )
    except pa.ArrowInvalid as error:
        raise damaged(path, "a text table", error) from error
    content_hash(path)
    return table_frame(table, path.name)
