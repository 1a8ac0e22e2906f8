"""Rows that come batch by batch."""

import numpy as np

from ceiba.base.rows import Rows


def test_batches_become_one_array() -> None:
    rows, parts = Rows(10), [np.arange(6.0).reshape(3, 2), np.empty((0, 2)), np.ones((2, 2))]
    for part in parts:
        rows.add(part)
    assert np.array_equal(rows.all(), np.concatenate(parts))
    assert rows.all().dtype == np.float64
    assert len(Rows(3).all()) == 0
