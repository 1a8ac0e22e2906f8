"""Batches: Arrays → the tensors of one step, in a keyed order, augmented by row address.
Takes       Arrays and a seed.       Gives   Batch: tensors of some rows, the same for the same (seed, epoch, step).
May touch   prepare, fields, base, torch.   Never   models, losses, optimizers, recipes.
To add one  augmentation: write its function in batches/augment.py, add one line to AUGMENTATIONS there."""

from ceiba.batches.augment import AUGMENTATIONS, AugmentSpec
from ceiba.batches.batch import Batch, Mix, gather
from ceiba.batches.loader import Batches
from ceiba.batches.masking import Denoising, Masking, masking_of
from ceiba.batches.order import epoch_order

__all__ = [
    "AUGMENTATIONS",
    "AugmentSpec",
    "Batch",
    "Batches",
    "Denoising",
    "Masking",
    "Mix",
    "epoch_order",
    "gather",
    "masking_of",
]
