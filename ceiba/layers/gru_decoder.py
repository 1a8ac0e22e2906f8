"""A recurrent decoder: at each step it asks the tokens of a source, by its state so far, what to read next."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ceiba.layers.attention import MASKED_SCORE
from ceiba.layers.regularization import Dropout
from ceiba.layers.tokens import Tokens


class AdditiveAttention(nn.Module):
    """e_j = vᵀ tanh(W s + U h_j); the mixture of h by softmax(e). A source without a token gives zeros.

    Source: Bahdanau et al. 2015, arXiv:1409.0473, equations 5 and 6, appendix A.1.2.
    """

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.state, self.source = nn.Linear(width, width, bias=False), nn.Linear(dim, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(
        self,
        state: Float[Tensor, "batch width"],
        keys: Float[Tensor, "batch source width"],
        values: Float[Tensor, "batch source dim"],
        mask: Bool[Tensor, "batch source"],
    ) -> Float[Tensor, "batch dim"]:
        scores = self.score(torch.tanh(self.state(state).unsqueeze(1) + keys)).squeeze(-1)
        share = scores.masked_fill(~mask, MASKED_SCORE).softmax(1) * mask
        mixed: Tensor = (share.unsqueeze(1) @ values).squeeze(1)
        return mixed


class GruState:
    """What writing keeps from token to token: the source, what of it is compared, and each layer's state."""

    places = None

    def __init__(self, tokens: Tokens, keys: Tensor, states: list[Tensor]):
        self.values, self.mask, self.keys, self.states = tokens.values, tokens.mask, keys, states

    def keep(self, rows: Int[Tensor, "row"]) -> None:
        """Go on with these rows alone, in this order; a row may be kept several times."""
        self.values, self.mask, self.keys = (one.index_select(0, rows) for one in (self.values, self.mask, self.keys))
        self.states = [one.index_select(0, rows) for one in self.states]


class GruDecoder(nn.Module):
    """c = attention(s, source); s ← GRU([y; c], s), further layers above it; out tanh(W [s; y; c]).

    y is the token before. The states begin as tanh(W m + b), m the mean of the source's tokens, and a dense layer with
    tanh stands where the source has a maxout. Source: Bahdanau et al. 2015, arXiv:1409.0473, appendix A.2.2.
    """

    def __init__(self, dim: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.attention = AdditiveAttention(dim, width)
        self.start = nn.Linear(dim, layers * width)
        self.cells = nn.ModuleList(nn.GRUCell(width if place else 2 * dim, width) for place in range(layers))
        self.out, self.dropout = nn.Linear(width + 2 * dim, dim), Dropout(dropout)

    def begin(self, tokens: Tokens) -> GruState:
        """What is kept while texts are written from a source."""
        there = tokens.mask.unsqueeze(-1).to(tokens.values.dtype)
        mean = (tokens.values * there).sum(1) / there.sum(1).clamp(min=1)
        states = torch.tanh(self.start(mean)).chunk(len(self.cells), -1)
        return GruState(tokens, self.attention.source(tokens.values), list(states))

    def forward(
        self, values: Float[Tensor, "batch token dim"], source: Tokens | GruState
    ) -> Float[Tensor, "batch token dim"]:
        """All tokens of each text beside its source; or one new token of each, beside what was written before."""
        state = source if isinstance(source, GruState) else self.begin(source)
        return torch.stack([self._step(one, state) for one in values.unbind(1)], 1)

    def _step(self, token: Float[Tensor, "batch dim"], state: GruState) -> Float[Tensor, "batch dim"]:
        seen = self.attention(state.states[-1], state.keys, state.values, state.mask)
        below = torch.cat([token, seen], -1)
        for place, cell in enumerate(self.cells):
            state.states[place] = cell(below if place == 0 else self.dropout(below), state.states[place])
            below = state.states[place]
        out: Tensor = self.dropout(torch.tanh(self.out(torch.cat([below, token, seen], -1))))
        return out
