"""Open anything that holds a table."""

from collections.abc import Callable
from pathlib import Path

from ceiba.base.errors import DataError, listed, nearest
from ceiba.read.delimited import read_delimited
from ceiba.read.frame import Frame
from ceiba.read.memory import memory_frame
from ceiba.read.parquet import read_arrow, read_parquet
from ceiba.read.spec import ReadSpec

Reader = Callable[[Path, ReadSpec], Frame]

READERS: dict[str, Reader] = {
    "csv": read_delimited, "tsv": read_delimited, "parquet": read_parquet, "arrow": read_arrow, "feather": read_arrow,
}  # fmt: skip
"""Format, which is also the file's suffix → its reader."""

DEFAULTS = ReadSpec()


def open_frame(source: object, options: ReadSpec = DEFAULTS) -> Frame:
    """A table in memory or a file as a Frame.

    Raises: DataError if there is no such file, its format is unknown, or its content breaks a rule.
    """
    table = memory_frame(source)
    if table is not None:
        return table
    path = Path(str(source))
    if not path.exists():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(
            f"{path} must be a file or a folder", "nothing of that name", nearest(path.name, near) if near else None
        )
    words = [word.lstrip(".").lower() for word in path.suffixes if word.lower() != ".gz"]
    name = options.format or (words[-1] if words else "")
    if name not in READERS:
        raise DataError(
            f"{path} must have a known format", f"'{name}'", f"Set data.format to one of: {listed(sorted(READERS))}"
        )
    return READERS[name](path, options)
