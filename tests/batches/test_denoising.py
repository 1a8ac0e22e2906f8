"""Spans left out of a batch: what is learnt, and that their choice has an address."""

import numpy as np
import torch

from ceiba.batches import Batch, Denoising
from ceiba.fields import Corruption

DENOISING = Denoising("text", Corruption(0.15, 3.0, 50))
IDS = torch.randint(4, 50, (400, 60), generator=torch.Generator().manual_seed(0), dtype=torch.int32)


def batch(rows: np.ndarray) -> Batch:
    ids = IDS[rows].clone()
    ids[:, 40:] = 0
    return Batch({"text.ids": ids, "other": ids}, {"text": ids, "y": ids}, None, rows, known=frozenset({"text", "y"}))


def tokens(given: Batch) -> list[list[int]]:
    return [[one for one in row if one] for row in given.inputs["text.ids"].tolist()]


def test_a_seventh_is_left_out_and_alone_is_told() -> None:
    whole = batch(np.arange(400))
    found = DENOISING(whole, 0, 0)
    left, told = found.inputs["text.ids"], found.inputs["text.teacher"]
    assert torch.equal(told, found.targets["text"])
    assert (told > 0).sum(1).tolist() == [6 + 2 + 1] * 400
    assert (left > 0).sum(1).tolist() == [40 - 6 + 2] * 400
    assert ((left >= 50).sum(1) == 2).all()
    assert left.shape == (400, 36)
    assert told.dtype == left.dtype == torch.int32
    assert found.known == {"y"}
    assert torch.equal(found.inputs["other"], whole.inputs["other"])
    assert torch.equal(whole.inputs["text.ids"], batch(np.arange(400)).inputs["text.ids"]), (
        "what was given is not changed"
    )


def test_the_choice_is_that_of_the_row_and_the_epoch() -> None:
    alone, among = DENOISING(batch(np.array([7])), 0, 2), DENOISING(batch(np.array([3, 7, 9])), 0, 2)
    assert tokens(alone)[0] == tokens(among)[1]
    assert tokens(alone) == tokens(DENOISING(batch(np.array([7])), 0, 2))
    assert tokens(alone) != tokens(DENOISING(batch(np.array([7])), 0, 3))
    assert tokens(alone) != tokens(DENOISING(batch(np.array([7])), 1, 2))
    same = Batch({"text.ids": batch(np.array([7])).inputs["text.ids"]}, {}, None, np.array([8]))
    assert tokens(alone) != tokens(DENOISING(same, 0, 2)), "the same tokens in another row"


def test_validation_leaves_out_the_same_spans_always() -> None:
    first = DENOISING(batch(np.array([1, 2])), 0, None)
    assert tokens(first) == tokens(DENOISING(batch(np.array([1, 2])), 5, None))
    again = Batch({"text.ids": batch(np.array([2])).inputs["text.ids"]}, {}, None, np.array([9]))
    assert tokens(first)[1] == tokens(DENOISING(again, 0, None))[0]
    pattern = [[one >= 50 for one in row] for row in tokens(first)]
    assert pattern[0] != pattern[1]


def test_rows_without_enough_tokens_teach_nothing() -> None:
    given = batch(np.arange(3))
    given.inputs["text.ids"][0] = 0
    given.inputs["text.ids"][1, 1:] = 0
    for epoch in (0, None):
        found = DENOISING(given, 0, epoch)
        assert (found.targets["text"] > 0).sum(1).tolist() == [0, 0, 9]
        assert (found.inputs["text.ids"] > 0).sum(1).tolist() == [0, 1, 36]
        nothing = DENOISING(Batch({"text.ids": given.inputs["text.ids"][:2]}, {}, None, np.arange(2)), 0, epoch)
        assert nothing.targets["text"].shape == (2, 1)
        assert not nothing.targets["text"].any()
