"""Read: files and tables in memory → Frame, a re-readable stream of Arrow record batches.
Takes       a path, a glob pattern, several paths, or a table in memory, and a ReadSpec.   Gives   a Frame.
May touch   base, numpy, pyarrow, Pillow's checks, the standard library.   Never   torch, fields, what a column means.
To add one  write read/<name>.py with a function (path, options) → Frame, add one line to READERS in open.py."""

from ceiba.read.cache import cached_folder
from ceiba.read.content import cache_folder, content_hash
from ceiba.read.frame import Column, Frame
from ceiba.read.images import attach_files
from ceiba.read.lines import are_lines
from ceiba.read.memory import table_digest
from ceiba.read.open import READERS, open_frame
from ceiba.read.spec import ReadSpec

__all__ = [
    "READERS",
    "Column",
    "Frame",
    "ReadSpec",
    "are_lines",
    "attach_files",
    "cache_folder",
    "cached_folder",
    "content_hash",
    "open_frame",
    "table_digest",
]
