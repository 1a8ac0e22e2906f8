"""What every head promises, and what all share: dropout, the last linear layer, weighting and masking."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ceiba.answers import Answer
from ceiba.base.errors import RecipeError
from ceiba.layers import Dropout, MemberLinear, Tokens, pool


@dataclass(frozen=True)
class OutputLayout:
    """What a head must know of its target: the answer's kind, for classes and labels how many and how frequent, for a
    number what its standardized unit is."""

    kind: str
    classes: int = 1
    counts: tuple[int, ...] = ()
    """Training rows of each class or label."""
    mean: float = 0.0
    """Mean of the target, in its own unit."""
    std: float = 1.0
    """Standard deviation of the target, in its own unit."""
    low: float = 0.0
    """Lowest training target, in its own unit."""
    log: bool = False
    """Whether the own unit is a logarithm of the user's."""
    end: int = 0
    """The token that ends a text."""
    max_tokens: int = 0
    """Tokens of a text at most, its end included."""


class Head(nn.Module, ABC):
    """Tokens → logits of one target, and the loss of those logits."""

    answer: ClassVar[str]
    """The kind of answer its logits become, a name in ANSWERS."""
    per_token: ClassVar[bool] = False
    """Whether it answers for each token of one group."""
    masks: ClassVar[bool] = False
    """Whether it tells tokens that were hidden."""
    quotes: ClassVar[bool] = False
    """Whether it answers with a piece of the text, so that `forward` also takes the place of each token."""
    writes: ClassVar[bool] = False
    """Whether it writes a text, so that `forward` also takes the true ones, and `write` answers."""
    compares: ClassVar[bool] = False
    """Whether it is taught by two answers to one prompt, so that `compare` answers for a row of both."""
    shifts: ClassVar[bool] = False
    """Whether it says of each token which one comes next, so that no token may know of those after it."""
    tied: bool = False
    """Whether its last matrix is the input's table of token vectors, which `forward` then takes beside the tokens."""

    def __init__(self, dim: int, outputs: int, members: int, dropout: float):
        super().__init__()
        self.members = members
        self.dropout = Dropout(dropout)
        self.linear = MemberLinear(dim, outputs, members) if members else nn.Linear(dim, outputs)

    def project(self, tokens: Tokens) -> Float[Tensor, "batch *member outputs"]:
        """The last linear layer: of the pooled tokens, or of each member with weights of its own."""
        vectors = tokens.values if self.members else pool(tokens)
        logits: Tensor = self.linear(self.dropout(vectors))
        return logits

    @abstractmethod
    def forward(self, tokens: Tokens) -> Float[Tensor, "batch ..."]:
        """Logits, (batch, member, ...) for an ensemble."""

    @abstractmethod
    def present(self, target: Shaped[Tensor, "batch ..."]) -> Bool[Tensor, "batch ..."]:
        """Which targets are known."""

    @abstractmethod
    def row_losses(
        self,
        logits: Float[Tensor, "batch ..."],
        target: Shaped[Tensor, "batch ..."],
        present: Bool[Tensor, "batch ..."] | None,
    ) -> Float[Tensor, "batch *member"]:
        """Each row's loss (each member's, for an ensemble); `target` holds zeros where it is not present.

        `present` is None where all are known.
        """

    @property
    def weighs_targets(self) -> bool:
        """Whether rows weigh differently for the sake of their class."""
        return False

    def target_weight(self, target: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch"] | None:
        """What a row weighs for the sake of its class; None when all weigh one."""
        return None

    @abstractmethod
    def combine(self, logits: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Logits whose probabilities are the mean of the members' probabilities; without members, the logits."""

    def settle(self, answer: Answer) -> Answer:
        """The answer with what it must know of the trained head."""
        return answer

    def row_weights(
        self, target: Shaped[Tensor, "batch ..."], row_weight: Float[Tensor, "batch"] | None = None
    ) -> Float[Tensor, "batch"]:
        """What each row weighs in the loss: nothing without a known target, else its own weight times its class's."""
        present = self.present(target)
        known = present.flatten(1).any(1) if present.ndim > 1 else present
        weight = known.to(torch.float32)
        for factor in (row_weight, self.target_weight(target.masked_fill(~present, 0))):
            if factor is not None:
                weight = weight * factor
        return weight

    def loss(
        self,
        logits: Float[Tensor, "batch ..."],
        target: Shaped[Tensor, "batch ..."],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        is_known: bool = False,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Σ s_i w_i l_i and Σ w_i over the rows with a known target, l_i being the mean of the members' losses.

        The two are given apart, so that a mean over several batches or ranks is exact. No known target gives (0, 0).
        The share s_i is how far a row answers for this target, where it answers for several (mixup). `is_known` says
        that every target is there, which spares small models much of what a loss costs.
        """
        present = None if is_known else self.present(target)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = self.row_losses(wide, target if present is None else target.masked_fill(~present, 0), present)
        if self.members:
            losses = losses.mean(1)
        if share is not None:
            losses = losses * share
        if is_known and row_weight is None and not self.weighs_targets:
            return losses.sum(), losses.new_full((), len(losses))
        weight = self.row_weights(target, row_weight)
        return (losses * weight).sum(), weight.sum()


def like_members(target: Shaped[Tensor, "batch ..."], logits: Float[Tensor, "batch ..."], members: int) -> Tensor:
    """The target repeated for each member."""
    return target.unsqueeze(1).expand(-1, logits.shape[1], *target.shape[1:]) if members else target


def class_weights(rule: str | Sequence[float] | None, output: OutputLayout, classes: int) -> list[float] | None:
    """One weight a class: none, as listed, or balanced = rows / (classes · rows of the class).

    Raises: RecipeError for a list of another length, a negative weight, or balance without counts.
    Source: King & Zeng 2001, "Logistic regression in rare events data", section 4.2.
    """
    if rule is None:
        return None
    if rule == "balanced":
        if len(output.counts) != classes:
            raise RecipeError(f"class_weights: balanced needs {classes} counts", len(output.counts), "List the weights")
        return [sum(output.counts) / (classes * max(count, 1)) for count in output.counts]
    weights = [float(weight) for weight in rule]
    if len(weights) != classes or min(weights) < 0:
        raise RecipeError(f"class_weights must be {classes} numbers from 0 up", weights, "Give one for each class")
    return weights
