"""Frame: streams, selections and identities; 0 rows and 1 row first."""

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.errors import DataError
from ceiba.read import Frame, open_frame


def frame_of(rows: int, batch_rows: int = 3) -> Frame:
    table = pa.table(
        {"a": pa.array(range(rows), pa.int64()), "b": pa.array([f"t{row}" for row in range(rows)], pa.string())}
    )
    return open_frame(pa.Table.from_batches(table.to_batches(max_chunksize=batch_rows), table.schema))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 7, 9])
def test_batches_give_every_row_again_and_again(rows: int) -> None:
    frame = frame_of(rows)
    assert frame.num_rows == rows
    for _ in range(2):
        assert sum(batch.num_rows for batch in frame.batches()) == rows
    assert frame.to_table().column("a").to_pylist() == list(range(rows))
    assert all(batch.schema.equals(frame.schema) for batch in frame.batches())


@pytest.mark.parametrize("rows", [0, 1, 8])
def test_column_is_a_re_iterable_stream(rows: int) -> None:
    column = frame_of(rows).column("b")
    assert [v for chunk in column for v in chunk.to_pylist()] == [f"t{row}" for row in range(rows)]
    assert [v for chunk in column for v in chunk.to_pylist()] == [f"t{row}" for row in range(rows)]
    assert len(column) == rows
    assert column.type == pa.string()


@pytest.mark.parametrize("kept", [[], [0], [6], [2, 3], [0, 1, 2, 3, 4, 5, 6], [1, 5], [0, 2, 3, 4, 6]])
def test_take_gives_exactly_those_rows(kept: list[int]) -> None:
    taken = frame_of(7).take(np.array(kept, dtype=np.int64))
    assert taken.num_rows == len(kept)
    assert taken.to_table().column("a").to_pylist() == kept
    assert taken.select(["b"]).to_table().to_pylist() == [{"b": f"t{row}"} for row in kept]


def test_take_reads_no_batch_after_the_last_row() -> None:
    seen = []
    frame = frame_of(9)
    watched = Frame(
        frame.schema, "x", "y", 9, lambda columns: (seen.append(1) or batch for batch in frame.source(columns))
    )
    watched.take(np.array([1])).to_table()
    assert len(seen) == 1


def test_take_refuses_rows_out_of_order() -> None:
    with pytest.raises(AssertionError):
        frame_of(5).take(np.array([3, 1]))


def test_select_orders_columns_and_names_the_nearest() -> None:
    frame = frame_of(3).select(["b", "a"])
    assert frame.names == ("b", "a")
    assert frame.to_table().column_names == ["b", "a"]
    with pytest.raises(DataError, match=r"must have the column 'aa'. Got none of that name. Did you mean 'a'"):
        frame.select(["aa"])
    with pytest.raises(DataError, match="'zzz'"):
        frame.batches(["zzz"])
    with pytest.raises(DataError, match="'zzz'"):
        frame.column("zzz")


@pytest.mark.parametrize(("rows", "wanted"), [(0, 0), (0, 5), (7, 0), (7, 1), (7, 4), (7, 9)])
def test_head(rows: int, wanted: int) -> None:
    head = frame_of(rows).head(wanted)
    assert head.column("a").to_pylist() == list(range(min(rows, wanted)))
    assert head.schema.equals(frame_of(rows).schema)


def test_map_changes_every_batch_and_honours_the_columns_asked_for() -> None:
    frame = frame_of(5)
    schema = pa.schema([("a", pa.int64()), ("n", pa.int64())])

    def double(batch: pa.RecordBatch) -> pa.RecordBatch:
        doubled = pa.array([2 * value for value in batch.column("a").to_pylist()], pa.int64())
        return pa.RecordBatch.from_arrays([batch.column("a"), doubled], schema=schema)

    changed = frame.map("double", double, schema)
    assert changed.to_table().column("n").to_pylist() == [0, 2, 4, 6, 8]
    assert changed.select(["n"]).to_table().column_names == ["n"]


def test_identity_follows_content_and_steps_not_the_cut_into_batches() -> None:
    assert frame_of(7, batch_rows=2).identity == frame_of(7, batch_rows=5).identity
    frame = frame_of(7)
    steps = [
        frame, frame_of(8), frame.select(["a"]), frame.select(["b", "a"]), frame.take(np.arange(6)),
        frame.take(np.arange(5)),
        frame.map("x", lambda batch: batch, frame.schema), frame.map("y", lambda batch: batch, frame.schema),
    ]  # fmt: skip
    assert len({step.identity for step in steps}) == len(steps)
    assert frame.take(np.arange(6)).identity == frame_of(7).take(np.arange(6)).identity
