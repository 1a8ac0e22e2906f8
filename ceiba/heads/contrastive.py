"""Contrastive loss: which key belongs to which query. Not a head: it needs two vectors a row and no target."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def info_nce(
    queries: Float[Tensor, "batch dim"], keys: Float[Tensor, "batch dim"], temperature: float = 0.07
) -> Float[Tensor, ""]:
    """-log softmax_j(cos(q_i, k_j) / temperature) at j = i, the mean over rows and over both directions.

    Row i of the queries belongs to row i of the keys; all other rows of the batch stand against it.
    Source: van den Oord et al. 2018, arXiv:1807.03748, equation 4; both directions: Radford et al. 2021,
    arXiv:2103.00020, figure 3.
    """
    likeness = F.normalize(queries.float(), dim=-1) @ F.normalize(keys.float(), dim=-1).T / temperature
    place = torch.arange(len(likeness), device=likeness.device)
    return (F.cross_entropy(likeness, place) + F.cross_entropy(likeness.T, place)) / 2
