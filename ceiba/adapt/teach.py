"""A teacher: a bundle whose answers to the training rows another recipe's network learns from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ceiba.answers import Answer
from ceiba.base.errors import RecipeError, listed
from ceiba.base.spec import Spec
from ceiba.bundle import ONNX, Bundle, open_bundle
from ceiba.fields import TAUGHT
from ceiba.model import TorchBackend, open_model
from ceiba.predict import OnnxBackend, Predictor
from ceiba.prepare import Arrays, with_parts
from ceiba.read import Frame
from ceiba.train.distill import KINDS, SHARE, TEMPERATURE

THRESHOLD = "threshold"
"""The one part of an answer that says nothing of what its logits mean."""


class TeacherSpec(Spec):
    """Distillation: (1 - share) · loss of the targets + share · loss of the teacher's answers.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """

    bundle: str
    """The teacher: a bundle or a run that answers the same outputs, from whatever columns and by whatever network."""
    temperature: float = Field(TEMPERATURE, gt=0)
    """What logits are divided by before both are compared: the higher, the more counts what is unlikely."""
    share: float = Field(SHARE, ge=0, le=1)
    """What the teacher weighs; the rest is the targets'."""

    @model_validator(mode="before")
    @classmethod
    def by_name(cls, value: object) -> object:
        """A bare word is the bundle."""
        return {"bundle": value} if isinstance(value, str) else value


def open_teacher(spec: TeacherSpec) -> tuple[Bundle, Predictor]:
    """The teacher, by its exported model or, where it has none, by its weights.

    Raises: BundleError for a bundle that is damaged.
    """
    bundle = open_bundle(Path(spec.bundle))
    model = bundle.onnx
    backend = TorchBackend(open_model(bundle)) if model is None else OnnxBackend(model)
    return bundle, Predictor.from_bundle(bundle, backend)


def teach(bundle: Bundle, predictor: Predictor, arrays: Arrays, frame: Frame, answers: Mapping[str, Answer]) -> Arrays:
    """The training rows with what the teacher answers to each of them, computed once and kept.

    Raises: RecipeError where it does not answer the outputs, or its logits mean something else: other labels, another
        scale of a number.
    """
    for name, answer in answers.items():
        own = predictor.answers.get(name)
        if answer.kind not in KINDS:
            raise RecipeError(f"A teacher can teach {listed(KINDS)}", f"'{name}': {answer.kind}", "Remove teacher")
        if own is None or own.kind != answer.kind:
            got = f"outputs {listed(predictor.answers)}" if own is None else own.kind
            raise RecipeError(f"The teacher must answer '{name}' as {answer.kind}", got, "Name another bundle")
        if _meaning(own) != _meaning(answer):
            rule = f"The teacher must answer '{name}' in the labels and the scale of the recipe"
            raise RecipeError(rule, "others", "Give that output the options that the teacher was trained with")
    predictor.check(frame)

    def logits() -> Iterator[Mapping[str, Any]]:
        for _, found in predictor.windows(frame, predictor.fields.read):
            yield {f"{name}.{TAUGHT}": found[name] for name in answers}

    return with_parts(arrays, f"{bundle.identity} {ONNX if bundle.has_onnx else ''}", logits)


def _meaning(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in answer.to_json().items() if name != THRESHOLD}
