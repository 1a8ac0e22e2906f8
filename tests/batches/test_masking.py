"""Hidden tokens: how many, which, and that their choice has an address."""

from dataclasses import replace

import numpy as np
import torch

from ceiba.batches import Batch, Masking

MASKING = Masking("text", mask=3, first=4, vocab=50)
IDS = torch.randint(4, 50, (400, 50), generator=torch.Generator().manual_seed(0), dtype=torch.int32)


def batch(rows: np.ndarray) -> Batch:
    ids = IDS[rows].clone()
    ids[:, 40:] = 0
    return Batch({"text.ids": ids}, {"text": ids}, None, rows, known=frozenset({"text"}))


def test_a_seventh_is_chosen_and_most_of_it_hidden() -> None:
    whole = batch(np.arange(400))
    changed = MASKING(whole, 0, 0)
    before, after, target = whole.inputs["text.ids"], changed.inputs["text.ids"], changed.targets["text"]
    chosen = target > 0
    assert not chosen[:, 40:].any()
    assert abs(chosen[:, :40].float().mean() - 0.15) < 0.01
    assert (target[chosen] == before[chosen]).all()
    assert (after[~chosen] == before[~chosen]).all()
    shares = [(after[chosen] == 3), (after[chosen] == before[chosen])]
    assert abs(shares[0].float().mean() - 0.8) < 0.02
    assert 0.08 < shares[1].float().mean() < 0.13
    assert after[chosen].min() >= 3
    assert after.max() < 50
    assert changed.known == frozenset()


def test_the_choice_is_that_of_the_row_and_the_epoch() -> None:
    alone, among = MASKING(batch(np.array([7])), 0, 2), MASKING(batch(np.array([3, 7, 9])), 0, 2)
    assert (alone.inputs["text.ids"][0] == among.inputs["text.ids"][1]).all()
    assert not torch.equal(alone.inputs["text.ids"], MASKING(batch(np.array([7])), 0, 3).inputs["text.ids"])
    assert not torch.equal(alone.inputs["text.ids"], MASKING(batch(np.array([7])), 1, 2).inputs["text.ids"])


def test_validation_hides_the_same_tokens_always() -> None:
    rows = np.array([1, 2])
    first, second = MASKING(batch(rows), 0, None), MASKING(batch(rows), 5, None)
    assert torch.equal(first.inputs["text.ids"], second.inputs["text.ids"])
    places = first.targets["text"][0].nonzero().flatten().tolist()
    assert places == [3, 10, 17, 24, 31, 38]
    assert (first.inputs["text.ids"][0, places] == 3).all()
    assert replace(MASKING, mask=1)(batch(rows), 0, None).inputs["text.ids"][0, 3] == 1
