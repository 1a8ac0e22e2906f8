"""The way of the data, in order. Who reads only this file knows the product.

Recipe ─┬─ read ──► Frame ── fit ──► Fields ── prepare ──► Arrays ── batches ──► Batch ─┐
        └─ build ─────────────────────────────────────────► Model ──────────────────────┴─ train ──► Bundle
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ceiba.adapt import begin, open_teacher, teach
from ceiba.base.files import hold
from ceiba.base.memory import PeakMemory, give_back, lean
from ceiba.base.timing import Phases
from ceiba.batches import Batches, masking_of
from ceiba.bundle import ROWS, Bundle, open_bundle, write_bundle
from ceiba.evaluate import RowScores, evaluate, fit_beside
from ceiba.fields import Fields
from ceiba.model import Model, TorchBackend, build_model, save_weights
from ceiba.predict import Predictor
from ceiba.prepare import Arrays, Splits, fit_fields, load_splits, prepare_arrays, profile, truncation_notes
from ceiba.recipe import (
    Recipe,
    answers_of,
    complete,
    known_fields,
    model_spec,
    origin_of,
    output_layouts,
    read_recipe,
    thresholds_of,
)
from ceiba.report import card, render_html
from ceiba.train import Trained, choose_thresholds, fit, run_folder
from ceiba.train.distill import taught_by
from ceiba.train.features import with_features
from ceiba.train.reference import with_reference
from ceiba.train.sinks import Sink
from ceiba.train.writing import writers


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its bundle and its report."""

    folder: Path
    bundle: Bundle
    report: dict[str, Any]

    @property
    def page(self) -> Path:
        """The report, for a browser."""
        return self.bundle.folder / "report.html"

    def _repr_html_(self) -> str:
        return render_html(self.report)


def train(
    source: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
) -> Run:
    """A recipe → a bundle that is trained, measured and ready to answer, in the folder of a run.

    Raises: CeibaError and its kinds; nothing half-written is left under a final name.
    """
    recipe = read_recipe(source, overrides)
    folder = run_folder(recipe.title, out, resume)
    with PeakMemory() as memory:
        phases = Phases()
        with phases("read"), lean():
            splits = load_splits(recipe.data, recipe.targets)
        with hold(folder):
            return train_splits(recipe, splits, folder, resume, phases, memory)


def train_splits(recipe: Recipe, splits: Splits, folder: Path, resume: bool, phases: Phases, memory: PeakMemory) -> Run:
    """The same, from rows that are already read and shared out."""
    frames = splits.parts()
    held = {name: frame for name, frame in frames.items() if name != "train"}
    with phases("prepare"), lean():
        found = profile(splits.train, recipe.targets, held, recipe.texts)
        give_back()
        recipe = complete(recipe, splits.train, found.kinds)
        seed = recipe.train.seed
        fields, arrays = encode(recipe, splits)
    with phases("train"):
        answers = answers_of(recipe, fields)
        start = partial(untrained, recipe, fields)
        baselines = fit_beside(recipe.evaluate, splits.train, held, fields, answers, seed, start)
        model, trained = learn(recipe, fields, arrays, folder, splits.train.identity, resume, settled=baselines.begin)
        valid = Batches(arrays["valid"], recipe.train.batch_rows, seed)
        recipe = recipe.model_copy(update={"train": trained.spec})
        answers = choose_thresholds(answers, model, valid, thresholds_of(recipe))
    with phases("evaluate"):
        give_back()
        predictor, rows = Predictor(fields, answers, TorchBackend(model)), RowScores()
        report = evaluate(
            predictor, held, slices=recipe.evaluate.slices, baselines=baselines.result(), seed=seed, keep=rows.add
        )
    told = [*(caution.text for caution in found.warnings), *truncation_notes(arrays["train"], fields)]
    report["notes"] = [*splits.notes, *told, *trained.notes, *report["notes"]]
    report |= {"title": recipe.title, "data": found.to_json(), "history": trained.history}
    report["recipe"] = recipe.to_yaml(folder / "bundle")
    report["cost"] |= {"seconds": phases.total, "phases": phases.seconds, "parameters": model.num_parameters}
    report["cost"] |= {"trained_parameters": model.num_trained}
    origin = origin_of(recipe)
    if origin is not None:
        report["notes"].append(origin.note)
    report["cost"] |= {"peak_memory_bytes": memory.bytes, **trained.cost}
    path = write_bundle(
        folder / "bundle", kind="model", model=model.to_json(),
        answers={name: answer.to_json() for name, answer in answers.items()},
        fields_json=fields.to_json(), field_files=fields.files(), recipe_yaml=report["recipe"],
        weights=save_weights(model), report=report, report_html=render_html(report), card=card(report),
        data_hash=splits.train.identity, meta={"ids": list(recipe.data.ids), "reading": recipe.reading},
        parents=[] if origin is None else origin.parents, edits=model.edits,
        extra={ROWS: rows.to_bytes()},
    )  # fmt: skip
    return Run(folder, open_bundle(path), report)


def encode(recipe: Recipe, splits: Splits) -> tuple[Fields, dict[str, Arrays]]:
    """What a complete recipe's columns are, learnt from the training rows; the rows that training reads, encoded."""
    known = known_fields(recipe, origin_of(recipe))
    teacher = None if recipe.teacher is None else open_teacher(recipe.teacher)
    if teacher is not None:  # its logits speak of its own labels and scales
        known = {**teacher[1].fields.outputs, **known}
    fields = fit_fields(
        splits.train, recipe.input_fields, recipe.output_fields, recipe.train.seed, recipe.shared_inputs,
        recipe.input_columns, known, recipe.lent,
    )  # fmt: skip
    frames = splits.parts()
    arrays = {
        name: prepare_arrays(frames[name], fields, recipe.data.weight, rows=splits.rows[name], training=name == "train")
        for name in ("train", "valid")
    }
    if teacher is not None:
        arrays["train"] = teach(*teacher, arrays["train"], frames["train"], answers_of(recipe, fields))
    return fields, arrays


def network(recipe: Recipe, fields: Fields) -> Model:
    """A complete recipe's network as training begins with it."""
    outputs = output_layouts(answers_of(recipe, fields), fields)
    model = build_model(model_spec(recipe), fields.layouts(), outputs, recipe.train.seed)
    if (origin := origin_of(recipe)) is not None:
        begin(model, origin, recipe.adapt)
    return model


def untrained(recipe: Recipe, fields: Fields) -> Predictor:
    """What answers as training begins."""
    return Predictor(fields, answers_of(recipe, fields), TorchBackend(network(recipe, fields)))


def batches_of(recipe: Recipe, fields: Fields, arrays: Mapping[str, Arrays]) -> tuple[Batches, Batches]:
    """What is trained on, and what it is validated on."""
    rows, seed, masking = recipe.train.batch_rows, recipe.train.seed, masking_of(fields)
    train = Batches(arrays["train"], rows, seed, recipe.train.augment, masking=masking)
    return train, Batches(arrays["valid"], rows, seed, masking=masking)


def learn(
    recipe: Recipe,
    fields: Fields,
    arrays: Mapping[str, Arrays],
    folder: Path,
    data: str,
    resume: bool = False,
    sinks: Sequence[Sink] = (),
    settled: Callable[[], None] = lambda: None,
) -> tuple[Model, Trained]:
    """A complete recipe's network, trained; `data` is the identity of the training rows.

    `settled` is called when the settings of the training are known, and other work disturbs no measurement any more.
    """
    model, answers = network(recipe, fields), answers_of(recipe, fields)
    arrays = {
        split: with_features(model, with_reference(model, one, recipe.train), recipe.train)
        for split, one in arrays.items()
    }
    batches, valid = batches_of(recipe, fields, arrays)
    sinks = [*sinks, *writers(model, fields, valid, recipe.train, folder)]
    identity = {"recipe": recipe.identity, "data": data}
    teacher = recipe.teacher
    learner = model if teacher is None else taught_by(model, None, teacher.temperature, teacher.share)
    return model, fit(learner, batches, valid, answers, recipe.train, folder, identity, resume, sinks, settled)
