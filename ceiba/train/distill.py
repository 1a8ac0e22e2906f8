"""Distillation: a network learns from the targets and from what another, larger one answers to the same rows."""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ceiba.fields import TAUGHT, Layout
from ceiba.model import LEAST_WEIGHT, Model, ModelSpec, build_model

TEMPERATURE = 2.0
SHARE = 0.7
"""What the teacher weighs beside the targets."""
KINDS = ("number", "classes", "binary", "labels")
"""Outputs that a teacher can teach."""


def soft_losses(
    kind: str, student: Float[Tensor, "batch ..."], teacher: Float[Tensor, "batch ..."], temperature: float
) -> Float[Tensor, "batch"]:
    """How far the student's answer to each row is from the teacher's.

    Classes: T² KL(softmax(teacher / T) ‖ softmax(student / T)); yes or no, label by label: the same for two classes;
    a number: the square of the difference.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    if kind == "number":
        return (student - teacher).square().flatten(1).mean(1) if student.ndim > 1 else (student - teacher).square()
    goal, own = teacher / temperature, student / temperature
    if kind == "classes":
        return temperature**2 * F.kl_div(own.log_softmax(-1), goal.softmax(-1), reduction="none").sum(-1)
    soft = F.binary_cross_entropy_with_logits
    each = soft(own, goal.sigmoid(), reduction="none") - soft(goal, goal.sigmoid(), reduction="none")
    return temperature**2 * (each.flatten(1).mean(1) if each.ndim > 1 else each)


class Student(Model):
    """A model whose training loss also holds it to a teacher; without training it is an ordinary model."""

    teacher: Model | None
    """Answers each batch as it is trained on; None: the rows carry what it answered, as a part of each output."""
    temperature: float
    teacher_share: float

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """As the model; while training, what the teacher answers to the same rows is kept for the loss."""
        learns = self.training and torch.is_grad_enabled()
        self.__dict__["taught"] = self._taught(inputs) if learns else {}
        return super().forward(inputs)

    def _taught(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.teacher is None:
            return {name: inputs[f"{name}.{TAUGHT}"] for name in self.head_slots}
        with torch.no_grad():
            return self.teacher.answers(inputs)

    def score(
        self,
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        totals: Mapping[str, Tensor] | None = None,
        known: Collection[str] = (),
    ) -> tuple[Float[Tensor, ""], dict[str, tuple[Tensor, Tensor]]]:
        """(1 - a) · loss of the targets + a · loss of the teacher, each a mean over the rows with the same weights."""
        loss, sums = super().score(logits, targets, row_weight, share, totals, known)
        taught: dict[str, Tensor] = self.__dict__.get("taught", {})
        if not taught:
            return loss, sums
        own, soft = self.combine(logits), []
        for name in self.head_slots:
            each = soft_losses(self.outputs[name].kind, own[name].float(), taught[name].float(), self.temperature)
            weight = self.head(name).row_weights(targets[name], row_weight)
            total = weight.sum() if totals is None else totals[name]
            weighted = (each * weight if share is None else each * weight * share).sum()
            soft.append(self.spec.weights.get(name, 1.0) * weighted / total.clamp(min=LEAST_WEIGHT))
        return (1 - self.teacher_share) * loss + self.teacher_share * torch.stack(soft).sum(), sums


def taught_by(model: Model, teacher: Model | None, temperature: float = TEMPERATURE, share: float = SHARE) -> Student:
    """The model as a student: the two have the same weights, so that what the student learns the model knows."""
    student = Student.__new__(Student)
    student.__dict__.update(model.__dict__)
    fixed = None if teacher is None else teacher.eval().requires_grad_(False)
    student.__dict__.update(teacher=fixed, temperature=temperature, teacher_share=share)
    return student


def student_of(model: Model, teacher: Model, layouts: Mapping[str, Layout]) -> Student:
    """A model with the same spec and weights, of its own, that learns from a teacher, which is no part of it."""
    built = build_model(model.spec, layouts, model.outputs)
    built.load_state_dict(model.state_dict())
    return taught_by(built, teacher)


def plain(student: Student, spec: ModelSpec, layouts: Mapping[str, Layout]) -> Model:
    """The student as an ordinary model."""
    model = build_model(spec, layouts, student.outputs)
    model.load_state_dict(student.state_dict())
    return model.eval()
