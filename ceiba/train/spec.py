"""What may be told to the training loop."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ceiba.base.spec import Spec
from ceiba.batches import AugmentSpec
from ceiba.train.optimizers import AdamWSpec, OptimizerSpec
from ceiba.train.precision import Precision
from ceiba.train.schedules import AnySchedule, CosineSpec


class CheckpointSpec(Spec):
    """When the state of training is written down, so that it can go on after any interruption."""

    every_steps: int | None = Field(None, ge=1)
    """Steps between two checkpoints; nothing: by time alone."""
    every_seconds: float | None = Field(60.0, gt=0)
    """Seconds between two checkpoints; nothing: by steps alone, or none but at a stop."""
    keep: int = Field(2, ge=1)
    """How many are kept, the newest; each of them also holds the best weights so far."""
    most_bytes: int | None = Field(None, ge=1)
    """Room on the disk: older checkpoints go sooner where they would need more."""


class DivergenceSpec(Spec):
    """What happens when a loss or a gradient is not finite. Such a step is never taken."""

    policy: Literal["skip", "rollback", "stop"] = "skip"
    """skip: go on with the next rows; rollback: also go back to the weights of the last checkpoint; stop: an error."""
    most: int = Field(10, ge=1)
    """How many steps in a row may be skipped, or how often a run may go back, before it stops with an error."""


FREE = ("checkpoint", "device", "log_every", "max_time", "parallel", "profile", "workers")
"""Keys of `train` that change no weight, and so may differ when a run is resumed."""


class TrainSpec(Spec):
    """How the weights are found."""

    epochs: int = Field(20, ge=1)
    """Passes over the training rows."""
    steps: int | None = Field(None, ge=1)
    """Steps in all, in place of `epochs`."""
    validate_every: int | None = Field(None, ge=1)
    """Steps between two validations; nothing: one after each epoch. The last step is always validated."""
    max_time: float | None = Field(None, gt=0)
    """Seconds after which training ends at a step: what it has then is validated, and the best is kept; nothing: no
    limit."""
    batch_rows: int = Field(256, ge=1)
    """Rows of one step. All rows: full-batch gradient descent; one row: stochastic; between: mini-batch."""
    accumulate: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Parts into which a step's rows are cut to save memory; their gradients add up to those of the whole. auto: as
    few as fit."""
    memory_bytes: int | None = Field(None, ge=1)
    """Memory that the tensors of one step may take, gradients among them, for `accumulate: auto`; nothing: what an
    accelerator has free, on a processor no limit."""
    optimizer: OptimizerSpec = AdamWSpec()
    """How a gradient becomes a step."""
    schedule: AnySchedule = CosineSpec()
    """How the learning rate runs over the steps."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Longest gradient, over all weights; nothing: not clipped. Source: Pascanu et al. 2012, arXiv:1211.5063."""
    clip_value: float | None = Field(None, gt=0)
    """Largest size of each single value of the gradient, after `clip_norm`; nothing: not clipped."""
    l1: float = Field(0.0, ge=0)
    """Weight of the sum of absolute weights in the loss."""
    l2: float = Field(0.0, ge=0)
    """Weight of the sum of squared weights in the loss."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of a running mean of the weights, which is then what is validated and kept; 0: off."""
    swa_from: float | None = Field(None, ge=0, lt=1)
    """Share of the steps after which a plain mean of the weights begins, which is then what is validated and kept;
    nothing: off. Source: Izmailov et al. 2018, arXiv:1803.05407, algorithm 1."""
    patience: int | None = Field(None, ge=1)
    """Validations without a better figure after which training stops early; nothing: never."""
    watch: Literal["loss", "metric"] = "loss"
    """What chooses the best epoch on the validation rows: the loss, or the first output's main metric."""
    precision: Precision | Literal["auto"] = "auto"
    """Number format of the forward pass: fp32; bf16, about twice as fast where the processor knows it; fp16, for
    accelerators without bf16; pure_bf16: also the weights and the optimizer's states, half the memory; auto: for
    convolutions and Transformers what proves faster."""
    channels_last: bool | Literal["auto"] = "auto"
    """Keep images as (height, width, channel) in memory: often faster for convolutions; auto: where it proves so."""
    compile: bool | Literal["auto"] = "auto"
    """Let torch compile the model; auto: where a run takes minutes, rows are of one length, and it proves faster."""
    recompute: bool = False
    """Forget what is inside each residual and Transformer block and compute it again going backward: less memory, about
    a third more time. Source: Chen et al. 2016, arXiv:1604.06174."""
    augment: AugmentSpec = AugmentSpec()
    """Random changes of the training rows."""
    divergence: DivergenceSpec = DivergenceSpec()
    """What happens when a loss is not a number."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """When the state is written down, to go on after an interruption."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work (`ceiba train --nproc`): ddp: each holds the whole model; fsdp: a share."""
    seed: int = 0
    """Root of every random number: weights, order, augmentation, dropout."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, mps."""
    threads: int | None = Field(None, ge=1)
    """Processor threads; nothing: one for short steps of dense layers, else all cores or half, whichever is faster."""
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """Threads that gather and augment batches ahead of the step; 0: none; auto: where that proves faster. The batches
    are the same, whatever their number."""
    log_every: int = Field(50, ge=1)
    """Steps between two lines of the log."""
    profile: bool = False
    """Write what the processor and the accelerator do in a few steps to `trace.json`, for a trace viewer."""

    def total(self, per_epoch: int) -> int:
        """Steps in all."""
        return self.epochs * per_epoch if self.steps is None else self.steps

    @model_validator(mode="after")
    def one_mean(self) -> "TrainSpec":
        """Only one mean of the weights can be kept."""
        if self.ema and self.swa_from is not None:
            raise ValueError("must not hold both ema and swa_from")
        return self
