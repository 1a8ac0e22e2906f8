"""Open anything that holds a table."""

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from ceiba.base.errors import DataError, listed, nearest
from ceiba.read.beside import side_by_side
from ceiba.read.cache import cached_folder
from ceiba.read.conll import read_conll
from ceiba.read.decode import OPENERS
from ceiba.read.delimited import read_delimited
from ceiba.read.files import Files, open_files
from ceiba.read.frame import Frame, derived
from ceiba.read.idx import read_idx
from ceiba.read.images import attach_files, image_names, images_frame
from ceiba.read.json_rows import read_json, read_jsonl
from ceiba.read.kinds import text_array
from ceiba.read.lines import read_text
from ceiba.read.memory import memory_frame
from ceiba.read.parquet import read_arrow, read_parquet
from ceiba.read.several import concatenate
from ceiba.read.spec import ReadSpec
from ceiba.read.sqlite import read_sqlite
from ceiba.read.wiki import read_wiki

Reader = Callable[[Path, ReadSpec], Frame]

DEFAULTS = ReadSpec()
LONGEST_SHOWN = 80
IDX_NAME = re.compile(r"idx\d")
PACKED_TARS = {".tgz", ".tbz2", ".txz"}
TEXT_FORMATS = {"csv", "tsv", "tab", "data", "dat", "txt"}
"""Formats whose reader knows data.missing; in the others its spellings are sought among text cells."""


def read_archive(path: Path, options: ReadSpec) -> Frame:
    """A zip or tar: its images, a folder for each class, or else the one table file in it.

    Raises: DataError if it holds neither, or breaks a rule.
    """
    files = open_files(path)
    if image_names(files):
        return images_frame(files)
    tables = [name for name in files.sizes if format_of(PurePosixPath(name)) in READERS]
    if len(tables) != 1:
        got = f"{listed(tables or files.sizes) or 'no files'}"
        raise DataError(f"{path} must hold images or one table", got, "Unpack it and name the files to read")
    inner = cached_folder(
        "members", derived(files.identity, tables[0]), lambda folder: _unpack(files, tables[0], folder)
    )
    file = inner / PurePosixPath(tables[0]).name
    shown = f"{path}:{tables[0]}"
    try:
        frame = READERS[format_of(file)](file, options)
    except DataError as error:
        raise DataError(error.rule.replace(str(file), shown), error.got, error.do) from error
    return replace(frame, origin=shown, notes=tuple(note.replace(str(file), shown) for note in frame.notes))


def _unpack(files: Files, name: str, folder: Path) -> None:
    with files.reader() as get:
        (folder / PurePosixPath(name).name).write_bytes(get(name))


def read_folder(path: Path, options: ReadSpec) -> Frame:
    """A folder: its images, a folder for each class, or else its table files, which are parts of one table.

    Raises: DataError if it holds neither, or tables of several formats.
    """
    files = open_files(path)
    if image_names(files):
        return images_frame(files)
    formats = {name: format_of(PurePosixPath(name)) for name in files.sizes}
    tables = [name for name, found in formats.items() if found in READERS]
    if not tables or len({formats[name] for name in tables}) > 1:
        got = listed(tables or files.sizes) or "no files"
        raise DataError(f"{path} must hold images, or tables of one format", got, "Name the file to read")
    return concatenate([_open_path(path / name, options) for name in tables])


READERS: dict[str, Reader] = {
    "csv": read_delimited, "tsv": read_delimited, "tab": read_delimited, "data": read_delimited, "dat": read_delimited,
    "txt": read_text, "text": read_text,
    "conll": read_conll, "bio": read_conll, "xml": read_wiki, "wiki": read_wiki,
    "json": read_json, "jsonl": read_jsonl, "ndjson": read_jsonl,
    "parquet": read_parquet, "pq": read_parquet,
    "arrow": read_arrow, "feather": read_arrow, "ipc": read_arrow,
    "sqlite": read_sqlite, "sqlite3": read_sqlite, "db": read_sqlite,
    "idx": read_idx,
    "zip": read_archive, "tar": read_archive,
}  # fmt: skip
"""Format, which is also the file's suffix → its reader."""


def format_of(path: PurePosixPath | Path) -> str:
    """The format that a file's name tells: its suffix before that of its packing, in lower case; '' if it has none."""
    name = PurePosixPath(path.name.lower())
    if name.suffix in PACKED_TARS:
        return "tar"
    if name.suffix in OPENERS:
        name = PurePosixPath(name.stem)
    return "idx" if IDX_NAME.search(str(name)) else name.suffix.lstrip(".")


def open_frame(source: object, options: ReadSpec = DEFAULTS) -> Frame:
    """A table in memory, a file, a folder, a glob pattern, a list of files, or {column: file of its lines} as a Frame.

    Raises: DataError if there is no such file, its format is unknown, or its content breaks a rule.
    """
    if isinstance(source, Mapping) and source and all(map(_names_a_file, source.values())):
        return side_by_side({str(name): _lines_of(str(name), Path(one), options) for name, one in source.items()})
    frame = memory_frame(source)
    if frame is None:
        paths = _paths(source)
        frame = concatenate([_open_path(path, options) for path in paths])
        if options.files is not None:
            frame = attach_files(frame, None, _beside(paths[0], options.files), options.damaged)
        if all(_format(path, options) in TEXT_FORMATS for path in paths):
            return frame
    return without_spellings(frame, options.missing, options.strip)


def _names_a_file(value: object) -> bool:
    """Whether a value is the path of a file, there or not, and no cell of a table."""
    if isinstance(value, os.PathLike):
        return True
    return isinstance(value, str) and ("." in value or os.sep in value or _exists(Path(value)))


def _lines_of(name: str, path: Path, options: ReadSpec) -> Frame:
    told = {"format": options.format or "txt", "text_column": name}
    return _open_path(path, options.model_copy(update=told))


def _format(path: Path, options: ReadSpec) -> str:
    return options.format or format_of(path)


def _paths(source: object) -> list[Path]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if _exists(path) or not glob.has_magic(str(path)):
            return [path]
        found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not found:
            raise DataError(f"{path} must match a file", "none", "Correct the pattern")
        return found
    if isinstance(source, Sequence) and source and all(isinstance(item, str | os.PathLike) for item in source):
        return [path for item in source for path in _paths(item)]
    got = f"a {type(source).__name__}"
    raise DataError("data must be a path, a list of paths or a table", got, "Give a file, a frame or a list of rows")


def _exists(path: Path) -> bool:
    try:
        if "\0" in str(path):
            raise ValueError("a null byte")
        return path.exists()
    except (OSError, ValueError) as error:
        got = f"{str(path)[:LONGEST_SHOWN]!r}, {getattr(error, 'strerror', None) or error}"
        raise DataError("data must be a path, a list of paths or a table", got, "Correct the path") from error


def _open_path(path: Path, options: ReadSpec) -> Frame:
    if path.is_dir() and options.format is None:
        return read_folder(path, options)
    if not _exists(path):
        raise _absent(path)
    if not path.is_file():
        raise DataError(f"{path} must be a plain file", "a folder or a device", "Name a file")
    name = _format(path, options)
    if name not in READERS:
        got = f"'{name}'" if name else "a name without a suffix"
        raise DataError(f"{path} must have a known format", got, f"Set data.format to one of {', '.join(READERS)}")
    return READERS[name](path, options)


def _absent(path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"{path} must be a file or a folder", f"no folder {folder}", "Correct the path")
    near = [entry.name for entry in folder.iterdir()]
    do = nearest(path.name, near) if near else "Correct the path"
    return DataError(f"{path} must be a file or a folder", "nothing of that name", do)


def _beside(table: Path, files: str) -> Path:
    """A path as it is, or beside the table where there is none."""
    beside = table.parent / files
    return beside if not Path(files).exists() and beside.exists() else Path(files)


def without_spellings(frame: Frame, missing: Sequence[str], strip: bool) -> Frame:
    """The frame with null where a text cell is one of the spellings of a missing value."""
    texts = [field.name for field in frame.schema if pa.types.is_string(field.type)]
    if not missing or not texts:
        return frame
    spellings = text_array(tuple(missing))

    def source(columns: tuple[str, ...] | None) -> Iterator[pa.RecordBatch]:
        for batch in frame.batches(columns):
            for place, column in enumerate(batch.columns):
                if pa.types.is_string(column.type):
                    plain = pc.utf8_trim_whitespace(column) if strip else column
                    nulled = pc.replace_with_mask(column, pc.is_in(plain, spellings), pa.nulls(1, pa.string()))
                    batch = batch.set_column(place, batch.schema.field(place), nulled)
            yield batch

    return replace(frame, identity=derived(frame.identity, "missing", *missing, str(strip)), source=source)
