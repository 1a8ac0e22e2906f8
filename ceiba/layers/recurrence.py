"""Recurrent nets over padded rows.

Rows start at the left and are padded at the right. Forward in time, padding comes after the tokens and cannot reach
them. Backward in time, each row is turned round by its own length first, so padding again comes last. No packed
sequences: they cannot be exported.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ceiba.layers.regularization import Dropout

Cell = Literal["rnn", "lstm", "gru"]
OPEN, SHUT = 100.0, -100.0
"""Gate inputs whose sigmoid is 1, and 0 but for less than any float32 sum can hold."""


class ElmanRnn(nn.RNN):
    """h_t = tanh(W x_t + b + U h_{t-1} + c).

    When it is exported it takes the form of a GRU whose reset gate stands open and whose update gate is shut, because
    the exporter would unroll a plain recurrent net at the length of its example.
    Source: Elman 1990, "Finding structure in time", section 2.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, batch_first=True)

    def forward(  # type: ignore[override]
        self, values: Float[Tensor, "batch token inputs"]
    ) -> tuple[Float[Tensor, "batch token width"], Float[Tensor, "1 batch width"]]:
        if not torch.compiler.is_exporting():
            found: tuple[Tensor, Tensor] = super().forward(values)
            return found
        gates = torch.tensor([OPEN, SHUT], dtype=values.dtype).repeat_interleave(self.hidden_size)
        inputs, states, *biases = self.all_weights[0]
        flat = [
            torch.cat([weight.new_zeros(2 * self.hidden_size, weight.shape[1]), weight]) for weight in (inputs, states)
        ]
        flat += [torch.cat([start, bias]) for start, bias in zip((gates, torch.zeros_like(gates)), biases, strict=True)]
        start = values.new_zeros(1, values.shape[0], self.hidden_size)
        output, last = torch.gru(values, start, flat, True, 1, 0.0, False, False, True)
        return output, last


class Lstm(nn.LSTM):
    """i, f, o = σ(W x_t + U h_{t-1} + b), g = tanh(...); c_t = f ∘ c_{t-1} + i ∘ g; h_t = o ∘ tanh(c_t).

    Source: Hochreiter & Schmidhuber 1997, "Long short-term memory"; with the forget gate of Gers et al. 2000.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, batch_first=True)


class Gru(nn.GRU):
    """r, z = σ(W x_t + U h_{t-1} + b); n = tanh(W x_t + b + r ∘ (U h_{t-1} + c)); h_t = (1 - z) ∘ n + z ∘ h_{t-1}.

    Source: Cho et al. 2014, arXiv:1406.1078, section 2.3.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__(inputs, width, batch_first=True)


CELLS: dict[str, type[ElmanRnn] | type[Lstm] | type[Gru]] = {"rnn": ElmanRnn, "lstm": Lstm, "gru": Gru}


def turned_round(mask: Bool[Tensor, "batch token"]) -> Int[Tensor, "batch token"]:
    """Where each place of a row is read when its tokens are read from last to first; padding stays where it is."""
    place = torch.arange(mask.shape[1], device=mask.device).unsqueeze(0)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)


def reorder(
    values: Float[Tensor, "batch token dim"], order: Int[Tensor, "batch token"]
) -> Float[Tensor, "batch token dim"]:
    """Each row's vectors in a new order."""
    return values.gather(1, order.unsqueeze(-1).expand(-1, -1, values.shape[2]))


def opened(values: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]) -> Tensor:
    """The same vectors. The exporter takes the time of its example for that of every run, and whatever reads it later
    is frozen; read through an index of the mask's own length, it is open again."""
    if not torch.compiler.is_exporting():
        return values
    return reorder(values, torch.arange(mask.shape[1], device=mask.device).expand(mask.shape))


class Recurrent(nn.Module):
    """Layers of recurrent cells, each read forward and, if bidirectional, backward too. Weights start as torch's."""

    def __init__(self, cell: Cell, inputs: int, width: int, layers: int, bidirectional: bool, dropout: float):
        super().__init__()
        self.width = width * (2 if bidirectional else 1)
        sizes = [inputs, *([self.width] * (layers - 1))]
        self.forwards = nn.ModuleList(CELLS[cell](size, width) for size in sizes)
        self.backwards = nn.ModuleList(CELLS[cell](size, width) for size in sizes if bidirectional)
        self.dropout = Dropout(dropout)

    def forward(
        self, values: Float[Tensor, "batch token inputs"], mask: Bool[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token width"]:
        order = turned_round(mask) if self.backwards else None
        for place, layer in enumerate(self.forwards):
            below = values if place == 0 else self.dropout(values)
            values = opened(layer(below)[0], mask)
            if order is not None:
                back = self.backwards[place](reorder(below, order))[0]
                values = torch.cat([values, reorder(back, order)], -1)
        return values
