"""Augmentation: random changes that keep the answer, each a function of (seed, purpose, epoch, row) alone.

A row is changed the same way in whatever batch, by whatever worker and after whatever interruption it is met (law 2).
Only mixup and cutmix look at a second row: the neighbour in the batch.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from ceiba.base.keys import generator, uniform
from ceiba.base.spec import Spec
from ceiba.batches.batch import Batch, Mix

PIXEL_MAX = 255.0


class AugmentSpec(Spec):
    """Random changes of training rows; all off by default."""

    flip: bool = False
    """Mirror images left to right, every second one."""
    crop: int = Field(0, ge=0)
    """Shift images by up to this many pixels each way, the border filled with zeros."""
    rotate: float = Field(0.0, ge=0, le=180)
    """Turn images by up to this many degrees each way."""
    color: float = Field(0.0, ge=0, le=1)
    """Change brightness and contrast of images by up to this share each way."""
    erase: float = Field(0.0, ge=0, le=1)
    """Share of images in which one random rectangle is blanked. Source: Zhong et al. 2017, arXiv:1708.04896."""
    token_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of text tokens that are replaced by the unknown token (or lose their weight)."""
    noise: float = Field(0.0, ge=0)
    """Standard deviation of normal noise added to encoded numbers, in their encoded units."""
    mixup: float = Field(0.0, ge=0)
    """Alpha of mixup: rows and targets are blended in pairs. Source: Zhang et al. 2017, arXiv:1710.09412, section 2."""
    cutmix: float = Field(0.0, ge=0)
    """Alpha of cutmix: a rectangle comes from another image. Source: Yun et al. 2019, arXiv:1905.04899, equation 1."""


def _draws(batch: Batch, count: int, purpose: str, seed: int, epoch: int) -> Tensor:
    return torch.from_numpy(uniform(batch.rows, count, seed, purpose, epoch))


def flip(pixels: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Mirror the images whose draw is below one half: (row, height, width, channel)."""
    return torch.where((draws[:, 0] < 0.5)[:, None, None, None], pixels.flip(2), pixels)


def crop(pixels: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Shift each image by whole pixels, as cutting it out of a zero-padded larger one would."""
    rows, height, width, _ = pixels.shape
    shift = (draws[:, :2] * (2 * spec.crop + 1)).long()
    padded = F.pad(pixels, (0, 0, spec.crop, spec.crop, spec.crop, spec.crop))
    down = shift[:, :1] + torch.arange(height)
    right = shift[:, 1:] + torch.arange(width)
    return padded[torch.arange(rows)[:, None, None], down[:, :, None], right[:, None, :]]


def rotate(pixels: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Turn each image about its center, bilinear between pixels, zeros outside."""
    angle = torch.deg2rad((2 * draws[:, 0] - 1) * spec.rotate)
    height, width = pixels.shape[1:3]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack(
        [
            torch.stack([cosine, -sine * height / width, zero], 1),
            torch.stack([sine * width / height, cosine, zero], 1),
        ],
        1,
    )
    image = pixels.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(turn, list(image.shape), align_corners=False)
    turned = F.grid_sample(image, grid, align_corners=False)
    return turned.round().clamp(0, PIXEL_MAX).to(pixels.dtype).permute(0, 2, 3, 1)


def color(pixels: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Scale the contrast about each image's mean, then its brightness."""
    contrast, brightness = (1 + (2 * draws[:, :2] - 1) * spec.color).unbind(1)
    image = pixels.float()
    # Summed as whole numbers: exact, however many threads share the work.
    mean = (pixels.sum((1, 2, 3), keepdim=True) / pixels[0].numel()).float()
    image = ((image - mean) * contrast[:, None, None, None] + mean) * brightness[:, None, None, None]
    return image.round().clamp(0, PIXEL_MAX).to(pixels.dtype)


def _rectangles(draws: Tensor, height: int, width: int, area: Tensor) -> Tensor:
    """True inside one rectangle an image of the given share of its area: (row, height, width)."""
    sides = area.clamp(0, 1).sqrt()
    high, wide = (sides * height).round(), (sides * width).round()
    top, left = (draws[:, 0] * (height - high + 1)).floor(), (draws[:, 1] * (width - wide + 1)).floor()
    y, x = torch.arange(height), torch.arange(width)
    inside_y = (y >= top[:, None]) & (y < (top + high)[:, None])
    inside_x = (x >= left[:, None]) & (x < (left + wide)[:, None])
    return inside_y[:, :, None] & inside_x[:, None, :]


def erase(pixels: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Blank a rectangle of 2 to 25 % of the area in a share of the images."""
    blank = _rectangles(draws, pixels.shape[1], pixels.shape[2], 0.02 + 0.23 * draws[:, 2])
    chosen = draws[:, 3] < spec.erase
    return pixels.masked_fill((blank & chosen[:, None, None])[..., None], 0)


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor, AugmentSpec], Tensor]] = {
    "flip": flip, "crop": crop, "rotate": rotate, "color": color, "erase": erase,
}  # fmt: skip
"""Changes of images, in the order they are applied; each takes (pixels, four draws a row, spec)."""


def _change_part(name: str, part: Tensor, batch: Batch, spec: AugmentSpec, seed: int, epoch: int) -> Tensor:
    kind = name.rsplit(".", 1)[-1]
    if kind == "pixels":
        for change, apply in AUGMENTATIONS.items():
            if getattr(spec, change):
                part = apply(part, _draws(batch, 4, f"{change} {name}", seed, epoch), spec)
    elif kind == "ids" and spec.token_dropout:
        dropped = _draws(batch, part.shape[1], f"token_dropout {name}", seed, epoch) < spec.token_dropout
        part = part.masked_fill(dropped & (part != 0), 1)
    elif kind == "numbers" and spec.noise and part.shape[1]:
        # Box-Muller: two uniform draws give one normal one.
        draws = _draws(batch, 2 * part.shape[1], f"noise {name}", seed, epoch).reshape(len(part), -1, 2)
        normal = (-2 * (1 - draws[..., 0]).log()).sqrt() * (2 * torch.pi * draws[..., 1]).cos()
        part = part + spec.noise * normal
    return part


def _mixed(inputs: dict[str, Tensor], batch: Batch, spec: AugmentSpec, seed: int, epoch: int) -> Batch:
    """Blend each row with the next one of its batch: whole images (mixup) or a rectangle (cutmix)."""
    alpha = spec.mixup or spec.cutmix
    share = torch.from_numpy(_beta(batch.rows, alpha, seed, epoch))
    partner = torch.roll(torch.arange(batch.num_rows), 1)
    mixed = dict(inputs)
    for name, part in inputs.items():
        kind = name.rsplit(".", 1)[-1]
        if kind == "pixels" and spec.cutmix:
            cut = _rectangles(_draws(batch, 4, "cutmix", seed, epoch), part.shape[1], part.shape[2], 1 - share)
            mixed[name] = torch.where(cut[..., None], part[partner], part)
            share = 1 - cut.float().mean((1, 2))
        elif kind == "pixels":
            weight = share[:, None, None, None]
            blend = weight * part.float() + (1 - weight) * part[partner].float()
            mixed[name] = blend.round().to(part.dtype)
    partners = {name: target[partner] for name, target in batch.targets.items()}
    return Batch(mixed, batch.targets, batch.weight, batch.rows, Mix(partners, share), batch.known)


def _beta(rows: NDArray[np.int64], alpha: float, seed: int, epoch: int) -> NDArray[np.float32]:
    """One Beta(alpha, alpha) draw a row: a keyed table of them, indexed by the row's own draw."""
    table = generator(seed, "mix", epoch).beta(alpha, alpha, 4096).astype(np.float32)
    return table[(uniform(rows, 1, seed, "mix", epoch)[:, 0] * len(table)).astype(np.int64)]


def augment(batch: Batch, spec: AugmentSpec, seed: int, epoch: int) -> Batch:
    """The batch with every change of the spec applied; the batch itself where all are off."""
    if spec == OFF:
        return batch
    inputs = {name: _change_part(name, part, batch, spec, seed, epoch) for name, part in batch.inputs.items()}
    if (spec.mixup or spec.cutmix) and any(name.endswith(".pixels") for name in inputs):
        return _mixed(inputs, batch, spec, seed, epoch)
    return replace(batch, inputs=inputs)


OFF = AugmentSpec()
