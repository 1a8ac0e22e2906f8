"""What the model that a training begins with makes of its rows, computed once, before the first step."""

from dataclasses import replace

import numpy as np
import torch

from ceiba.batches import Batches
from ceiba.fields import REFERENCE
from ceiba.model import Model
from ceiba.prepare import Arrays
from ceiba.train.spec import TrainSpec
from ceiba.train.step import pick_device


@torch.inference_mode()
def with_reference(model: Model, arrays: Arrays, spec: TrainSpec) -> Arrays:
    """The arrays with `NAME.reference`, (row, 2): log p of each pair of answers under the model as it is now; without
    an output that compares answers, the same arrays."""
    name = next((name for name in model.head_slots if model.head(name).compares), None)
    if name is None:
        return arrays
    device, was = torch.device(pick_device(spec.device)), model.training
    model.to(device).eval()
    found = np.zeros((arrays.num_rows, 2), np.float32)
    for rows, batch in Batches(arrays, spec.batch_rows, spec.seed).in_order():
        found[rows] = model(batch.to(device).inputs)[name].float().cpu().numpy()
    model.train(was)
    return replace(arrays, parts={**arrays.parts, f"{name}.{REFERENCE}": found})
