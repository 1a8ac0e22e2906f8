"""Foreign ONNX files → bundles: what a file reads and answers becomes columns; its graph is wrapped, not rewritten."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.answers import Answer, BinaryAnswer, ClassesAnswer, NumberAnswer
from ceiba.base.errors import CeibaError, InputError, listed
from ceiba.bundle import ONNX, PARITY, write_bundle
from ceiba.export.foreign_file import Source, read_onnx
from ceiba.export.parity import check_parity, parity_report
from ceiba.export.probes import Probe, random_parts
from ceiba.export.wrap import INPUT, LEAST_PROBABILITY, wrap
from ceiba.fields import BinaryField, CategoryField, Field, Fields, NumberField, VectorField
from ceiba.predict import OnnxBackend, relative_error

Array = NDArray[Any]
SURE = 1e-3
"""How near to one the scores of a row must add up to be probabilities."""
ROWS = 32
ALONE = 1e-4
"""Relative error that a row may have alone, against the same row among others."""
OPEN_BINS: tuple[float, ...] = ()


@dataclass(frozen=True)
class Output:
    """One output of the file that becomes an answer."""

    name: str
    target: str
    width: int
    """Scores a row; 1 for a number or a single probability."""
    is_probability: bool
    labels: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The kind of answer it becomes."""
        return "number" if not self.labels else "binary" if self.width == 1 else "classes"

    def answer(self) -> Answer:
        """How its logits are read."""
        kinds = {"binary": BinaryAnswer, "classes": ClassesAnswer}
        return kinds[self.kind](self.labels) if self.labels else NumberAnswer(0.0, 1.0)

    def field(self) -> Field:
        """How a truth beside it is read."""
        counts, is_numeric = (0,) * len(self.labels), all(label.lstrip("-").isdigit() for label in self.labels)
        if self.kind == "number":
            return plain_number()
        if self.kind == "binary":
            return BinaryField(self.labels, counts, is_numeric, 0.0, False)
        return CategoryField(self.labels, counts, is_numeric)

    def logits(self, scores: Array) -> Array:
        """The scores that the file gives, as the logits that the answer reads."""
        values = np.asarray(scores, np.float32).reshape(len(scores), -1)
        if self.is_probability:
            shown = np.clip(values, LEAST_PROBABILITY, 1.0)
            values = np.log(shown)
            if self.kind == "binary":
                values = values - np.log(np.clip(1 - shown, LEAST_PROBABILITY, 1.0))
        return values if self.kind == "classes" else values[:, 0]


def plain_number() -> NumberField:
    """A number that is read as it stands; a missing one is zero."""
    return NumberField(
        mean=0.0, std=1.0, low=0.0, high=0.0, log=False, clip=None, normalize="none", knots=((), ()), fill=0.0,
        indicator=False, edges=OPEN_BINS,
    )  # fmt: skip


def import_onnx(
    path: Path, out: Path, labels: Sequence[str] = (), columns: Sequence[str] = (), target: str | None = None
) -> dict[str, Any]:
    """Write the bundle of an ONNX file; what it reads and answers, for a person.

    `labels` name the classes of an output that does not name them itself; `columns` the numbers of the file's inputs,
    in order, where they are columns of their own; `target` the answer, where there is one.

    Raises: InputError for a file that is no ONNX model or asks for what a bundle does not do; CeibaError for a model
    whose rows depend on one another; MissingPackage without onnx.
    """
    source = read_onnx(path)
    original = OnnxBackend(source.model.SerializeToString(), threads=1)
    fields = input_fields(source, columns)
    feeds = source.split(random_parts({"table": Fields(fields, {}).layouts()["table"]}, ROWS, 0)[INPUT])
    scores = original(feeds)
    rows_stand_alone(original, feeds, scores)
    outputs = read_outputs(source, scores, labels, target)
    targets: dict[str, Field] = {one.target: one.field() for one in outputs}
    if both := sorted(set(targets) & set(fields)):
        raise InputError("An answer must not have the name of an input", listed(both), "Name it with --target")
    together = Fields(fields, targets)
    model = wrap(source, outputs)

    def as_given(parts: dict[str, Array]) -> Mapping[str, Array]:
        found = original(source.split(parts[INPUT]))
        return {one.target: one.logits(found[one.name]) for one in outputs}

    tried = (Probe("random", rows, 0, 0, random_parts(together.layouts(), rows, 0)) for rows in (2, 1, 7, 64))
    found = check_parity(as_given, OnnxBackend(model, threads=1), tried)
    report = parity_report(found, 0, f"the file {path.name} as it was given")
    write_bundle(
        out, kind="imported", model={}, answers={one.target: one.answer().to_json() for one in outputs},
        fields_json=together.to_json(), field_files=together.files(), recipe_yaml="", weights=None,
        meta={"imported": source.about(path)},
        extra={ONNX: model, PARITY: json.dumps(report, allow_nan=False).encode()},
    )  # fmt: skip
    return {
        "bundle": str(out),
        "inputs": {name: one.kind for name, one in fields.items()},
        "outputs": {one.target: {"kind": one.kind, "labels": list(one.labels)} for one in outputs},
        "worst": found["worst"],
    }


def input_fields(source: Source, columns: Sequence[str]) -> dict[str, Field]:
    """A column for every input: a number where it holds one a row, else a vector; or the named columns of numbers.

    Raises: InputError where the columns are not as many as the numbers.
    """
    total = sum(source.widths.values())
    if columns:
        if len(columns) != total or len(set(columns)) != total:
            got = f"{len(columns)} names"
            raise InputError(f"--columns must name the {total} numbers that the model reads, each once", got, None)
        return {name: plain_number() for name in columns}
    return {
        name: plain_number() if width == 1 else VectorField((0.0,) * width, (1.0,) * width, False)
        for name, width in source.widths.items()
    }


def rows_stand_alone(original: OnnxBackend, feeds: Mapping[str, Array], scores: Mapping[str, Array]) -> None:
    """Raises: CeibaError if a row is answered otherwise alone than among others, or cannot be answered alone."""
    try:
        alone = original({name: part[:1] for name, part in feeds.items()})
    except Exception as error:  # the runtime's own, which have no common base
        problem = str(error).strip().splitlines()[0][:200]
        do = "Export it with an open batch axis"
        raise CeibaError("The model must take any number of rows", problem, do) from error
    for name, among in scores.items():
        first, same = np.asarray(alone[name]), np.asarray(among)[:1]
        if not (relative_error(first, same) <= ALONE if same.dtype.kind == "f" else np.array_equal(first, same)):
            raise CeibaError(
                "A row must be answered alike alone and among others", f"'{name}' differs", "Export it for inference"
            )


def read_outputs(
    source: Source, scores: Mapping[str, Array], labels: Sequence[str], target: str | None
) -> list[Output]:
    """The outputs that become answers: floats with a row a row; a classifier's own choice is left to its scores.

    Raises: InputError where there is none, or labels or target do not fit.
    """
    floats = {
        name: np.asarray(values) for name, values in scores.items()
        if np.asarray(values).dtype.kind == "f" and np.asarray(values).ndim in (1, 2)
    }  # fmt: skip
    if not floats:
        raise InputError("The model must answer numbers or scores", listed(scores), "Export its scores too")
    if target is not None and len(floats) > 1:
        raise InputError("--target names the answer of a model with one", listed(floats), "Leave it out")
    found = []
    for name, values in floats.items():
        width = 1 if values.ndim == 1 else values.shape[1]
        own = tuple(labels or source.labels) if len(floats) == 1 else source.labels
        is_pair = width == 1 and len(own) == 2
        if width > 1 and not own:
            own = tuple(str(place) for place in range(width))
        if own and len(own) != width and not is_pair:
            raise InputError(f"There must be a label for each of the {width} scores of '{name}'", listed(own), None)
        inside = bool((values >= 0).all() and (values <= 1 + SURE).all())
        is_probability = bool(own) and inside and (is_pair or bool((abs(values.sum(1) - 1) < SURE).all()))
        found.append(Output(name, target or name, width, is_probability, own))
    return found
