"""The way of the data, in order. Who reads only this file knows the product.

Recipe ─┬─ read ──► Frame ── fit ──► Fields ── prepare ──► Arrays ── batches ──► Batch ─┐
        └─ build ─────────────────────────────────────────► Model ──────────────────────┴─ train ──► Bundle
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ceiba import __version__
from ceiba.base.files import hold
from ceiba.base.memory import PeakMemory
from ceiba.base.progress import say
from ceiba.batches import Batches
from ceiba.bundle import Bundle, open_bundle, write_bundle
from ceiba.evaluate import evaluate_splits, fit_baselines
from ceiba.model import TorchBackend, build_model, save_weights
from ceiba.predict import Predictor
from ceiba.prepare import Splits, fit_fields, load_splits, prepare_arrays
from ceiba.recipe import Recipe, complete, model_spec, outputs_of, read_recipe
from ceiba.report import card, render_html
from ceiba.train import fit


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its bundle and its report."""

    folder: Path
    bundle: Bundle
    report: dict[str, Any]

    def _repr_html_(self) -> str:
        return render_html(self.report)


def train(
    source: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
) -> Run:
    """A recipe → a bundle that is trained, measured and ready to answer, in the folder of a run.

    Raises: CeibaError and its kinds, before anything is written under a final name.
    """
    recipe = read_recipe(source, overrides)
    folder = run_folder(recipe, out, resume)
    with hold(folder), PeakMemory() as memory:
        return _train(recipe, load_splits(recipe.data, list(recipe.outputs)), folder, resume, memory)
