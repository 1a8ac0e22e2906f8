"""Training anew what was cut: the data of the bundle's recipe, and a few epochs under the eye of the original."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ceiba.base.errors import CeibaError
from ceiba.base.yaml import read_yaml
from ceiba.batches import Batches
from ceiba.bundle import Bundle
from ceiba.fields import Layout, Ragged
from ceiba.model import Model
from ceiba.predict import Predictor
from ceiba.prepare import DataSpec, Splits, load_splits, prepare_arrays
from ceiba.train import TrainSpec, fit
from ceiba.train.distill import plain, student_of

PATHS = ("train", "valid", "test", "files")
EPOCHS = 0.5
"""Share of the recipe's epochs that a cut network is trained for, unless told."""
CALIBRATION_BATCHES, CALIBRATION_ROWS = 8, 32


@dataclass(frozen=True)
class Workshop:
    """A bundle's data and settings, for those who train its network anew."""

    model: Model
    layouts: Mapping[str, Layout]
    predictor: Predictor
    splits: Splits
    spec: TrainSpec
    weight: str | None
    made: dict[str, Batches] = field(default_factory=dict)

    def batches(self, name: str) -> Batches:
        """The batches of one split."""
        if name not in self.made:
            frame = self.splits.parts()[name]
            arrays = prepare_arrays(frame, self.predictor.fields, self.weight, rows=self.splits.rows[name])
            self.made[name] = Batches(arrays, self.spec.batch_rows, self.spec.seed)
        return self.made[name]

    def calibration(self) -> list[dict[str, Any]]:
        """Training rows that ranges are measured on; none of them decides."""
        arrays = self.batches("train").arrays
        count = min(arrays.num_rows, CALIBRATION_BATCHES * CALIBRATION_ROWS)
        chosen = np.linspace(0, arrays.num_rows - 1, count).astype(np.int64)
        return [
            {name: part.take(rows).pad() if isinstance(part, Ragged) else np.asarray(part[rows])
             for name, part in arrays.parts.items()}
            for rows in np.array_split(chosen, max(1, count // CALIBRATION_ROWS))
        ]  # fmt: skip

    def taught(self, student: Model, epochs: float, masks: Mapping[str, Tensor] | None = None) -> Model:
        """The student after a share of the recipe's epochs, held to the targets and to the original's answers; weights
        that are masked stay zero."""
        count = max(1, math.ceil(epochs * self.spec.epochs))
        spec = self.spec.model_copy(update={"epochs": count, "patience": None})
        train = Batches(self.batches("train").arrays, spec.batch_rows, spec.seed, spec.augment)
        learner = student_of(student, self.model, self.layouts)
        with tempfile.TemporaryDirectory(prefix="ceiba-compress-") as folder:
            identity = {"recipe": "compress", "data": self.splits.train.identity}
            with held_at_zero(learner, masks or {}):
                fit(learner, train, self.batches("valid"), self.predictor.answers, spec, Path(folder), identity)
        return plain(learner, student.spec, self.layouts)


def open_workshop(bundle: Bundle, model: Model, predictor: Predictor) -> Workshop | None:
    """The data of a bundle's recipe; None where they are no longer there."""
    recipe, _ = read_yaml(bundle.recipe_text, "recipe.yaml")
    if not isinstance(recipe, Mapping) or "data" not in recipe:
        return None
    data = dict(recipe["data"])
    for name in PATHS:
        if isinstance(data.get(name), str):
            data[name] = str((bundle.folder / data[name]).resolve())
        elif isinstance(data.get(name), list):
            data[name] = [str((bundle.folder / one).resolve()) for one in data[name]]
    try:
        spec = DataSpec.model_validate(data)
        splits = load_splits(spec, [name for name in predictor.answers if name not in predictor.fields.inputs])
    except (CeibaError, OSError):
        return None
    return Workshop(model, predictor.fields.layouts(), predictor, splits, TrainSpec.model_validate(recipe["train"]),
                    spec.weight)  # fmt: skip


def sparse_masks(model: Model, share: float) -> dict[str, Tensor]:
    """1 where a weight stays: the `share` of all matrix weights that are nearest to zero go, over the whole network.

    Source: Han et al. 2015, arXiv:1506.02626, section 3.
    """
    weights = {name: one.detach() for name, one in model.named_parameters() if one.ndim > 1 and "table" not in name}
    sizes = torch.cat([one.abs().flatten() for one in weights.values()])
    cut = sizes.kthvalue(max(1, int(share * len(sizes)))).values
    return {name: (one.abs() > cut).float() for name, one in weights.items()}


@contextmanager
def held_at_zero(model: Model, masks: Mapping[str, Tensor]) -> Iterator[None]:
    """While it is trained, weights that were taken out stay zero: they get no gradient."""
    handles = []
    for name, weight in model.named_parameters():
        if name in masks:
            with torch.no_grad():
                weight.mul_(masks[name])
            handles.append(weight.register_hook(partial(torch.mul, masks[name])))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
