"""Quick models: what scikit-learn reaches in a second or two on the same rows.

Tables: histogram gradient boosting. Text: TF-IDF and a linear model. Images: a linear model of pixels. A table beside
text or images: gradient boosting on its columns and a few components of the rest.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.answers import Answer
from ceiba.base.optional import require
from ceiba.evaluate.inputs import TO, Matrix, Part, condensed, fit_image, fit_table, fit_text, table_columns
from ceiba.fields import Fields
from ceiba.read import Frame

MOST_TABLE_ROWS, MOST_TEXT_ROWS, MOST_IMAGE_ROWS = 50_000, 20_000, 3_000
ROUNDS = 100
FEWEST_ROUNDS = 20
MOST_TREES = 300
RATE, MOST_RATE = 0.1, 0.3
TEXT_STRENGTH, IMAGE_STRENGTH = 5.0, 0.02
LINEAR_STEPS = 200
LINEAR_TOLERANCE = 1e-3

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The way from rows to the columns of numbers that quick models read; outputs of the same rows share it."""

    columns: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """What the columns are, for a person."""
        return " and ".join(part.text for part in self.parts)

    def matrices(self, frame: Frame) -> Iterator[Matrix]:
        """The columns of every row, a batch at a time."""
        for batch in frame.batches(self.columns):
            if batch.num_rows:
                yield joined([part.transform(batch) for part in self.parts])


@dataclass(frozen=True)
class Quick:
    """A fitted scikit-learn model of one output, or one model a label."""

    text: str
    """What it is, for a person."""
    rows: int
    """Training rows it learnt from."""
    kind: str
    num_labels: int
    inputs: Inputs
    models: tuple[Any, ...]

    def scores(self, matrix: Matrix) -> Array:
        """Probabilities, or numbers in the user's units."""
        if self.kind == "number":
            return np.asarray(self.models[0].predict(matrix), dtype=np.float64)
        if self.kind == "labels":
            return np.column_stack([_probabilities(model, matrix, 2)[:, 1] for model in self.models])
        probabilities = _probabilities(self.models[0], matrix, self.num_labels)
        return probabilities[:, 1] if self.kind == "binary" else probabilities

    def no_scores(self) -> Array:
        """The scores of no rows."""
        return np.empty((0,) if self.kind in ("binary", "number") else (0, self.num_labels))


def quick_scores(models: Mapping[str, Quick], frame: Frame) -> dict[str, Array]:
    """Scores of every row by output; the inputs that outputs share are built once."""
    found: dict[str, list[Array]] = {name: [] for name in models}
    with one_thread():
        for inputs in {id(model.inputs): model.inputs for model in models.values()}.values():
            sharing = {name: model for name, model in models.items() if model.inputs is inputs}
            for matrix in inputs.matrices(frame):
                for name, model in sharing.items():
                    found[name].append(model.scores(matrix))
    return {name: np.concatenate(parts or [models[name].no_scores()]) for name, parts in found.items()}


def _probabilities(model: Any, matrix: Matrix, num_classes: int) -> Array:
    """Probabilities by class place; a class that the training rows lack has none."""
    result = np.zeros((matrix.shape[0], num_classes))
    if isinstance(model, int):
        result[:, model] = 1
    else:
        result[:, model.classes_] = model.predict_proba(matrix)
    return result


def one_thread() -> AbstractContextManager[Any]:
    """OpenMP and BLAS held to one thread for a while: beside other work, busy waiting costs more than it saves."""
    require("sklearn.ensemble", "train", TO)  # loads what is to be held
    limits: AbstractContextManager[Any] = require("threadpoolctl", "train", TO).threadpool_limits(1)
    return limits


def joined(matrices: Sequence[Matrix]) -> Matrix:
    """Matrices side by side, sparse if one of them is."""
    if len(matrices) == 1:
        return matrices[0]
    if all(isinstance(matrix, np.ndarray) for matrix in matrices):
        return np.concatenate(matrices, axis=1)
    return require("scipy.sparse", "train", TO).hstack(matrices, format="csr")


def input_kinds(fields: Fields) -> set[str]:
    """Which of table, text and image are among the inputs."""
    other = {one.kind for one in fields.inputs.values()} & {"text", "image"}
    return other | ({"table"} if table_columns(fields) else set())


def most_rows(fields: Fields) -> int:
    """How many training rows a quick model learns from at most, to stay quick."""
    kinds = input_kinds(fields)
    if "image" in kinds:
        return MOST_IMAGE_ROWS
    return MOST_TEXT_ROWS if "text" in kinds else MOST_TABLE_ROWS


def fit_inputs(train: Frame, fields: Fields, seed: int) -> tuple[Inputs, Matrix]:
    """The inputs as columns of numbers: all in full, or text and images condensed beside a table."""
    table = table_columns(fields)
    others = {fields.column(name): one for name, one in fields.inputs.items() if one.kind in ("text", "image")}
    columns = tuple(dict.fromkeys((*map(fields.column, table), *others)))
    rows = train.select(columns).to_table().combine_chunks().to_batches()[0]
    parts = [fit_table(fields, rows)] if table else []
    for name, one in others.items():
        part = fit_text(name, rows) if one.kind == "text" else fit_image(name, one, rows)
        parts.append(condensed(*part, seed) if table else part)
    return Inputs(columns, tuple(part for part, _ in parts)), joined([matrix for _, matrix in parts])


def fit_quick(inputs: Inputs, matrix: Matrix, fields: Fields, answer: Answer, truth: Array, seed: int) -> Quick:
    """Learn one output from rows whose truths are all there."""
    kinds = input_kinds(fields)
    num_labels = len(getattr(answer, "labels", ()))
    if "table" in kinds:
        is_category = [flag for part in inputs.parts for flag in part.is_category]
        models, what = fit_trees(matrix, truth, answer.kind, is_category, num_labels, seed)
    else:
        strength = IMAGE_STRENGTH if "image" in kinds else TEXT_STRENGTH
        models, what = fit_linear(matrix, truth, answer.kind, strength, seed)
    return Quick(f"{what} on {inputs.text}", len(truth), answer.kind, num_labels, inputs, models)


def fit_trees(
    matrix: Matrix, truth: Array, kind: str, is_category: list[bool], num_labels: int, seed: int
) -> tuple[tuple[Any, ...], str]:
    """Histogram gradient boosting as scikit-learn sets it; fewer, longer steps where a step grows many trees."""
    ensemble = require("sklearn.ensemble", "train", TO)
    # A column without any value cannot be binned; one value alone is never split on.
    matrix = np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)
    trees_a_round = num_labels if kind in ("classes", "labels") else 1
    rounds = int(np.clip(MOST_TREES // max(trees_a_round, 1), FEWEST_ROUNDS, ROUNDS))
    options = {
        "categorical_features": is_category, "max_iter": rounds, "random_state": seed,
        "learning_rate": min(RATE * ROUNDS / rounds, MOST_RATE),
    }  # fmt: skip
    what = f"gradient boosting ({rounds} rounds)"
    if kind == "number":
        return (ensemble.HistGradientBoostingRegressor(**options).fit(matrix, truth),), what
    return _each(lambda: ensemble.HistGradientBoostingClassifier(**options), matrix, truth, kind), what


def fit_linear(matrix: Matrix, truth: Array, kind: str, strength: float, seed: int) -> tuple[tuple[Any, ...], str]:
    """Logistic or ridge regression."""
    linear = require("sklearn.linear_model", "train", TO)
    if kind == "number":
        return (linear.Ridge(alpha=1 / strength, random_state=seed).fit(matrix, truth),), "ridge regression"
    options = {"C": strength, "max_iter": LINEAR_STEPS, "tol": LINEAR_TOLERANCE, "random_state": seed}
    with warnings.catch_warnings():
        # A baseline that has not settled is still a baseline, and nothing that the user could mend.
        warnings.simplefilter("ignore", require("sklearn.exceptions", "train", TO).ConvergenceWarning)
        return _each(lambda: linear.LogisticRegression(**options), matrix, truth, kind), "logistic regression"


def _each(make: Any, matrix: Matrix, truth: Array, kind: str) -> tuple[Any, ...]:
    """One classifier, or one a label; a label that is always or never there is its own answer."""
    if kind != "labels":
        return (make().fit(matrix, truth),)
    columns = (truth > 0).astype(np.int64).T
    return tuple(int(column[0]) if (column == column[0]).all() else make().fit(matrix, column) for column in columns)
