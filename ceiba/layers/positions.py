"""Positions: where a token stands in its row, added to its vector or turned into its queries and keys."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ceiba.base.errors import RecipeError
from ceiba.base.spec import Spec, one_of

Places = Int[Tensor, "#batch token"]
Rotation = tuple[Float[Tensor, "#batch 1 token half"], Float[Tensor, "#batch 1 token half"]]


def places_of(values: Float[Tensor, "batch token dim"]) -> Int[Tensor, "1 token"]:
    """0, 1, 2, ...: rows that begin at their first token."""
    return torch.arange(values.shape[1], device=values.device).unsqueeze(0)


class Positions(nn.Module):
    """A learnt vector for each place, added to the token there. Starts normal with deviation 1/√dim, or as told.

    Source: Gehring et al. 2017, arXiv:1705.03122, section 3.1.
    """

    def __init__(self, places: int, dim: int, std: float | None = None):
        super().__init__()
        self.table = nn.Parameter(torch.randn(places, dim) * (dim**-0.5 if std is None else std))

    def forward(
        self, values: Float[Tensor, "batch token dim"], places: Places | None = None
    ) -> Float[Tensor, "batch token dim"]:
        place = torch.arange(values.shape[1], device=values.device) if places is None else places
        return values + F.embedding(place, self.table)


class SinusoidalPositions(nn.Module):
    """sin(p / 10000^(2i/dim)) and its cosine for each place p, added to the token there; nothing is learnt.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    """

    def forward(
        self, values: Float[Tensor, "batch token dim"], places: Places | None = None
    ) -> Float[Tensor, "batch token dim"]:
        dim = values.shape[-1]
        place = places_of(values) if places is None else places
        rate = torch.exp(torch.arange(0, dim, 2, device=values.device) * (-math.log(10_000.0) / dim))
        angle = place.unsqueeze(-1) * rate
        return values + torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[..., :dim].to(values.dtype)


class LinearScalingSpec(Spec):
    """All places are counted `factor` times slower. Source: Chen et al. 2023, arXiv:2306.15595, equation 3."""

    type: Literal["linear"] = "linear"
    factor: float = Field(1.0, ge=1)
    """How many times longer texts are than those the net was first trained on."""

    def rates(self, rates: Float[Tensor, "half"]) -> Float[Tensor, "half"]:
        """Radians a place, scaled."""
        return rates / self.factor


class Llama3ScalingSpec(Spec):
    """Slow turns are slowed by `factor`, fast ones stay, those between are blended.

    Source: Llama team 2024, arXiv:2407.21783, section 3.4.1, in the form of its reference code.
    """

    type: Literal["llama3"] = "llama3"
    factor: float = Field(8.0, ge=1)
    """How many times slow turns are slowed."""
    low: float = Field(1.0, gt=0)
    """A turn that is made fewer times than this within `places` is slow."""
    high: float = Field(4.0, gt=0)
    """A turn that is made more times than this within `places` is fast."""
    places: int = Field(8192, ge=1)
    """Longest text the net was first trained on, in tokens."""

    def rates(self, rates: Float[Tensor, "half"]) -> Float[Tensor, "half"]:
        """Radians a place, scaled."""
        turns = self.places * rates / (2 * math.pi)
        blend = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return rates * blend + rates / self.factor * (1 - blend)


SCALINGS: dict[str, type[Spec]] = {"linear": LinearScalingSpec, "llama3": Llama3ScalingSpec}


class NoPositionsSpec(Spec):
    """A bag of tokens, but for what causality tells."""

    type: Literal["none"] = "none"

    def build(self, dim: int, places: int | None, std: float | None) -> nn.Module | None:
        return None


class LearnedPositionsSpec(Spec):
    """A learnt vector for each place, added to the token there."""

    type: Literal["learned"] = "learned"
    places: int | None = Field(None, ge=1)
    """Places there are vectors for; null: as many as the field keeps tokens."""

    def build(self, dim: int, places: int | None, std: float | None) -> nn.Module | None:
        if self.places is None and places is None:
            raise RecipeError("positions: learned needs a number of places here", None, "Add places: 512")
        return Positions(self.places or places or 1, dim, std)


class SinusoidalPositionsSpec(Spec):
    """Waves of many lengths, added to the token; nothing is learnt."""

    type: Literal["sinusoidal"] = "sinusoidal"

    def build(self, dim: int, places: int | None, std: float | None) -> nn.Module | None:
        return SinusoidalPositions()


class RotaryPositionsSpec(Spec):
    """Queries and keys are turned by an angle that grows with the place, so that scores depend on distance alone.

    Source: Su et al. 2021, arXiv:2104.09864, equation 34.
    """

    type: Literal["rotary"] = "rotary"
    theta: float = Field(10_000.0, gt=0)
    """Base of the wave lengths: the slowest turn takes about 2π · theta places."""
    scaling: one_of(SCALINGS) | None = None  # type: ignore[valid-type]
    """How turns are slowed for texts longer than the net was first trained on."""

    def build(self, dim: int, places: int | None, std: float | None) -> nn.Module | None:
        return None  # it acts within the attention

    def rotation(self, places: Int[Tensor, "rows token"], head_dim: int, dtype: torch.dtype) -> Rotation:
        """cos and sin of each place's angles."""
        rates = 1.0 / self.theta ** (torch.arange(0, head_dim, 2, device=places.device).float() / head_dim)
        if self.scaling is not None:
            rates = self.scaling.rates(rates)
        angles = places.unsqueeze(1).unsqueeze(-1) * rates
        return angles.cos().to(dtype), angles.sin().to(dtype)


POSITIONS: dict[str, type[Spec]] = {
    "none": NoPositionsSpec,
    "learned": LearnedPositionsSpec,
    "sinusoidal": SinusoidalPositionsSpec,
    "rotary": RotaryPositionsSpec,
}
"""Name → spec."""


def rotate(values: Float[Tensor, "batch head token dim"], rotation: Rotation) -> Float[Tensor, "batch head token dim"]:
    """Each pair (x_i, x_{i + dim/2}) turned by the angle of its token: (x cos - y sin, y cos + x sin)."""
    cos, sin = rotation
    first, second = values.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
