"""IDX (the form of MNIST): images and, beside them, their labels."""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ceiba.base.errors import DataError
from ceiba.read.content import content_hash
from ceiba.read.decode import opened
from ceiba.read.frame import Frame, derived
from ceiba.read.spec import ReadSpec
from ceiba.read.spool import Settled, spooled

VERSION = "idx 1"
KINDS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
BATCH_BYTES = 4 << 20
MOST_DIMS = 4
MOST_ROW_VALUES = 1 << 28
NAME = re.compile(r"idx\d", re.IGNORECASE)


@dataclass(frozen=True)
class Idx:
    """The head of an IDX file."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.shape[1:]

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """The values, `rows` rows at a time.

        Raises: DataError if the file holds fewer or more than its head says.
        """
        row_bytes = math.prod(self.row_shape) * self.dtype.itemsize
        with opened(self.path) as file:
            file.read(4 + 4 * len(self.shape))
            for start in range(0, self.shape[0], rows):
                wanted = min(rows, self.shape[0] - start)
                data = file.read(wanted * row_bytes)
                if len(data) < wanted * row_bytes:
                    got = f"{start + len(data) // max(row_bytes, 1)}"
                    raise DataError(f"{self.path} must hold {self.shape[0]} rows", got, "Use a whole copy")
                yield np.frombuffer(data, self.dtype).reshape(wanted, *self.row_shape)
            if file.read(1):
                raise DataError(f"{self.path} must hold {self.shape[0]} rows", "more bytes", "Use an undamaged copy")


def read_idx(path: Path, options: ReadSpec) -> Frame:
    """An IDX file with the one beside it that holds its labels (or its images): columns `image` and `label`.

    Raises: DataError if the head is none, sizes do not agree, or images and labels differ in number.
    """
    here = _head(path)
    partner = _partner(path, len(here.shape) == 1)
    other = _head(partner) if partner else None
    images, labels = (here, other) if len(here.shape) > 1 else (other, here)
    if images and labels and images.shape[0] != labels.shape[0]:
        got = f"{images.shape[0]} in {images.path.name} and {labels.shape[0]} in {labels.path.name}"
        raise DataError("images and labels must be as many", got, "Name files that belong together")
    parts = [part for part in (images, labels) if part]
    identity = derived(content_hash(parts[0].path), VERSION, *(content_hash(part.path) for part in parts[1:]))
    note = () if other else (f"found no file of its {'images' if labels else 'labels'} beside it",)
    return spooled(identity, str(path), lambda target: Settled(_write(images, labels, target), note))


def _head(path: Path) -> Idx:
    with opened(path) as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in KINDS or not 1 <= magic[3] <= MOST_DIMS:
            raise DataError(
                f"{path} must be an IDX file", f"the first bytes {magic.hex(' ')}", "Name another file or format"
            )
        dims = file.read(4 * magic[3])
        if len(dims) < 4 * magic[3]:
            raise DataError(f"{path} must be an IDX file", "an end inside its head", "Use a whole copy")
    head = Idx(path, np.dtype(KINDS[magic[2]]), struct.unpack(f">{magic[3]}I", dims))
    if math.prod(head.row_shape) > MOST_ROW_VALUES:
        raise DataError(f"{path} must be an IDX file", f"the shape {head.shape}", "Use an undamaged copy")
    return head


def _partner(path: Path, has_labels: bool) -> Path | None:
    """The file that differs only in images/labels, its number of dimensions, and how it is packed."""

    def kernel(name: str) -> str:
        return re.sub(r"\.(gz|bz2|xz)$", "", re.sub(r"idx\d", "idx", name.lower()))

    if not re.search("labels|images", path.name):
        return None
    wanted = path.name.replace("labels", "images") if has_labels else path.name.replace("images", "labels")
    same = [file for file in sorted(path.parent.iterdir()) if kernel(file.name) == kernel(wanted) and file != path]
    return same[0] if same else None


def _write(images: Idx | None, labels: Idx | None, target: Path) -> int:
    fields = []
    row_bytes = 1
    if images:
        row_bytes = max(math.prod(images.row_shape), 1)
        kind = pa.list_(pa.from_numpy_dtype(images.dtype.newbyteorder("=")), row_bytes)
        fields.append(pa.field("image", kind, metadata={"shape": ",".join(map(str, _image_shape(images)))}))
    if labels:
        kind = pa.float64() if labels.dtype.kind == "f" else pa.int64()
        fields.append(pa.field("label", kind))
    schema = pa.schema(fields)
    rows = max(1, BATCH_BYTES // row_bytes)
    streams = [part.blocks(rows) for part in (images, labels) if part]
    num_rows = 0
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for blocks in zip(*streams, strict=True):
            arrays = [_array(block, field.type) for block, field in zip(blocks, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            num_rows += len(blocks[0])
    return num_rows


def _image_shape(images: Idx) -> tuple[int, ...]:
    """Height, width, channels; rows of one dimension are kept as they are."""
    return (*images.row_shape, 1) if len(images.row_shape) == 2 else images.row_shape


def _array(block: np.ndarray, kind: pa.DataType) -> pa.Array:
    native = block.astype(block.dtype.newbyteorder("="), copy=False)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(native.reshape(-1)), type=kind)
    return pa.array(native).cast(kind)
