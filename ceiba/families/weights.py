"""Weights by the table of a family, in both directions."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ceiba.base.errors import DataError
from ceiba.families.family import Network, Weight


def own_weights(
    table: list[Weight], own: Mapping[str, Tensor], read: Callable[[str], Tensor], where: str
) -> dict[str, Tensor]:
    """Own name → the foreign weights in own form; names that are not in `own` are passed over (a head that is not
    wanted).

    Raises: DataError for a weight that is missing or has another shape.
    """
    found = {}
    for weight in table:
        if weight.own in own:
            made = _made(weight, [read(name) for name in weight.foreign], own[weight.own].shape)
            if made.shape != own[weight.own].shape:
                shapes = f"{tuple(made.shape)} where {tuple(own[weight.own].shape)} fits"
                raise DataError(
                    f"{where} must hold {weight.foreign[0]} as config.json has it", shapes, "Download it again"
                )
            found[weight.own] = made.to(own[weight.own].dtype)
    return found


def _made(weight: Weight, parts: list[Tensor], shape: torch.Size) -> Tensor:
    if weight.form == "rows":
        return torch.cat(parts)
    if weight.form == "transposed":
        return parts[0].T.contiguous()
    if weight.form == "places":
        return parts[0][weight.skip :]
    if weight.form == "table":
        rows = shape[0] - parts[0].shape[0]  # one for padding, where the tokenizer's own id 0 is a token
        return torch.cat([parts[0].new_zeros(rows, shape[1]), parts[0]]) if rows == 1 else parts[0]
    return parts[0]


def foreign_weights(table: list[Weight], own: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Foreign name → own weights in foreign form."""
    found = {}
    for weight in table:
        if weight.own in own:
            for name, part in zip(weight.foreign, _parts(weight, own[weight.own], network), strict=True):
                found[name] = part.detach().cpu().contiguous().clone()
    return found


def _parts(weight: Weight, value: Tensor, network: Network) -> list[Tensor]:
    if weight.form == "rows":
        if len(weight.foreign) == 2:
            return list(value.chunk(2))
        options = network.options
        head_dim = options.head_dim or network.dim // options.heads
        queries, keys = options.heads * head_dim, (options.kv_heads or options.heads) * head_dim
        return list(torch.split(value, [queries, keys, keys]))
    if weight.form == "transposed":
        return [value.T]
    if weight.form == "places":
        return [torch.cat([value.new_zeros(weight.skip, value.shape[1]), value])]
    if weight.form == "table":
        return [value[value.shape[0] - network.vocab :]]
    return [value]
