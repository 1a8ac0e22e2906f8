"""A small world to measure in: rows, fitted fields, and a predictor whose logits are written by hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from ceiba.answers import Answer, BinaryAnswer, ClassesAnswer, LabelsAnswer, NumberAnswer
from ceiba.fields import BinarySpec, CategorySpec, Field, Fields, FieldSpec, NumberSpec, SetSpec
from ceiba.read import Frame, open_frame

SPECS: dict[str, type[FieldSpec]] = {
    "number": NumberSpec,
    "category": CategorySpec,
    "binary": BinarySpec,
    "set": SetSpec,
}


@dataclass(frozen=True)
class Fake:
    """A predictor whose logits are a function of the frame."""

    fields: Fields
    answers: Mapping[str, Answer]
    rule: Callable[[Frame], dict[str, NDArray[Any]]]

    def logits(self, frame: Frame) -> dict[str, NDArray[Any]]:
        return self.rule(frame)


def fit(frame: Frame, columns: Mapping[str, str | FieldSpec]) -> dict[str, Field]:
    specs = {name: SPECS[kind]() if isinstance(kind, str) else kind for name, kind in columns.items()}
    return {name: spec.fit(frame.column(name)) for name, spec in specs.items()}


def answer_of(field: Field) -> Answer:
    if field.kind == "number":
        return NumberAnswer(field.mean, field.std, field.log)  # type: ignore[attr-defined]
    made = {"binary": BinaryAnswer, "category": ClassesAnswer, "set": LabelsAnswer}[field.kind]
    return made(field.labels)  # type: ignore[attr-defined]


def people(rows: int, seed: int = 0, holes: bool = True) -> pa.Table:
    """Age, town and sex decide about income; every tenth value misses."""
    random = np.random.default_rng(seed)
    age = random.integers(18, 80, rows).astype(float)
    town = np.array(["Oslo", "Lima", "Pune", "<script>alert(1)</script>"])[random.integers(0, 4, rows)]
    rich = age / 20 + (town == "Oslo") * 2 + random.normal(size=rows) > 3.5
    gone = (random.random(rows) < 0.1) & holes
    return pa.table({
        "age": pa.array(age, mask=gone),
        "town": pa.array(town),
        "income": pa.array(np.where(rich, "high", "low")),
        "wage": pa.array(age * 100 + rich * 500.0),
    })  # fmt: skip


@pytest.fixture
def world() -> Callable[..., tuple[Fake, Frame]]:
    """(predictor, frame) with `income` and, if asked, further outputs; the predictor knows the age alone."""

    def make(rows: int, outputs: Sequence[str] = ("income",), seed: int = 0) -> tuple[Fake, Frame]:
        whole = open_frame(people(300))
        kinds = {"income": "binary", "town": "category", "wage": "number"}
        fields = Fields(
            fit(whole, {"age": "number"} | ({} if "town" in outputs else {"town": "category"})),
            fit(whole, {name: kinds[name] for name in outputs}),
        )

        def rule(frame: Frame) -> dict[str, NDArray[Any]]:
            age = np.nan_to_num(frame.to_table().column("age").to_numpy(), nan=45.0)
            scores = {"income": -(age - 55) / 10, "town": np.stack([age * 0, age / 50, age * 0 - 1, age * 0], axis=1)}
            return {name: scores.get(name, (age - 50) / 15) for name in outputs}

        answers = {name: answer_of(field) for name, field in fields.outputs.items()}
        return Fake(fields, answers, rule), open_frame(people(rows, seed + 1))

    return make


@pytest.fixture
def fitted() -> Callable[[Frame, Mapping[str, str | FieldSpec], Mapping[str, str]], tuple[Fields, dict[str, Answer]]]:
    """Fields of inputs and outputs by kind, and their answers."""

    def make(
        frame: Frame, inputs: Mapping[str, str | FieldSpec], outputs: Mapping[str, str]
    ) -> tuple[Fields, dict[str, Answer]]:
        fields = Fields(fit(frame, inputs), fit(frame, outputs))
        return fields, {name: answer_of(field) for name, field in fields.outputs.items()}

    return make
