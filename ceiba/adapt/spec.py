"""What may be told about adapting."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ceiba.base.spec import Spec, one_of
from ceiba.surgery import LoraOptions


class FullSpec(Spec):
    """All weights are trained, those at the bottom slower if told. Source: Howard & Ruder 2018, arXiv:1801.06146."""

    usual_lr: ClassVar[float] = 5e-5
    """Learning rate unless told. Source: Devlin et al. 2019, arXiv:1810.04805, appendix A.3."""

    type: Literal["full"] = "full"
    freeze: tuple[Literal["embedding", "encoder", "trunk"], ...] = ()
    """Parts that stay as they are: the token vectors, all encoders, the trunk."""
    freeze_blocks: int = Field(0, ge=0)
    """The lowest Transformer blocks that stay as they are."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """What the learning rate of a block is of that of the block above it."""
    own_dropout: bool = True
    """Whether the dropout that the network was trained with stays; without it a step takes a good deal less time."""
    new_tokens: tuple[str, ...] = ()
    """Words or marks that become tokens of their own, beside the origin's. Their vectors begin as the mean of all
    others, so that what the network makes of old tokens stays as it is. Source: Hewitt 2021, "Initializing new word
    embeddings for pretrained language models"."""

    @field_validator("new_tokens")
    @classmethod
    def different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """New tokens must be told once, and hold something."""
        if len(set(value)) < len(value) or "" in value:
            raise ValueError("must hold different tokens")
        return value


class LoraSpec(LoraOptions):
    """Thin matrices beside the layers are trained, and what is new. Source: Hu et al. 2021, arXiv:2106.09685."""

    usual_lr: ClassVar[float] = 5e-4

    own_dropout: bool = True
    """Whether the dropout that the network was trained with stays; without it a step takes a good deal less time."""
    adapter: str | None = None
    """A folder that the package peft wrote, for the network that `from` names: what is learnt begins with its matrices,
    and rank, alpha and targets are its own."""

    @model_validator(mode="after")
    def one_shape(self) -> "LoraSpec":
        """An adapter has its own rank, alpha and targets."""
        told = [name for name in ("rank", "alpha", "targets") if name in self.model_fields_set]
        if self.adapter is not None and len(told) not in (0, 3):
            raise ValueError(f"must not hold {told[0]} beside adapter, which has its own")
        return self


class FrozenSpec(Spec):
    """All that comes from the origin stays as it is; only what is new is trained, such as a linear head."""

    usual_lr: ClassVar[float] = 2e-3

    type: Literal["frozen"] = "frozen"


ADAPT: dict[str, type[Spec]] = {"full": FullSpec, "lora": LoraSpec, "frozen": FrozenSpec}
"""Name → spec."""
AdaptSpec = one_of(ADAPT, "full")
