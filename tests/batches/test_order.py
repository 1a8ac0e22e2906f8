"""The order of an epoch."""

import numpy as np
import pytest

from ceiba.batches.order import epoch_order, ordered


@pytest.mark.parametrize(("num_rows", "batch_rows"), [(0, 4), (1, 4), (4, 4), (5, 4), (1000, 7)])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_every_row_comes_once(num_rows: int, batch_rows: int, with_lengths: bool) -> None:
    lengths = np.random.default_rng(0).integers(1, 50, num_rows) if with_lengths else None
    batches = epoch_order(num_rows, batch_rows, 3, 0, lengths)
    assert sorted(np.concatenate([*batches, np.array([], dtype=np.int64)]).tolist()) == list(range(num_rows))
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    assert len(batches) == -(-num_rows // batch_rows)


def test_the_order_is_a_function_of_its_address() -> None:
    def flat(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_order(100, 8, seed, epoch)).tolist()

    assert flat(0, 0) == flat(0, 0)
    assert flat(0, 0) != flat(0, 1)
    assert flat(0, 0) != flat(1, 0)


def test_rows_of_like_length_come_together_and_batches_do_not_come_in_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 5000)
    batches = epoch_order(5000, 32, 0, 0, lengths)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    unsorted = sum(len(batch) * lengths[batch].max() for batch in epoch_order(5000, 32, 0, 0))
    assert padded < 1.2 * lengths.sum() < unsorted
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3


def test_validation_is_in_file_order_or_in_order_of_length() -> None:
    assert [batch.tolist() for batch in ordered(3, 2)] == [[0, 1], [2]]
    assert [batch.tolist() for batch in ordered(3, 2, np.array([9, 1, 5]))] == [[1, 2], [0]]
