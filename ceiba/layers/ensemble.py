"""An ensemble that shares most of its weights."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn


class EnsembleLinear(nn.Module):
    """y_m = s_m ∘ W (r_m ∘ x_m) + b_m: one matrix for all members m, three vectors for each of them.

    W and b start as torch's Linear does, all members alike; s starts at one, r at one or, where the members must part
    ways, normal(0, 1).
    Source: Wen et al. 2020, arXiv:2002.06715, equation 5; start: Gorishniy et al. 2024, arXiv:2410.24210, section 3.3.
    """

    def __init__(self, inputs: int, outputs: int, members: int, start: Literal["one", "normal"] = "one"):
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        first = torch.ones(members, inputs) if start == "one" else torch.randn(members, inputs)
        self.input_scale = nn.Parameter(first)
        self.output_scale = nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter(torch.empty(1, outputs).uniform_(-bound, bound).repeat(members, 1))

    def forward(self, values: Float[Tensor, "batch member inputs"]) -> Float[Tensor, "batch member outputs"]:
        return (values * self.input_scale) @ self.weight.T * self.output_scale + self.bias
