"""The models of a worker: by name and version, with labels, and which version answers when none is named."""

import base64
import io
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyarrow as pa
from PIL import Image

from ceiba.base.errors import CeibaError
from ceiba.bundle import Bundle
from ceiba.fields import (
    BinaryField,
    CategoryField,
    DateField,
    Field,
    ImageField,
    NumberField,
    SetField,
    VectorField,
    WordsField,
)
from ceiba.predict import Predictor
from ceiba.serve.batcher import Batcher
from ceiba.serve.drift import Drift
from ceiba.serve.intake import Intake, fields_by_column
from ceiba.serve.refusal import Refusal
from ceiba.serve.routes import Route
from ceiba.serve.writer import Base, Writer

EXAMPLE_WORDS = 4


@dataclass(eq=False)
class Served:
    """One version of a model, ready to answer."""

    name: str
    version: int
    bundle: Bundle
    table: Intake | None
    """What checks its rows; None for a model that only writes."""
    queue: Batcher | None
    writer: Writer | None = None
    """Writes text, where the model is a language model."""
    drift: Drift = field(default_factory=lambda: Drift(None))
    loaded: float = field(default_factory=time.time)
    beside: dict[str, "Served"] = field(default_factory=dict)
    """The adapters beside a language model, each as a model that only writes."""

    def add_adapters(self, names: Iterable[str]) -> None:
        """Serve a language model by adapters that it was opened with, too."""
        for name in names:
            writer = cast(Base, self.writer).by(name)
            self.beside[name] = replace(self, name=name, table=None, queue=None, writer=writer, beside={})

    @property
    def intake(self) -> Intake:
        """Raises: Refusal for a model that only writes."""
        if self.table is None:
            raise Refusal(400, "The model writes text. Use /v1/completions or /v1/chat/completions.")
        return self.table

    @property
    def batcher(self) -> Batcher:
        assert self.queue is not None
        return self.queue

    @property
    def predictor(self) -> Predictor:
        return self.intake.predictor

    @cached_property
    def outputs(self) -> dict[str, pa.DataType]:
        """What the answer to a row holds, and its Arrow type."""
        none = {name: self.predictor.no_logits(name) for name in self.predictor.answers}
        schema = self.predictor.answered({}, none).schema
        return {name: schema.field(name).type for name in schema.names}

    def warm_up(self) -> None:
        """Answer example rows, twice, so that the first client does not wait, and the time of a batch is known."""
        row = example(self.predictor)
        for count in (1, self.batcher.batching.rows):
            try:
                self.batcher.measure(self.intake.rows([row] * count))
            except (Refusal, CeibaError):
                return  # the operations on columns want rows of a form that cannot be guessed


class Models:
    """What is loaded, and the routes to it; routes are swapped whole."""

    def __init__(self) -> None:
        self.loaded: dict[str, dict[int, Served]] = {}
        self.routes: dict[str, Route] = {}
        self.states: dict[str, dict[int, tuple[str, str]]] = {}
        self.default: str | None = None
        """The first model, which answers where none is named."""
        self.adapters: tuple[str, ...] = ()
        """Names of those that stand beside it."""

    @property
    def is_ready(self) -> bool:
        return bool(self.routes)

    def add(self, served: Served) -> None:
        self.loaded.setdefault(served.name, {})[served.version] = served

    def find(self, name: str | None = None, version: int | None = None, label: str | None = None) -> Served:
        """The version that answers.

        Raises: Refusal for a name, version or label that is not loaded.
        """
        if name is None:
            name = self.default
        if name in self.adapters:
            return self.find(self.default, version, label).beside[name]
        route = self.routes.get(name or "")
        if name is None or route is None:
            known = ", ".join(sorted((*self.routes, *self.adapters)))
            raise Refusal(404, f"No model is served under that name. Use one of: {known}.")
        if label is not None:
            version = route.labeled(label)
            if version is None:
                raise Refusal(404, "No version has that label.")
        if version is None:
            is_canary = route.canary is not None and route.share > 0 and random.random() < route.share
            version = route.canary if is_canary else route.stable
        served = self.loaded[name].get(version) if version is not None else None
        if served is None:
            known = ", ".join(map(str, sorted(self.loaded[name])))
            raise Refusal(404, f"That version of the model is not served. Use one of: {known}.")
        return served

    def all(self) -> list[Served]:
        return [one for versions in self.loaded.values() for one in versions.values()]


def example(predictor: Predictor) -> dict[str, Any]:
    """A row that the model can answer: the middle of each column."""
    fields = fields_by_column(predictor)
    return {name: example_value(fields.get(name)) for name in predictor.columns}


def example_value(one: Field | None) -> Any:
    """A value of a column, as JSON writes it."""
    if isinstance(one, NumberField):
        return round(one.mean, 3) if not one.log else round(float(one.restore(np.zeros(1))[0]), 3)
    if isinstance(one, CategoryField | BinaryField):
        return one.labels[max(range(len(one.labels)), key=one.counts.__getitem__)] if one.labels else ""
    if isinstance(one, SetField):
        return list(one.labels[:1])
    if isinstance(one, VectorField):
        return [round(mean, 3) for mean in one.means]
    if isinstance(one, DateField):
        return "2024-01-31"
    if isinstance(one, ImageField):
        return {"b64": _blank(one)}
    if isinstance(one, WordsField):
        return [word for word in one.words if word.isalpha()][:EXAMPLE_WORDS]
    return "text"


def _blank(one: ImageField) -> str:
    buffer = io.BytesIO()
    mode = "L" if one.channels == 1 else "RGB"
    Image.new(mode, (one.width, one.height), tuple(map(round, one.mean)) if mode == "RGB" else round(one.mean[0])).save(
        buffer, "PNG"
    )
    return base64.b64encode(buffer.getvalue()).decode()
