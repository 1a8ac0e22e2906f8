"""Slices: bounded in memory, and the one row that cannot be encoded."""

import io

import pyarrow as pa
import pytest
from PIL import Image

from ceiba.base.errors import DataError
from ceiba.fields import Fields, ImageSpec, NumberSpec
from ceiba.fields.slices import first_bad_row, slice_rows, sliced

NUMBER = NumberSpec(bins=None, indicator=False).fit([pa.array([1.0, 2.0])])


def test_rows_by_what_they_take() -> None:
    numbers = Fields({f"n{place}": NUMBER for place in range(10)}, {})
    assert slice_rows(numbers, 4100) == 100
    pixels = pa.FixedSizeListArray.from_arrays(pa.array(list(range(24)), pa.uint8()), 12)
    image = ImageSpec(size=(2, 2)).fit([_files(pixels)])
    assert slice_rows(Fields({"image": image}, {}), 1300) == 100
    assert slice_rows(Fields({"image": image}, {}), 1) == 1


def _files(pixels: pa.Array) -> pa.Array:
    """The rows as PNG files."""
    files = []
    for row in pixels.to_pylist():
        file = io.BytesIO()
        Image.frombytes("RGB", (2, 2), bytes(row)).save(file, "PNG")
        files.append(file.getvalue())
    return pa.array(files, pa.binary())


def test_slices_keep_every_row_in_order() -> None:
    batches = [pa.RecordBatch.from_pydict({"x": list(range(start, start + 10))}) for start in (0, 10)]
    cut = list(sliced(iter(batches), 4))
    assert [part.num_rows for part in cut] == [4, 4, 2, 4, 4, 2]
    assert pa.Table.from_batches(cut)["x"].to_pylist() == list(range(20))
    assert list(sliced(iter([]), 4)) == []


@pytest.mark.parametrize("bad", [[0], [7], [99], [30, 31], [5, 98]])
def test_the_first_bad_row(bad: list[int]) -> None:
    batch = pa.RecordBatch.from_pydict({"x": ["x" if row in bad else str(row) for row in range(100)]})
    fields = Fields({"x": NUMBER}, {})
    with pytest.raises(DataError):
        fields.encode(batch)
    assert first_bad_row(fields.encode, batch) == bad[0]
