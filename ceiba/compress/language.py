"""A language model made smaller: its matrices in fewer bits, measured as it writes with them."""

import copy
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from ceiba.bundle import WEIGHTS, Bundle
from ceiba.bundle.layout import WEIGHT_INDEX
from ceiba.compress.measure import LEAST_S, MOST_S, ROUNDS, WARM_UP, told_speed
from ceiba.evaluate.gather import Scored, gather
from ceiba.fields.tokens import TokenField
from ceiba.generate.decoder import Decoder, open_decoder
from ceiba.generate.generator import MAX_ROWS, context_of
from ceiba.generate.weights import prepare_weights, untied
from ceiba.metrics import known_rows, paired_difference
from ceiba.model import Model, TorchBackend, load_weights, open_model
from ceiba.predict import Predictor
from ceiba.read import Frame
from ceiba.surgery.packed import pack
from ceiba.surgery.stored import Stored, fits, narrowed

FORMS: dict[str, tuple[Stored, str]] = {
    "half": ("float16", "matrices stored as 16-bit floats"),
    "int8": ("int8", "matrices of 8 bits, a scale for each output; inputs of 7"),
    "int4": ("int4", "matrices of 4 bits, a scale for each 32 weights"),
}
"""Way → how the file holds matrices, and that in words."""
TOKENS = 64
"""While steps are timed a text grows no longer than this."""
Array = NDArray[Any]


@dataclass(frozen=True)
class Writing:
    """A language model as it writes, and what measures it."""

    model: Model
    output: str
    field: TokenField
    predictor: Predictor

    def answering(self) -> Predictor:
        """What tells how probable texts are; rows are clean already."""
        return Predictor(self.predictor.fields, self.predictor.answers, TorchBackend(self.model))

    def scored(self, frame: Frame) -> Scored:
        """Mean surprise at each text, and its tokens."""
        return gather(frame, self.answering())[self.output]

    def decoder(self, rows: int) -> Decoder:
        """Some texts of one token each."""
        found = open_decoder(self.model, self.output, context_of(self.model, self.field), rows)
        found.admit([[1]] * rows)
        return found


def has_weights(bundle: Bundle) -> bool:
    """Whether a bundle holds weights that can be read, not a graph alone."""
    return any((bundle.folder / name).is_file() for name in (WEIGHTS, WEIGHT_INDEX))


def language_model(bundle: Bundle) -> Writing | None:
    """What continues texts in a bundle, its weights in floats, where it is a language model."""
    if "text" not in {one["kind"] for one in bundle.answers.values()} or not has_weights(bundle):
        return None
    model = open_model(bundle)
    predictor = Predictor.from_bundle(bundle, TorchBackend(model))
    for name in model.head_slots:
        field = predictor.fields.inputs.get(name)
        if model.head(name).shifts and isinstance(field, TokenField):
            return Writing(model, name, field, predictor)
    return None


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """So many threads for each product, then as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rounded(original: Writing, form: Stored) -> tuple[bytes, Writing]:
    """A file of weights whose matrices are in a form, and the model as it writes when it has read that file.

    In the form are linear layers, and the table of token vectors where the head shares it; those whose width does not
    fit the form are in 8 bits.
    """
    model, output = original.model, original.output
    matrices = {id(part.weight) for part in model.modules() if type(part) is nn.Linear}
    if model.head(output).tied:
        matrices.add(id(model._table(output)))
    chosen = {name for name, one in model.named_parameters() if id(one) in matrices}
    tensors: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        own = form if fits(form, value) else "int8"
        tensors |= narrowed(name, value, own) if name in chosen else {name: value.contiguous()}
    content = save(tensors)
    read = copy.deepcopy(model)
    with tempfile.TemporaryDirectory(prefix="ceiba-compress-") as folder:
        path = Path(folder) / WEIGHTS
        path.write_bytes(content)
        load_weights(read, path)
    return content, replace(original, model=as_written(read, output, form))


def as_written(model: Model, output: str, form: Stored = "float16") -> Model:
    """A model with its layers as the generator has them."""
    if form == "float16":
        return prepare_weights(model, output, "auto", 1).model
    packed = pack(untied(model, output), form)
    assert isinstance(packed, Model)
    return packed


def perplexity_growth(before: Scored, after: Scored) -> dict[str, float]:
    """By how much the perplexity grows, in percent, with the interval over texts; and the loss of both."""
    known = known_rows(before.truth)
    tokens, first, second = before.truth[known][:, 0], before.scores[known], after.scores[known]
    figure = paired_difference(second, first, tokens, resamples=1000)
    assert figure is not None
    grown = {key: 100 * math.expm1(figure[key]) for key in ("value", "low", "high")}
    losses = {"before": np.average(first, weights=tokens), "after": np.average(second, weights=tokens)}
    return grown | {key: float(loss) for key, loss in losses.items()}


def race(first: Writing, second: Writing, rows: int) -> tuple[Array, Array]:
    """Seconds of each step of two models that write so many texts, taken in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    span = max(1, min(TOKENS, context_of(first.model, first.field) - 1))
    _steps((first, second), rows, min(WARM_UP, span), ([], []))
    began = time.perf_counter()
    while (spent := time.perf_counter() - began) < MOST_S and (len(seconds[0]) < ROUNDS or spent < LEAST_S):
        _steps((first, second), rows, span, seconds)
    return np.array(seconds[0]), np.array(seconds[1])


def _steps(models: tuple[Writing, Writing], rows: int, count: int, seconds: tuple[list[float], list[float]]) -> None:
    decoders = [one.decoder(rows) for one in models]
    for _ in range(count):
        for decoder, taken in zip(decoders, seconds, strict=True):
            start = time.perf_counter()
            decoder.step([[1]] * rows)
            taken.append(time.perf_counter() - start)


def speed_of_writing(original: Writing, candidate: Writing) -> dict[str, Any]:
    """Time of a token of one text (median, p99), and tokens a second of MAX_ROWS texts, beside the original's."""
    found = told_speed(race(original, candidate, 1), race(original, candidate, MAX_ROWS), MAX_ROWS)
    found["memory_bytes"], found["ratios"]["memory"] = None, 1.0  # all forms are made from float32 when opened
    return found
