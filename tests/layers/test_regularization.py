"""Dropout against its definition."""

import pytest
import torch

from ceiba.layers import Dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_features_are_zero_with_its_share_and_the_mean_stays(share: float, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    found = Dropout(share).train()(torch.ones(1000, 401, dtype=kind)).float()
    # 401,000 independent draws: four standard deviations of their share.
    assert (found == 0).float().mean().item() == pytest.approx(
        share, abs=4 * (share * (1 - share) / found.numel()) ** 0.5
    )
    assert found.max().item() == pytest.approx(1 / (1 - share), rel=0.005)
    assert torch.corrcoef(torch.stack([found[:, :-1].flatten(), found[:, 1:].flatten()]))[0, 1].abs() < 0.01


def test_the_gradient_goes_where_the_features_went() -> None:
    values = torch.randn(7, 3, requires_grad=True)
    found = Dropout(0.5).train()(values)
    found.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(found, values * values.grad)
    assert set(values.grad.flatten().tolist()) == {0.0, 2.0}


def test_the_seed_decides_alone() -> None:
    dropout, values = Dropout(0.3).train(), torch.ones(50, 5)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropout(values))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_nothing_is_dropped_outside_training_or_without_a_share() -> None:
    values = torch.randn(5, 5)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0).train()(values) is values
