"""ReadSpec: how a source is read. Every option has a default that is found from the data, so it may be left out."""

from typing import Literal

from pydantic import Field, field_validator

from ceiba.base.spec import Spec


class ReadSpec(Spec):
    """How to read a file, several files or a table in memory."""

    format: str | None = None
    """Name of the format (csv, parquet, ...); None: told by the file's suffix."""
    header: bool | tuple[str, ...] | None = None
    """Text tables: true = the first row holds the names, false = no header, a list = the names; None: found out."""
    delimiter: str | None = Field(default=None, min_length=1)
    """Text tables: the character between cells; `blank` = runs of spaces and tabs; None: found out."""
    encoding: str | None = None
    """Text: name of the character encoding (utf-8, utf-16, latin-1, ...); None: found out over the whole file."""
    decimal: Literal[".", ","] | None = None
    """Text tables: the decimal mark; None: found out."""
    quote: bool | None = None
    """Text tables: whether \" around a cell quotes it; None: yes, except for tab files whose quotes do not pair."""
    missing: tuple[str, ...] = ()
    """Spellings of a missing value, besides the usual ones (empty, NA, N/A, NaN, null, ...)."""
    keep_usual: bool = False
    """Text tables: true = only `missing` and the empty cell are missing values, and NA, null and the like are text."""
    strip: bool = True
    """Text tables: whether blanks around a cell are removed."""
    ragged: Literal["error", "skip"] = "error"
    """Text tables: what to do with a row that has more or fewer cells than the header; skipped rows are counted."""
    table: str | None = None
    """SQLite: the table to read; None: the only one."""
    query: str | None = None
    """SQLite: a SELECT to read instead of a table."""
    text_column: str = "text"
    """Plain text: the name of its one column."""
    files: str | None = None
    """A folder, zip or tar with the files (images) that cells name."""
    damaged: Literal["error", "skip"] = "error"
    """What to do with a row whose image or other file is damaged or absent; skipped rows are counted."""

    @field_validator("missing", "header", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value
