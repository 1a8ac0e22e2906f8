"""What a family is: how its configuration says what Ceiba's options say, and which weight is which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ceiba.base.errors import RecipeError
from ceiba.layers import RotaryPositionsSpec, TransformerOptions

Form = Literal["same", "rows", "transposed", "table", "places"]
FREE = {"dropout", "attention_dropout", "drop_path", "init"}
"""Options that no weight and no answer depends on."""


@dataclass(frozen=True)
class Network:
    """A pre-trained network in Ceiba's words."""

    family: str
    dim: int
    vocab: int
    """Rows of the foreign table of token vectors."""
    options: TransformerOptions
    """Of the blocks; they stand in the trunk if causal, else in the text encoder."""
    places: int | None = None
    """Places that have a learnt vector, added to the token's; None: none are learnt."""
    embedding_norm: bool = False
    segments: int = 0
    """Segments that have a learnt vector."""
    is_tied: bool = True
    """Whether the last matrix of a language model is the table."""

    @property
    def encoder(self) -> dict[str, Any]:
        """The options of a text encoder."""
        positions = {"type": "learned", "places": self.places} if self.places else {"type": "none"}
        blocks = self.options.model_dump(mode="json")
        if self.options.causal:
            kept = ("norm", "norm_eps", "dropout", "init")
            return {"type": "transformer", "layers": 0, **{key: blocks[key] for key in kept}, "positions": positions}
        more = {"embedding_norm": self.embedding_norm, "segments": self.segments}
        rotary = isinstance(self.options.positions, RotaryPositionsSpec)
        return {"type": "transformer", **blocks, **more, **({} if rotary else {"positions": positions})}

    @property
    def trunk(self) -> dict[str, Any] | None:
        """The options of a trunk; None if the encoder does it all."""
        return {"type": "transformer", **self.options.model_dump(mode="json")} if self.options.causal else None

    def is_like(self, other: "Network") -> bool:
        """Whether the same weights give the same answers."""
        mine, others = (
            (one.options.model_dump(exclude=FREE), one.dim, one.places, one.embedding_norm, one.segments)
            for one in (self, other)
        )
        return mine == others


@dataclass(frozen=True)
class Weight:
    """One own tensor and the foreign ones it is made from: as it is, of their rows, transposed (Conv1D), a table of
    tokens (perhaps with a row for padding before it), or a table of places (after `skip` unused ones)."""

    own: str
    """`encoder.`, `trunk.` or `head.` and the name below it."""
    foreign: tuple[str, ...]
    form: Form = "same"
    skip: int = 0


@dataclass(frozen=True)
class Family:
    """A family of networks."""

    name: str
    """`model_type` of its config.json."""
    architecture: str
    """The class of transformers that opens it."""
    prefix: str
    """What stands before the names of its weights where a head stands beside them."""
    read: Callable[[Mapping[str, Any]], Network]
    """config.json → network."""
    write: Callable[[Network], dict[str, Any]]
    """Network → config.json; where it cannot say all, reading it gives another network."""
    weights: Callable[[Network], list[Weight]]
    language_model: str | None = None
    """The class with a head of tokens."""
    expected: tuple[str, ...] = field(default=())
    """Foreign weights that are known and not used."""


ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu",
    "swish": "silu",
}  # fmt: skip


def activation_of(config: Mapping[str, Any], key: str) -> str:
    """The activation of a configuration. Raises: RecipeError for one that Ceiba's layers do not have."""
    if config[key] not in ACTIVATIONS:
        raise RecipeError(f"config.json {key} must be known", config[key], f"Known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[config[key]]


def refuse(config: Mapping[str, Any], **allowed: object) -> None:
    """Raises: RecipeError where a key that is there has another value than the one that is allowed."""
    for key, value in allowed.items():
        if config.get(key, value) != value:
            raise RecipeError(f"config.json {key} must be {value}", config[key], "This variant has no map")
