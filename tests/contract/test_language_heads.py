"""Heads with a loss at every token: the mean over tokens, padding, weights, and that nobody looks ahead."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.batches import Batches
from ceiba.fields import TextLayout
from ceiba.heads import NextTokenSpec, OutputLayout, next_token
from ceiba.model import Model, ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import TrainSpec
from ceiba.train.distill import student_of
from ceiba.train.step import Run

VOCAB, CONTEXT, DIM, ROWS = 11, 8, 16, 4
TRANSFORMER = {"kind": "text", "type": "transformer", "layers": 0, "positions": "none"}
LSTM = {"kind": "text", "type": "lstm", "width": 12, "bidirectional": False}
CAUSAL = {"type": "transformer", "causal": True, "positions": "rotary", "layers": 2, "heads": 2}
NETWORKS = {
    "transformer": (TRANSFORMER, CAUSAL),
    "blocks in the encoder": ({**TRANSFORMER, "layers": 2, "causal": True, "positions": "learned"}, "none"),
    "lstm": (LSTM, "none"),
    "gru": ({**LSTM, "type": "gru", "layers": 2}, "none"),
}
every_network = pytest.mark.parametrize("network", NETWORKS)


def build(encoder: object, trunk: object, **head: object) -> Model:
    spec = ModelSpec(dim=DIM, encoders={"text": encoder}, trunk=trunk, heads={"text": {"type": "next_token", **head}})
    return build_model(spec, {"text": TextLayout(VOCAB, CONTEXT, False)}, {"text": OutputLayout("text", VOCAB)}).eval()


def ids(width: int = CONTEXT, seed: int = 0) -> Tensor:
    return torch.randint(1, VOCAB, (ROWS, width), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


@every_network
def test_no_token_knows_of_those_after_it(network: str) -> None:
    model, first = build(*NETWORKS[network]), ids()
    second = first.clone()
    second[:, 5:] = ids(seed=1)[:, 5:]
    before, after = (model({"text.ids": one})["text"] for one in (first, second))
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@pytest.mark.parametrize(
    ("encoder", "trunk"),
    [
        (TRANSFORMER, {**CAUSAL, "causal": False}),
        ({**LSTM, "bidirectional": True}, "none"),
        ({**TRANSFORMER, "layers": 1}, CAUSAL),
        ({"kind": "text", "type": "cnn"}, "none"),
    ],
)
def test_a_network_that_looks_ahead_is_refused(encoder: object, trunk: object) -> None:
    with pytest.raises(RecipeError, match="look ahead"):
        build(encoder, trunk)


@every_network
@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_is_the_mean_over_tokens_and_padding_is_none(network: str, tied: bool) -> None:
    model, tokens = build(*NETWORKS[network], tied=tied), ids(CONTEXT + 1)
    tokens[1, 4:] = tokens[3, 1:] = 0
    inputs, target = tokens[:, :-1], tokens[:, 1:]
    loss, sums = model.loss({"text.ids": inputs}, {"text": target})
    logits = model({"text.ids": inputs})["text"]
    expected = F.cross_entropy(logits[target > 0], target[target > 0].long())
    torch.testing.assert_close(loss, expected)
    assert sums["text"][1] == (target > 0).sum()
    assert (logits[..., 0] < -1e3).all(), "padding is never answered"
    weighted, _ = model.loss({"text.ids": inputs}, {"text": target}, torch.tensor([0.0, 1.0, 0.0, 0.0]))
    torch.testing.assert_close(weighted, F.cross_entropy(logits[1, :3], target[1, :3].long()))


@every_network
def test_gradients_reach_every_parameter_and_a_tied_table_is_kept_once(network: str) -> None:
    model, tokens = build(*NETWORKS[network]).train(), ids(CONTEXT + 1)
    model.loss({"text.ids": tokens[:, :-1]}, {"text": tokens[:, 1:]})[0].backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []
    assert sum(value.shape == (VOCAB, DIM) for value in model.state_dict().values()) == 1


@every_network
def test_a_row_is_told_by_its_surprise_and_its_tokens(network: str) -> None:
    model, tokens = build(*NETWORKS[network]), ids(CONTEXT + 1)
    tokens[2, 3:] = 0
    found = model.answers({"text.ids": tokens})["text"]
    log_p = model({"text.ids": tokens[:, :-1]})["text"].log_softmax(-1)
    for row in range(ROWS):
        own = tokens[row][tokens[row] > 0].long()
        nats = -sum(log_p[row, place, own[place + 1]] for place in range(len(own) - 1))
        torch.testing.assert_close(found[row], torch.stack([nats, torch.tensor(len(own) - 1.0)]))


@pytest.mark.parametrize("tied", [True, False])
def test_logits_that_are_not_made_at_once_give_the_same_loss_and_gradients(
    tied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_token, "LEAST_ROWS", 5)
    model, tokens = build(*NETWORKS["transformer"], tied=tied).train(), ids(CONTEXT + 1)
    tokens[1, 4:] = 0
    head = model.head("text")
    assert isinstance(head, next_token.NextToken)
    given, target, weight = {"text.ids": tokens[:, :-1]}, {"text": tokens[:, 1:]}, torch.tensor([1.0, 2.0, 0.0, 0.5])
    for weights, share in ((None, None), (weight, None), (weight, torch.tensor([0.3, 1.0, 1.0, 0.1]))):
        found = []
        for most in (None, 1):
            head.most_logits = most
            model.zero_grad()
            torch.manual_seed(0)  # of dropout
            logits = model(given)
            assert logits["text"].shape[-1] == (VOCAB if most is None else DIM)
            loss, sums = model.score(logits, target, weights, share)
            loss.backward()
            found.append((loss.detach(), sums["text"][1], [one.grad.clone() for one in model.parameters()]))
        torch.testing.assert_close(found[1], found[0])
    assert model.eval()(given)["text"].shape[-1] == VOCAB, "what is measured has logits"
    assert not head.matrix


def test_a_training_holds_so_many_logits_and_a_student_all() -> None:
    model = build(*NETWORKS["transformer"])
    rows = {"text.ids": ids().numpy()}
    arrays = Arrays(Path(), ROWS, rows, {"text": ids().numpy()}, None, np.arange(ROWS))
    some = Batches(arrays, ROWS, 0)
    student = student_of(model, model, {"text": TextLayout(VOCAB, CONTEXT, False)})
    for one, most in ((student, None), (model, next_token.MOST_LOGITS)):
        Run(one, some, some, {}, TrainSpec())
        head = one.head("text")
        assert isinstance(head, next_token.NextToken)
        assert head.most_logits == most


def test_label_smoothing_is_that_of_torch() -> None:
    head = NextTokenSpec(tied=False, label_smoothing=0.1).build(OutputLayout("text", VOCAB), DIM, 0)
    logits, target = torch.randn(ROWS, CONTEXT, VOCAB), ids().long()
    total, weight = head.loss(logits, target)
    expected = F.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=0.1)
    torch.testing.assert_close(total / weight, expected)
    with pytest.raises(RecipeError, match="ensemble"):
        NextTokenSpec().build(OutputLayout("text", VOCAB), DIM, 3)


def test_hidden_tokens_are_told_from_both_sides_and_alone_have_a_loss() -> None:
    spec = ModelSpec(
        dim=DIM, encoders={"text": {**TRANSFORMER, "layers": 2, "positions": "learned"}}, heads={"text": "masked"}
    )
    model = build_model(spec, {"text": TextLayout(VOCAB, CONTEXT, False)}, {"text": OutputLayout("text", VOCAB)}).eval()
    tokens, target = ids(), torch.zeros(ROWS, CONTEXT, dtype=torch.int32)
    target[0, 2], target[2, 5] = 4, 7
    logits = model({"text.ids": tokens})["text"]
    loss, sums = model.loss({"text.ids": tokens}, {"text": target})
    log_p = logits.log_softmax(-1)
    torch.testing.assert_close(loss, -(log_p[0, 2, 4] + log_p[2, 5, 7]) / 2)
    assert sums["text"][1] == 2
    changed = tokens.clone()
    changed[:, -1] = ids(seed=1)[:, -1]
    assert not torch.allclose(model({"text.ids": changed})["text"][:, 0], logits[:, 0])
    found = model.answers({"text.ids": tokens, "text.targets": target})["text"]
    torch.testing.assert_close(found[:, 1], torch.tensor([1.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(found[2, 0], -log_p[2, 5, 7])
    loss.backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []
