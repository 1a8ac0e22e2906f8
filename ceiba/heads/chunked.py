"""The cross-entropy of a last linear layer without the logits of all rows at once, which are most of the memory of a
language model's step."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def chunked_cross_entropy(
    values: Float[Tensor, "row dim"],
    weight: Float[Tensor, "class dim"],
    targets: Int[Tensor, "row"],
    bias: Float[Tensor, "class"] | None = None,
    row_weight: Float[Tensor, "row"] | None = None,
    smoothing: float = 0.0,
    chunk_rows: int = 1024,
) -> Float[Tensor, ""]:
    """Σ row_weight · cross-entropy of softmax(values · weightᵀ + bias), in float32 whatever the products are made in.

    The logits of `chunk_rows` rows at a time are made, turned into loss and gradients, and forgotten. A row that weighs
    nothing may have any target. Source: Hsu et al. 2024, arXiv:2410.10989, section 3.2.
    """
    row_weight = torch.ones(len(values), device=values.device) if row_weight is None else row_weight
    loss: Tensor = _Chunked.apply(values, weight, bias, targets, row_weight, smoothing, chunk_rows)  # type: ignore[no-untyped-call]
    return loss


class _Chunked(torch.autograd.Function):
    """Gradients are made on the way forward, where each chunk's logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, row_weight: Tensor,
        smoothing: float, chunk_rows: int,
    ) -> Tensor:  # fmt: skip
        kind = values.device.type
        computed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype
        exact = torch.promote_types(values.dtype, torch.float32)
        matrix, wanted = weight.to(computed), any(ctx.needs_input_grad)
        loss = torch.zeros((), dtype=exact, device=values.device)
        by_values, by_weight = torch.empty_like(values), torch.zeros_like(weight, dtype=exact)
        by_bias = torch.zeros(len(weight), dtype=exact, device=values.device)
        for start in range(0, len(values), chunk_rows):
            rows = slice(start, start + chunk_rows)
            part, weighed = values[rows].to(computed), row_weight[rows, None].to(exact)
            answers = targets[rows, None].long().where(weighed != 0, 0)
            logits = (part @ matrix.T).to(exact)
            logits = logits if bias is None else logits.add_(bias)
            log_sum = logits.logsumexp(1, keepdim=True)
            wrong = log_sum - (1 - smoothing) * logits.gather(1, answers)
            wrong -= smoothing * logits.mean(1, keepdim=True) if smoothing else 0
            loss += (weighed * wrong).sum()
            if not wanted:
                continue
            slope = logits.sub_(log_sum).exp_()  # softmax, and then its distance from the target
            slope.scatter_add_(1, answers, torch.full_like(weighed, smoothing - 1))
            slope = slope.sub_(smoothing / len(weight)).mul_(weighed)
            by_bias += slope.sum(0)
            slope = slope.to(computed)
            by_values[rows] = slope @ matrix
            by_weight += slope.T @ part
        ctx.save_for_backward(by_values, by_weight.to(weight.dtype), None if bias is None else by_bias.to(bias.dtype))
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        known = (None if one is None else (slope * one).to(one.dtype) for one in ctx.saved_tensors)
        return (*known, None, None, None, None)
