"""Cross-entropy in chunks: the loss and the gradients of torch's, and far less memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ceiba.heads.chunked import chunked_cross_entropy
from ceiba.train.fitting import LivePeak

ROWS, DIM, CLASSES = 37, 8, 11


def parts(kind: torch.dtype = torch.float64) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    found = {"values": (ROWS, DIM), "weight": (CLASSES, DIM), "bias": (CLASSES,)}
    return {
        name: torch.randn(shape, generator=random, dtype=torch.float64).to(kind).requires_grad_()
        for name, shape in found.items()
    }


def targets() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    weights = torch.rand(ROWS, generator=random, dtype=torch.float64)
    known = torch.randint(0, CLASSES, (ROWS,), generator=random)
    weights[::5], known[::5] = 0, -1  # not known
    return known, weights


@pytest.mark.parametrize("chunk", [1, 10, ROWS, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("has_bias", [True, False])
def test_loss_and_gradients_are_those_of_torch(chunk: int, smoothing: float, has_bias: bool) -> None:
    known, weights = targets()
    plain, ours = parts(), parts()
    bias = plain["bias"] if has_bias else None
    logits = F.linear(plain["values"], plain["weight"], bias)
    each = F.cross_entropy(logits, known.clamp(min=0), reduction="none", label_smoothing=smoothing)
    expected = (weights * each).sum()
    found = chunked_cross_entropy(
        ours["values"], ours["weight"], known, ours["bias"] if has_bias else None, weights, smoothing, chunk
    )
    torch.testing.assert_close(found, expected)
    (3 * expected).backward()
    (3 * found).backward()
    for name, value in plain.items():
        torch.testing.assert_close(ours[name].grad, value.grad)


def test_without_weights_every_row_counts_and_none_is_zero() -> None:
    known, one = targets()[0].clamp(min=0), parts(torch.float32)
    found = chunked_cross_entropy(one["values"], one["weight"], known)
    expected = F.cross_entropy(F.linear(one["values"], one["weight"]), known, reduction="sum")
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        assert float(chunked_cross_entropy(one["values"][:0], one["weight"], known[:0])) == 0
        assert torch.equal(chunked_cross_entropy(one["values"], one["weight"], known), found)


def test_under_autocast_products_are_short_and_sums_are_not() -> None:
    known, one, other = targets()[0].clamp(min=0), parts(torch.float32), parts(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = chunked_cross_entropy(one["values"], one["weight"], known)
        expected = F.cross_entropy(F.linear(other["values"], other["weight"]).float(), known, reduction="sum")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)
    found.backward()
    expected.backward()
    for name in ("values", "weight"):
        torch.testing.assert_close(one[name].grad, other[name].grad, rtol=0.05, atol=0.05)


def test_it_takes_the_memory_of_a_chunk() -> None:
    rows, classes = 512, 4096
    values, weight = torch.randn(rows, 16, requires_grad=True), torch.randn(classes, 16, requires_grad=True)
    known = torch.randint(0, classes, (rows,))

    def peak(chunk: int | None) -> int:
        with LivePeak() as counted:
            if chunk is None:
                F.cross_entropy(F.linear(values, weight), known, reduction="sum").backward()
            else:
                chunked_cross_entropy(values, weight, known, chunk_rows=chunk).backward()
        values.grad = weight.grad = None
        return counted.bytes

    logits = 4 * rows * classes
    assert peak(None) > 2 * logits
    assert peak(32) < 0.4 * logits
