"""Where rows end, against a scanner that walks letter by letter as Arrow's parser does."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ceiba.read import rows


def walk(data: bytes, quote: bool) -> tuple[list[int], list[int]]:
    """Row ends (places of line feeds outside quotes) and starts of quoted spans, one letter at a time."""
    ends, inside, at_start, at = [], False, True, 0
    opens = []
    while at < len(data):
        letter = data[at : at + 1]
        if inside:
            if letter == b'"':
                if data[at + 1 : at + 2] == b'"':
                    at += 1
                else:
                    inside = False
        elif letter == b'"' and at_start and quote:
            inside = True
            opens.append(at)
        elif letter == b"\n":
            ends.append(at)
        at_start = not inside and letter in (b",", b"\n", b"\r")
        at += 1
    return ends, opens


texts = st.lists(st.sampled_from([b'"', b",", b"\n", b"a", b'""', b'","', b'"\n', b"\r\n", b' "']), max_size=25).map(
    b"".join
)


@settings(max_examples=500, deadline=None)
@given(data=texts, quote=st.booleans())
def test_rows_end_where_the_walk_ends_them(data: bytes, quote: bool) -> None:
    ends, _ = walk(data, quote)
    assert rows.last_row_end(data, ord(","), quote) == (ends[-1] + 1 if ends else 0)


@settings(max_examples=500, deadline=None)
@given(data=texts)
def test_walked_spans_cover_what_the_pairs_cover(data: bytes) -> None:
    places = np.arange(len(data))
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == ord('"'))
    walked = rows._walked_spans(data, quotes, ord(","))
    found = rows.quoted_spans(data, ord(","))
    feeds = places[[letter == ord("\n") for letter in data]] if data else places
    assert rows.outside(feeds, found).tolist() == rows.outside(feeds, walked).tolist() == walk(data, True)[0]


@settings(max_examples=500, deadline=None)
@given(data=texts.filter(lambda data: data.strip(b"\r\n") != b"" and b"\r" not in data.replace(b"\r\n", b"")))
def test_rows_are_as_many_as_arrow_reads(data: bytes) -> None:
    _, closes = rows.quoted_spans(data, ord(";"))
    if len(closes) and closes[-1] == len(data):
        return  # an unclosed quote is refused before Arrow sees it
    table = pacsv.read_csv(
        pa.BufferReader(data),
        pacsv.ReadOptions(column_names=["a"], use_threads=False),
        pacsv.ParseOptions(delimiter=";", newlines_in_values=True),
        pacsv.ConvertOptions(column_types={"a": pa.string()}),
    )
    assert len(rows.row_cells(data, ord(";"), quote=True)[0]) == table.num_rows


@pytest.mark.parametrize(
    ("data", "quote", "starts", "cells"),
    [
        (b"a,b\n1,2", True, [0, 4], [2, 2]),
        (b"\n\r\na\n", True, [3], [1]),
        (b'"x,\ny",1\nz', True, [0, 9], [2, 1]),
        (b'"x,\ny",1\nz', False, [0, 4, 9], [2, 2, 1]),
        (b'5",6"\n7,8,9\n', True, [0, 6], [2, 3]),
    ],
)
def test_cells_of_each_row(data: bytes, quote: bool, starts: list[int], cells: list[int]) -> None:
    found = rows.row_cells(data, ord(","), quote)
    assert (found[0].tolist(), found[1].tolist()) == (starts, cells)
