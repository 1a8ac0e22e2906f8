"""The head of spans: its loss by hand, its best span by trying all, and what cannot be answered."""

import pytest
import torch
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.heads import HEADS, OutputLayout, Span
from ceiba.layers import Tokens

PLACES = torch.tensor([[0, 0], [0, 0], [0, 3], [4, 7], [8, 9], [9, 12], [0, 0]])
"""A question's token, four of the passage, and the last separator."""


def head(**options: int) -> Span:
    torch.manual_seed(0)
    built = HEADS["span"](**options).build(OutputLayout("span"), 6, 0)
    assert isinstance(built, Span)
    return built.eval()


def logits(built: Span, rows: int = 3) -> Tensor:
    values = torch.randn(rows, len(PLACES), 6, generator=torch.Generator().manual_seed(1))
    return built(Tokens(values, torch.ones(rows, len(PLACES)) > 0), PLACES.expand(rows, -1, -1)).detach()


def test_the_loss_is_that_of_both_ends() -> None:
    found = logits(head())
    begin, end = (found[..., place].log_softmax(1) for place in (0, 1))
    # The second span begins and ends inside of tokens, the third is none.
    target = torch.tensor([[4, 9], [5, 11], [0, 0]])
    expected = -(torch.stack([begin[0, 3] + end[0, 4], begin[1, 3] + end[1, 5], begin[2, 0] + end[2, 0]])) / 2
    torch.testing.assert_close(head().row_losses(found, target, None), expected)
    total, weight = head().loss(found, target)
    torch.testing.assert_close(total, expected.sum())
    assert weight == 3


def test_a_span_that_was_cut_off_is_none_and_an_unknown_one_weighs_nothing() -> None:
    found = logits(head())
    cut, none = (head().row_losses(found, torch.tensor([ends] * 3), None) for ends in ([4, 40], [0, 0]))
    torch.testing.assert_close(cut, none)
    target = torch.tensor([[4, 9], [-1, -1], [0, 0]])
    total, weight = head().loss(found, target)
    assert weight == 2
    torch.testing.assert_close(total, head().row_losses(found, target.clamp(min=0), None)[[0, 2]].sum())


@pytest.mark.parametrize("most", [1, 2, 30])
def test_the_best_span_is_the_best_of_all(most: int) -> None:
    built = head(max_answer=most)
    found = logits(built)
    answers = built.combine(found)
    for row, (start, stop, margin) in enumerate(answers.tolist()):
        every = {
            (int(PLACES[first, 0]), int(PLACES[last, 1])): float(found[row, first, 0] + found[row, last, 1])
            for first in range(2, 6) for last in range(first, min(first + most, 6))
        }  # fmt: skip
        best = max(every, key=every.__getitem__)
        assert (start, stop) == best
        assert margin == pytest.approx(every[best] - float(found[row, 0, 0] + found[row, 0, 1]), abs=1e-5)


def test_a_row_without_text_has_no_answer_and_padding_changes_nothing() -> None:
    built = head()
    values = torch.randn(1, 3, 6)
    empty = built(Tokens(values, torch.zeros(1, 3) > 0), torch.zeros(1, 3, 2, dtype=torch.int32))
    assert built.combine(empty)[0, 2] < -100
    found = logits(built)
    wide = torch.nn.functional.pad(found, (0, 0, 0, 4))
    wide[:, -4:, :2] = found[0, 1, 0]  # as padding is masked
    torch.testing.assert_close(built.combine(wide), built.combine(found))


def test_an_ensemble_is_refused() -> None:
    with pytest.raises(RecipeError, match="ensemble"):
        HEADS["span"]().build(OutputLayout("span"), 6, 2)
