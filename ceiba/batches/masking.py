"""Hiding tokens, for a network that learns to tell them: another choice in each epoch, by row address alone.

Either some of them, each by itself, or whole spans.
"""

from dataclasses import dataclass, replace

import torch

from ceiba.base.keys import uniform
from ceiba.batches.batch import Batch
from ceiba.fields import EVERY, TEACHER, Corruption, Fields, TokenField

SHARE = 0.15
"""Of the tokens, chosen to be told."""
HIDDEN, CHANGED = 0.8, 0.9
"""Of the chosen ones so many are hidden, the next tenth changed into any other token, and the last left as they are."""


@dataclass(frozen=True)
class Masking:
    """A batch of a text → the same with some tokens hidden, which alone are its targets.

    Source: Devlin et al. 2019, arXiv:1810.04805, appendix A.1.
    """

    name: str
    mask: int
    """The id that hides."""
    first: int
    """The first id of an ordinary token."""
    vocab: int

    def __call__(self, batch: Batch, seed: int, epoch: int | None) -> Batch:
        """With tokens chosen for an epoch; without one, for validation, always the same: every seventh is hidden."""
        part = f"{self.name}.ids"
        ids = batch.inputs[part]
        if epoch is None:
            chosen = (torch.arange(ids.shape[1]) % EVERY == EVERY // 2) & (ids > 0)
            changed = ids.masked_fill(chosen, self.mask)
        else:
            draws = torch.from_numpy(uniform(batch.rows, 3 * ids.shape[1], seed, f"masking {part}", epoch))
            choice, kind, other = draws.view(len(draws), 3, -1).unbind(1)
            chosen = (choice < SHARE) & (ids > 0)
            strange = (self.first + other * (self.vocab - self.first)).to(ids.dtype)
            changed = ids.masked_fill(chosen & (kind < HIDDEN), self.mask)
            changed = torch.where(chosen & (kind >= HIDDEN) & (kind < CHANGED), strange, changed)
        targets = batch.targets | {self.name: ids * chosen}
        return replace(batch, inputs=batch.inputs | {part: changed}, targets=targets, known=batch.known - {self.name})


@dataclass(frozen=True)
class Denoising:
    """A batch of a text → what is left of it without some spans, and what restores it, which alone is its target."""

    name: str
    corruption: Corruption

    def __call__(self, batch: Batch, seed: int, epoch: int | None) -> Batch:
        """With spans chosen for an epoch; without one, for validation, always the same ones."""
        part = f"{self.name}.ids"
        ids = batch.inputs[part].numpy()
        if epoch is None:
            draws = self.corruption.fixed(ids)
        else:
            draws = uniform(batch.rows, self.corruption.draws(ids), seed, f"denoising {part}", epoch)
        left, told = (torch.from_numpy(one.pad()) for one in self.corruption(ids, draws))
        inputs = batch.inputs | {part: left, f"{self.name}.{TEACHER}": told}
        return replace(batch, inputs=inputs, targets=batch.targets | {self.name: told}, known=batch.known - {self.name})


def masking_of(fields: Fields) -> Masking | Denoising | None:
    """What hides tokens of a text that is read for it; None for any other data."""
    for name, one in fields.inputs.items():
        if isinstance(one, TokenField) and one.masked:
            return Masking(name, one.special["mask"], max([1, *one.special.values()]) + 1, one.vocab)
        if isinstance(one, TokenField) and one.corrupted is not None:
            return Denoising(name, one.corrupted)
    return None
