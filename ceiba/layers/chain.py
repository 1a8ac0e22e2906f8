"""A linear chain of tags: which tag likes to follow which."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class LinearChain(nn.Module):
    """score(y) = start[y₁] + Σ_t emission[t, y_t] + Σ_t transition[y_{t-1}, y_t] + end[y_T]; P(y) ∝ e^score(y).

    All parameters start at zero: before training each tag follows each other alike. Padding stands at the end of a row.

    Source: Lafferty, McCallum & Pereira 2001, "Conditional random fields", section 3; as in Lample et al. 2016,
    arXiv:1603.01360, section 2.2.
    """

    def __init__(self, labels: int):
        super().__init__()
        self.transition = nn.Parameter(torch.zeros(labels, labels))
        self.start, self.end = nn.Parameter(torch.zeros(labels)), nn.Parameter(torch.zeros(labels))

    def score(
        self,
        emissions: Float[Tensor, "batch token label"],
        tags: Int[Tensor, "batch token"],
        mask: Bool[Tensor, "batch token"],
    ) -> Float[Tensor, "batch"]:
        """The score of given tags; that of a row without tokens says nothing."""
        own = emissions.gather(2, tags.unsqueeze(2)).squeeze(2)
        steps = self.transition[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, (mask.sum(1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        within = (own * mask).sum(1) + (steps * mask[:, 1:]).sum(1)
        return self.start[tags[:, 0]] + within + self.end[last]

    def log_total(
        self, emissions: Float[Tensor, "batch token label"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch"]:
        """log Σ_y e^score(y) over all ways to tag a row, by the forward algorithm: α_t[j] is the logarithm of the sum
        over all ways that end in tag j at place t.

        α_1 = start + emission_1; α_t[j] = emission_t[j] + log Σ_i e^(α_{t-1}[i] + transition[i, j]).
        Source: Rabiner 1989, "A tutorial on hidden Markov models", equations 19 to 21.
        """
        alpha = self.start + emissions[:, 0]
        for place in range(1, emissions.shape[1]):
            ahead = torch.logsumexp(alpha.unsqueeze(2) + self.transition, 1) + emissions[:, place]
            alpha = torch.where(mask[:, place].unsqueeze(1), ahead, alpha)
        return torch.logsumexp(alpha + self.end, 1)
