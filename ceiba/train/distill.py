"""Distillation: a small network learns from the targets and from what a larger one answers to the same rows."""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ceiba.fields import Layout
from ceiba.model import Model, ModelSpec, build_model

TEMPERATURE = 2.0
SHARE = 0.7
"""What the teacher weighs beside the targets."""


def soft_loss(
    kind: str, student: Float[Tensor, "batch ..."], teacher: Float[Tensor, "batch ..."], temperature: float
) -> Float[Tensor, ""]:
    """How far the student's answers are from the teacher's, as a mean over rows.

    Classes: T² KL(softmax(teacher / T) ‖ softmax(student / T)); yes or no, label by label: the same for two classes;
    a number: the square of the difference.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    if kind == "number":
        return (student - teacher).square().mean()
    if kind == "classes":
        goal, own = (teacher / temperature).softmax(-1), (student / temperature).log_softmax(-1)
        return temperature**2 * F.kl_div(own, goal, reduction="batchmean")
    goal, own = (teacher / temperature).sigmoid(), student / temperature
    entropy = F.binary_cross_entropy_with_logits(teacher / temperature, goal)
    return temperature**2 * (F.binary_cross_entropy_with_logits(own, goal) - entropy)


class Student(Model):
    """A model whose training loss also holds it to a teacher; without training it is an ordinary model."""

    teacher: Model

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """As the model; while training, the teacher answers the same rows, augmented alike."""
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                self.__dict__["taught"] = self.teacher.answers(inputs)
        return super().forward(inputs)

    def score(
        self,
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        totals: Mapping[str, Tensor] | None = None,
        known: Collection[str] = (),
    ) -> tuple[Float[Tensor, ""], dict[str, tuple[Tensor, Tensor]]]:
        """(1 - a) · loss of the targets + a · loss of the teacher."""
        loss, sums = super().score(logits, targets, row_weight, share, totals, known)
        taught = self.__dict__.pop("taught", None)
        if taught is None:
            return loss, sums
        own = self.combine(logits)
        soft = [
            self.spec.weights.get(name, 1.0)
            * soft_loss(self.outputs[name].kind, own[name].float(), taught[name].float(), TEMPERATURE)
            for name in self.head_slots
        ]
        return (1 - SHARE) * loss + SHARE * torch.stack(soft).sum(), sums


def student_of(model: Model, teacher: Model, layouts: Mapping[str, Layout]) -> Student:
    """A model with the same spec and weights that learns from a teacher, which is no part of it."""
    built = build_model(model.spec, layouts, model.outputs)
    built.load_state_dict(model.state_dict())
    student = Student.__new__(Student)
    student.__dict__.update(built.__dict__)
    student.__dict__["teacher"] = teacher.eval().requires_grad_(False)
    return student


def plain(student: Student, spec: ModelSpec, layouts: Mapping[str, Layout]) -> Model:
    """The student as an ordinary model."""
    model = build_model(spec, layouts, student.outputs)
    model.load_state_dict(student.state_dict())
    return model.eval()
