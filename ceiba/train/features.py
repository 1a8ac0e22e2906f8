"""What encoders that are not trained make of the rows: computed once, before the first step, not once an epoch."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ceiba.base.spec import Spec
from ceiba.batches import AugmentSpec, gather
from ceiba.encoders import Encoder
from ceiba.fields import BESIDE, FEATURES
from ceiba.layers import pool
from ceiba.model import Model
from ceiba.prepare import Arrays, with_parts
from ceiba.train.spec import TrainSpec
from ceiba.train.step import pick_device

ROWS = 64
"""Rows that are computed together, always the same ones, so that a training that goes on sees the same numbers."""


def with_features(model: Model, arrays: Arrays, spec: TrainSpec) -> Arrays:
    """The arrays with `GROUP.features`, (row, width), in place of what a settled encoder reads: the mean of its tokens.

    Unchanged where tokens are read one by one, or rows are augmented, so that they are others in each epoch.
    """
    if spec.augment != AugmentSpec() or not means_alone(model):
        return arrays
    device = torch.device(pick_device(spec.device))
    for name in model.groups:
        encoder = model.encoders[model.slots[name]]
        assert isinstance(encoder, Encoder)
        own = {part: f"{name}.{part}" for part in parts_of(arrays, name)}
        if encoder.is_settled and not encoder.members and own:
            options = model.spec.encoders[model.spec.shared.get(name, name)]
            identity = f"{name} {identity_of(encoder.settled, options)} {device.type}"
            arrays = _replaced(arrays, name, own, encoder, device, identity)
    return arrays


def means_alone(model: Model) -> bool:
    """Whether of each group nothing is read but the mean of its tokens."""
    heads = [model.head(name) for name in model.head_slots]
    return model.trunk.pools and not any(
        one.per_token or one.quotes or one.writes or one.shifts or one.masks for one in heads
    )


def parts_of(arrays: Arrays, name: str) -> list[str]:
    """What the encoder of a group reads."""
    found = [part.rsplit(".", 1) for part in arrays.parts]
    return [part for group, part in found if group == name and part not in BESIDE]


def _replaced(
    arrays: Arrays, name: str, own: dict[str, str], encoder: Encoder, device: torch.device, identity: str
) -> Arrays:
    read = replace(arrays, parts={part: arrays.parts[part] for part in own.values()}, targets={}, weight=None)

    @torch.inference_mode()
    def made() -> Iterator[dict[str, NDArray[Any]]]:
        was = encoder.training
        encoder.to(device).eval()
        for start in range(0, arrays.num_rows, ROWS):
            inputs = gather(read, np.arange(start, min(start + ROWS, arrays.num_rows))).to(device).inputs
            found = encoder.body({part: inputs[whole] for part, whole in own.items()})
            yield {f"{name}.{FEATURES}": pool(found).float().cpu().numpy()}
        encoder.train(was)

    wider = with_parts(arrays, identity, made)
    return replace(wider, parts={part: one for part, one in wider.parts.items() if part not in own.values()})


def identity_of(network: nn.Module, options: Spec) -> str:
    """A name made of what it was built by, its weights, and constants such as the mean of a pixel; dropout, which a
    settled network has none of, aside."""
    found = hashlib.sha256(json.dumps(options.model_dump(mode="json", exclude={"dropout"}), sort_keys=True).encode())
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
