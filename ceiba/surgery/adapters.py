"""Several adapters beside one network: each row of a batch is answered by its own, or by the network alone.

The thin matrices of all adapters that a batch needs stand side by side, so that a layer takes two products more,
whatever their number, ranks and targets; what a row's own adapter has no part in is struck out between the two.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ceiba.surgery.lora import Parts
from ceiba.surgery.replaced import replaced

Pair = tuple[Float[Tensor, "inner inputs"], Float[Tensor, "outputs inner"]]
"""The matrix that reads and the one that writes, whose product is added to a layer's weights."""
Pairs = Mapping[str, Pair]
"""An adapter: path of a layer → what stands beside it."""


def thin_pair(outputs: int, parts: Parts, scale: float, down: Mapping[str, Tensor], up: Mapping[str, Tensor]) -> Pair:
    """LoRA's matrices of the parts of one layer as a single pair."""
    reading = torch.cat([down[name] for name in parts])
    writing = reading.new_zeros(outputs, len(reading))
    first = 0
    for name, (start, stop) in parts.items():
        last = first + len(down[name])
        writing[start:stop, first:last] = scale * up[name]
        first = last
    return reading, writing


class AdaptedLinear(nn.Module):
    """y = W x + b + U (m ∘ D x): D and U hold the pairs of all adapters of a pass, m is 1 for those columns alone that
    are of the row's own. `base` may be any module that maps features to features, quantized ones too.

    Source: Hu et al. 2021, arXiv:2106.09685, equation 3; for many in one batch: Sheng et al. 2023, arXiv:2311.03285,
    section 4.1.
    """

    def __init__(self, base: nn.Module, pairs: Mapping[str, Pair]):
        super().__init__()
        self.base, self.pairs = base, dict(pairs)
        self.names: tuple[str, ...] = ()
        """The adapters whose pairs `down` and `up` hold."""
        self.down = self.up = torch.zeros(0)
        self.hidden: Tensor | None = None

    def choose(self, names: tuple[str, ...], hidden: Bool[Tensor, "row 1 inner"] | None) -> None:
        """Make ready for a pass whose rows need these adapters."""
        if names and names != self.names:
            pairs = [self.pairs[name] for name in names]
            self.down, self.up = pairs[0] if len(pairs) == 1 else (
                torch.cat([down for down, _ in pairs]), torch.cat([up for _, up in pairs], 1),
            )  # fmt: skip
        self.names, self.hidden = names, hidden

    def forward(self, values: Float[Tensor, "row token inputs"]) -> Float[Tensor, "row token outputs"]:
        out: Tensor = self.base(values)
        if not self.names:
            return out
        inner = F.linear(values, self.down)
        if self.hidden is not None:
            inner.masked_fill_(self.hidden, 0)
        return torch.addmm(out.flatten(0, -2), inner.flatten(0, -2), self.up.T).view(out.shape)


class Adapted:
    """A network with adapters beside it, for the passes of one batch: `module` is a copy that shares all weights."""

    def __init__(self, module: nn.Module, adapters: Mapping[str, Pairs]):
        by_path: dict[str, dict[str, Pair]] = {}
        for name, pairs in adapters.items():
            for path, pair in pairs.items():
                by_path.setdefault(path, {})[name] = pair
        self.layers: list[AdaptedLinear] = []

        def adapted(path: str, part: nn.Module) -> nn.Module | None:
            if path not in by_path:
                return None
            self.layers.append(AdaptedLinear(part, by_path[path]))
            return self.layers[-1]

        self.module = replaced(module, adapted) if by_path else module
        assert len(self.layers) == len(by_path), "an adapter stands beside layers that are there"
        self.rows: tuple[str | None, ...] = ()

    def choose(self, rows: Sequence[str | None]) -> None:
        """The adapter of each row of the passes that follow; None: the network alone."""
        if tuple(rows) == self.rows:
            return
        self.rows = tuple(rows)
        needed = sorted({name for name in rows if name is not None})
        masks: dict[tuple[tuple[str, int], ...], Tensor | None] = {}
        for layer in self.layers:
            widths = tuple((name, len(layer.pairs[name][0])) for name in needed if name in layer.pairs)
            if widths not in masks:
                masks[widths] = self._hidden(widths, layer) if widths else None
            layer.choose(tuple(name for name, _ in widths), masks[widths])

    def _hidden(self, widths: tuple[tuple[str, int], ...], layer: AdaptedLinear) -> Bool[Tensor, "row 1 inner"] | None:
        """Which columns are not of a row's own adapter; None if all are of every row's."""
        owners = [name for name, width in widths for _ in range(width)]
        hidden = torch.tensor([[name != owner for owner in owners] for name in self.rows])
        return hidden[:, None].to(layer.pairs[owners[0]][0].device) if bool(hidden.any()) else None
