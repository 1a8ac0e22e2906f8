"""The head `preference`: equation 7 of the paper, held against logits token by token; and still a language model."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.fields import TextLayout
from ceiba.heads import OutputLayout, Preference, PreferenceSpec
from ceiba.metrics import figures, per_row
from ceiba.model import Model, ModelSpec, build_model

VOCAB, DIM, ROWS, PROMPT, ANSWER = 11, 16, 3, 4, 3
ENCODER = {"kind": "text", "type": "transformer", "layers": 0, "positions": "none"}
TRUNK = {"type": "transformer", "causal": True, "positions": "rotary", "layers": 2, "heads": 2}


def build(seed: int = 0, tied: bool = True, **head: object) -> Model:
    heads = {"talk": {"type": "preference", "tied": tied, **head}}
    spec = ModelSpec.model_validate({"dim": DIM, "encoders": {"talk": ENCODER}, "trunk": TRUNK, "heads": heads})
    layouts = {"talk": TextLayout(VOCAB, 16, False)}
    return build_model(spec, layouts, {"talk": OutputLayout("preference", VOCAB)}, seed).eval()


def chats(seed: int = 0) -> Tensor:
    """(pair, better and worse, token): a prompt that both share, and two answers."""
    ids = torch.randint(1, VOCAB, (ROWS, 2, PROMPT + ANSWER), generator=torch.Generator().manual_seed(seed))
    ids[:, 1, :PROMPT] = ids[:, 0, :PROMPT]
    return ids.int()


def rows(ids: Tensor) -> dict[str, Tensor]:
    """The same as a batch: two conversations a row, read up to their last token but one, and padding behind."""
    read, told = ids[:, :, :-1], ids[:, :, 1:].clone()
    told[:, :, : PROMPT - 1] = 0
    told[:, 1] *= -1
    places = torch.arange(read.shape[2], dtype=torch.int32).expand_as(read)
    parts = {"ids": read, "positions": places, "targets": told}
    return {f"talk.{name}": F.pad(part.flatten(1), (0, 2)) for name, part in parts.items()}


def likely(model: Model, ids: Tensor) -> Tensor:
    """log p of the answers, each conversation read by itself."""
    logits = model({"talk.ids": ids[:, :-1]})["talk"].log_softmax(-1)
    return logits.gather(2, ids[:, 1:, None].long())[:, PROMPT - 1 :, 0].sum(1)


@pytest.mark.parametrize("tied", [True, False])
def test_a_row_is_compared_as_its_conversations_apart(tied: bool) -> None:
    model, ids = build(tied=tied), chats()
    found = model(rows(ids))["talk"]
    expected = torch.stack([likely(model, ids[:, side]) for side in (0, 1)], 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.answers(rows(ids))["talk"], expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_the_paper() -> None:
    model, start, ids, beta = build(beta=0.3), build(seed=1), chats(), 0.3
    policy, reference = (torch.stack([likely(one, ids[:, side]) for side in (0, 1)], 1) for one in (model, start))
    inputs = rows(ids) | {"talk.reference": reference.detach()}
    loss, _ = model.loss(inputs, {"talk": torch.zeros(ROWS, dtype=torch.int64)})
    ratio = policy - reference
    expected = -torch.log(torch.sigmoid(beta * (ratio[:, 0] - ratio[:, 1]))).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_a_model_that_has_not_moved_loses_log_2_and_a_step_prefers_the_better_answer() -> None:
    model, inputs, target = build(), rows(chats()), {"talk": torch.zeros(ROWS, dtype=torch.int64)}
    inputs["talk.reference"] = model(inputs)["talk"].detach()
    loss, _ = model.loss(inputs, target)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.05 * parameter.grad  # type: ignore[operator]
    ratio = model(inputs)["talk"]
    assert (ratio[:, 0] > ratio[:, 1]).all()


def test_rows_weigh_alike_however_long_they_are() -> None:
    head = build().head("talk")
    assert isinstance(head, Preference)
    target = torch.zeros(ROWS, dtype=torch.int64)
    assert head.row_weights(target).tolist() == [1.0] * ROWS
    logits = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    losses = [math.log(1 + math.exp(-0.1 * margin)) for margin in (1, 0, -2)]
    for known in (True, False):
        total, weight = head.loss(logits, target, is_known=known)
        assert (total.item(), weight.item()) == (pytest.approx(sum(losses)), ROWS)
    total, weight = head.loss(logits, target, torch.tensor([1.0, 0.0, 2.0]))
    assert total.item() == pytest.approx(losses[0] + 2 * losses[2])


def test_the_likelihood_of_the_better_answer_weighs_beside() -> None:
    head = PreferenceSpec(beta=0.1, likelihood=0.5).build(OutputLayout("preference", VOCAB), DIM, 0)
    total, _ = head.loss(torch.tensor([[1.0, 0.0], [-2.0, 2.0]]), torch.zeros(2, dtype=torch.int64))
    expected = sum(math.log(1 + math.exp(-0.1 * margin)) for margin in (1, -4)) + 0.5 * (2 - 1)
    assert total.item() == pytest.approx(expected)


def test_it_cannot_be_an_ensemble() -> None:
    with pytest.raises(RecipeError, match="ensemble"):
        PreferenceSpec().build(OutputLayout("preference", VOCAB), DIM, 2)


def test_figures_count_pairs_and_half_of_what_is_equal() -> None:
    margins = np.array([2.0, -1.0, 0.0, 3.0, 9.0])
    truth = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    found = figures("preference", truth, margins, resamples=20)
    assert {name: one["value"] for name, one in found.items()} == {"accuracy": 2.5 / 4, "margin": 1.0}
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    np.testing.assert_array_equal(per_row("preference", truth, margins, "accuracy"), [1, 0, 0.5, 1])
