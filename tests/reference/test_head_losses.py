"""The heads' losses and combinations against torch's and against their definitions."""

import pytest
import torch
from torch import Tensor, nn

from ceiba.heads import HEADS, Head, OutputLayout, info_nce

close = torch.testing.assert_close
LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)) * 3
CLASSES = torch.tensor([0, 3, 1, 1, 2, 0])
YES = torch.tensor([0, 1, 1, 0, 1, 0])
NUMBERS = torch.tensor([0.0, 0.2, -1.0, 4.0, 0.5, -0.5])
OUTPUTS = {
    "classes": OutputLayout("classes", 4, (2, 2, 1, 1)),
    "binary": OutputLayout("binary", 2, (3, 3)),
    "labels": OutputLayout("labels", 4),
    "regression": OutputLayout("number", mean=2.0, std=1.5),
}


def head(name: str, members: int = 0, **knobs: object) -> Head:
    built: Head = HEADS[name](**knobs).build(OUTPUTS[name], 8, members)
    return built


def mean(sums: tuple[Tensor, Tensor]) -> Tensor:
    return sums[0] / sums[1]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(smoothing: float) -> None:
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(LOGITS, CLASSES)
    close(mean(head("classes", label_smoothing=smoothing).loss(LOGITS, CLASSES)), expected)


def test_weighted_cross_entropy() -> None:
    weights = (1.0, 0.5, 2.0, 0.0)
    expected = nn.CrossEntropyLoss(torch.tensor(weights))(LOGITS, CLASSES)
    close(mean(head("classes", class_weights=weights).loss(LOGITS, CLASSES)), expected)


def test_balanced_weights() -> None:
    close(head("classes", class_weights="balanced").weights, torch.tensor([0.75, 0.75, 1.5, 1.5]))


def test_binary_cross_entropy() -> None:
    logits = LOGITS[:, 0]
    close(mean(head("binary").loss(logits, YES)), nn.BCEWithLogitsLoss()(logits, YES.float()))
    p = logits.sigmoid()
    soft = YES * 0.8 + 0.1
    by_hand = -(soft * p.log() + (1 - soft) * (1 - p).log()).mean()
    close(mean(head("binary", label_smoothing=0.2).loss(logits, YES)), by_hand)


def test_weighted_binary_cross_entropy() -> None:
    logits, weight = LOGITS[:, 0], torch.where(YES == 1, 3.0, 0.5)
    expected = (nn.BCEWithLogitsLoss(reduction="none")(logits, YES.float()) * weight).sum() / weight.sum()
    close(mean(head("binary", class_weights=(0.5, 3.0)).loss(logits, YES)), expected)


def test_label_cross_entropy() -> None:
    target = (LOGITS.flip(0) > 0).float()
    close(mean(head("labels").loss(LOGITS, target)), nn.BCEWithLogitsLoss()(LOGITS, target))
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    expected = nn.BCEWithLogitsLoss(pos_weight=weights)(LOGITS, target)
    close(mean(head("labels", label_weights=tuple(weights.tolist())).loss(LOGITS, target)), expected)


def test_a_label_that_is_missing_leaves_the_rows_other_labels() -> None:
    target = (LOGITS > 1).float()
    target[2, 1:] = float("nan")
    each = nn.BCEWithLogitsLoss(reduction="none")(LOGITS, target.nan_to_num())
    rows = each.mean(1)
    rows[2] = each[2, 0]
    close(mean(head("labels").loss(LOGITS, target)), rows.mean())


@pytest.mark.parametrize(
    ("name", "reference"), [("mse", nn.MSELoss()), ("mae", nn.L1Loss()), ("huber", nn.HuberLoss(delta=0.7))]
)
def test_regression_losses(name: str, reference: nn.Module) -> None:
    logits = NUMBERS + torch.tensor([0.0, 0.3, -0.6, 0.8, -2.0, 5.0])  # on both sides of delta
    close(mean(head("regression", loss=name, delta=0.7).loss(logits, NUMBERS)), reference(logits, NUMBERS))


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantile_loss(quantile: float) -> None:
    numbers = torch.linspace(0, 1, 1001)
    guesses = torch.linspace(0, 1, 101)
    built = head("regression", loss="quantile", quantile=quantile)
    losses = torch.stack([mean(built.loss(guess.expand(1001), numbers)) for guess in guesses])
    assert guesses[losses.argmin()] == pytest.approx(quantile)  # of evenly spread numbers
    above, below = built.loss(torch.tensor([2.0]), torch.tensor([0.0])), built.loss(torch.tensor([0.0]), torch.ones(1))
    close(torch.stack([above[0], below[0]]), torch.tensor([2 * (1 - quantile), quantile]))


def test_poisson_loss() -> None:
    counts, logits = torch.tensor([0.0, 1.0, 7.0, 2.0, 0.0, 3.0]), LOGITS[:, 0] / 3
    built = head("regression", loss="poisson")
    rate = 2.0 * logits.exp()
    close(mean(built.loss(logits, (counts - 2.0) / 1.5)), nn.PoissonNLLLoss()(rate.log(), counts))
    close(built.combine(logits) * 1.5 + 2.0, rate)


@pytest.mark.parametrize("focal", [0.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal_loss(focal: float, smoothing: float) -> None:
    own = LOGITS.softmax(-1).gather(1, CLASSES[:, None])[:, 0]
    each = nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing)(LOGITS, CLASSES)
    expected = ((1 - own) ** focal * each).mean()
    close(mean(head("classes", focal=focal, label_smoothing=smoothing).loss(LOGITS, CLASSES)), expected)
    two = torch.stack([torch.zeros(6), LOGITS[:, 0]], 1)  # a binary logit is the second of two classes against 0
    own = two.softmax(-1).gather(1, YES[:, None])[:, 0]
    each = nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing)(two, YES)
    found = mean(head("binary", focal=focal, label_smoothing=smoothing).loss(LOGITS[:, 0], YES))
    close(found, ((1 - own) ** focal * each).mean())


def test_info_nce() -> None:
    queries, keys = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    likeness = torch.cosine_similarity(queries[:, None], keys[None], dim=-1) / 0.2
    own = likeness.diagonal()
    expected = ((likeness.logsumexp(1) - own).mean() + (likeness.logsumexp(0) - own).mean()) / 2
    close(info_nce(queries, keys, 0.2), expected)
    assert info_nce(queries, queries, 0.01) < 1e-3  # every query finds its key


def test_members_are_averaged_as_probabilities() -> None:
    many = LOGITS.unsqueeze(1) + torch.randn(6, 3, 4)
    close(head("classes", 3).combine(many).exp(), many.softmax(-1).mean(1))
    close(head("labels", 3).combine(many).sigmoid(), many.sigmoid().mean(1))
    close(head("binary", 3).combine(many[..., 0]).sigmoid(), many[..., 0].sigmoid().mean(1))
    close(head("regression", 3).combine(many[..., 0]), many[..., 0].mean(1))
    rate = 2.0 * many[..., 0].exp().mean(1)
    close(head("regression", 3, loss="poisson").combine(many[..., 0]) * 1.5 + 2.0, rate)
