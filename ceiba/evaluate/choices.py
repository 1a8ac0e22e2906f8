"""Multiple choice, answered by a language model: the choice that is most probable after the question."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ceiba.base.errors import DataError, InputError
from ceiba.base.memory import PeakMemory
from ceiba.evaluate.language import text_field
from ceiba.metrics import Figure, figures
from ceiba.predict import Predictor
from ceiba.read import Frame, open_frame

Array = NDArray[Any]


def evaluate_choices(
    predictor: Predictor, source: object, prompt: str, choices: str, answer: str, seed: int = 0
) -> dict[str, Any]:
    """The share of questions of which the right choice is the most probable, as it stands and for each of its bytes.

    A row has a question, a list of choices, and the right one: its text, or its place from 0 on. A choice's score is
    log P(question choice) - log P(question), by bytes divided by its length, so that long choices stand a chance.

    Raises: InputError for a model of another kind; DataError for a row without choices or whose answer is none of them.
    Source: as in Gao et al. 2021, "A framework for few-shot language model evaluation" (acc and acc_norm).
    """
    name = next((name for name, one in predictor.answers.items() if one.kind == "text"), None)
    if name is None or text_field(predictor.fields, name).hides:
        raise InputError("--choices needs a language model", ", ".join(predictor.answers), "Use one with next_token")
    began = time.perf_counter()
    with PeakMemory() as memory:
        frame = open_frame(source, predictor.reading)
        rows = frame.select((prompt, choices, answer)).to_table().to_pylist()
        counts = np.array([len(row[choices] or ()) for row in rows], dtype=np.int64)
        right = np.array([_right(frame, place, row[choices], row[answer]) for place, row in enumerate(rows)])
        questions = [str(row[prompt] or "") for row in rows]
        said = [
            _with(question, choice) for question, row in zip(questions, rows, strict=True) for choice in row[choices]
        ]
        texts = open_frame(pa.table({name: pa.array([*questions, *said], pa.string())}))
        nats = predictor.logits(texts)[name][:, 0]
        gain = np.repeat(nats[: len(rows)], counts) - nats[len(rows) :]
        size = np.array([len(choice.encode()) for row in rows for choice in row[choices]])
        table = {
            "accuracy": _accuracy(gain, counts, right, seed),
            "accuracy_by_bytes": _accuracy(gain / np.maximum(size, 1), counts, right, seed),
        }
    chance = float(np.mean(1 / counts)) if len(counts) else 0.0
    constant = {"accuracy": {"value": chance, "low": chance, "high": chance}}
    return {
        "metrics": {"test": {answer: table}}, "baselines": {"test": {answer: {"constant": constant}}},
        "rows": {"test": {"rows": len(rows)}}, "notes": list(frame.notes),
        "cost": {"seconds": time.perf_counter() - began, "peak_memory_bytes": memory.bytes},
    }  # fmt: skip


def _with(question: str, choice: str) -> str:
    """The choice behind the question, a blank between them where none stands."""
    return f"{question}{choice}" if question[-1:].isspace() or choice[:1].isspace() else f"{question} {choice}"


def _right(frame: Frame, row: int, choices: list[str] | None, answer: object) -> int:
    where = f"{frame.origin} row {row + 1} must have choices and the right one of them"
    if not choices:
        raise DataError(where, "no choices", "Leave the row out")
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    place = int(str(answer)) if str(answer).isdecimal() else -1
    if 0 <= place < len(choices):
        return place
    raise DataError(where, repr(answer), "Give its text, or its place from 0 on")


def _accuracy(scores: Array, counts: Array, right: Array, seed: int) -> Figure:
    """The share of rows whose best score is the right choice's, the first of equals, with its interval."""
    ends = np.cumsum(counts)
    best = np.array([scores[end - count : end].argmax() for count, end in zip(counts, ends, strict=True)])
    hit = (best == right).astype(np.float64)
    return figures("binary", np.ones(len(hit), dtype=np.int64), hit, seed=seed)["accuracy"]
