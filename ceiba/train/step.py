"""One training in progress, and one step of it: forward, loss, backward, check, clip, step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ceiba.answers import Answer
from ceiba.base.keys import key
from ceiba.batches import Batch, Batches
from ceiba.heads import NextToken
from ceiba.heads.next_token import MOST_LOGITS
from ceiba.model import Model
from ceiba.train.checkpoint import Figures, Progressed, load_checkpoint, restore, snapshot
from ceiba.train.optimizers import bare_step, own_rate, parameter_groups, spare_the_compiler
from ceiba.train.precision import Precision, Scaler, compute_in, hold_in_bf16
from ceiba.train.spec import TrainSpec
from ceiba.train.stop import StopRequest
from ceiba.train.validate import LOWER_IS_BETTER, validate
from ceiba.train.world import BLOCKS, World, like, own_share, whole

Weights = dict[str, Tensor]
WISHES = 3
CLIP_SPARE = 1e-6
"""What torch adds to a norm before it divides by it."""


@dataclass(frozen=True)
class Settings:
    """How the machine computes a run, once nothing is left to `auto`."""

    precision: Precision = "fp32"
    channels_last: bool = False
    threads: int = 1
    compile: bool = False
    accumulate: int = 1
    workers: int = 0
    lr: float | None = None
    """Peak of the learning rate, where the recipe leaves it to `auto`."""


class Run:
    """One training in progress: a model, its optimizer, and how far it is."""

    def __init__(
        self,
        model: Model,
        train: Batches,
        valid: Batches,
        answers: Mapping[str, Answer],
        spec: TrainSpec,
        settings: Settings = Settings(),
        world: World | None = None,
    ):
        self.settings = settings
        self.device = torch.device(pick_device(spec.device))
        self.world = world or World(spec.parallel, self.device)
        self.model = model.to(self.device)
        if settings.precision == "pure_bf16":
            hold_in_bf16(self.model)
        self.scaler = Scaler(self.device) if settings.precision == "fp16" else None
        if settings.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if settings.compile:
            self.model.compile()
        if spec.recompute:
            recompute_blocks(self.model)
        # A student's logits are read, the matrix of a share is not whole, and a compiled net keeps nothing aside.
        if type(model) is Model and spec.parallel == "ddp" and not settings.compile:
            for head in model.heads.values():
                if isinstance(head, NextToken):
                    head.most_logits = MOST_LOGITS
        self.shared = self.world.share(self.model)
        self.train, self.valid, self.answers, self.spec = train, valid, answers, spec
        spare_the_compiler()
        self.lr = own_rate(spec.optimizer) if settings.lr is None else settings.lr
        """Peak of the learning rate."""
        self.optimizer: torch.optim.Optimizer = spec.optimizer.build(parameter_groups(model), self.lr)
        for group in self.optimizer.param_groups:
            if "capturable" in group and not group.get("fused"):
                group["capturable"] = self.device.type == "cuda"  # its counters then lie where they can be put back
        self.take_step = bare_step(self.optimizer)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.total = spec.total(train.per_epoch)
        self.at = Progressed()
        self.best: Weights = {}
        self.mean: Weights = {}
        if spec.ema or spec.swa_from is not None:  # in float32 whatever the weights are: small changes must not be lost
            self.mean = {name: full(value) for name, value in self._copy().items()}
        self.fixed = {name for name, value in self.mean.items() if not value.isfinite().all()}
        """Constants of layers that are endless on purpose, of which no mean can be taken."""
        self.norm = torch.zeros((), device=self.device)
        """Length of the last gradient, before it was clipped."""
        self.checks: list[Tensor | bool] = []
        """Of each step since they were last read: whether its loss or gradient was not finite."""
        self.wish, self.wishes = 0, torch.zeros((), device=self.device)
        """What this process asks all to do after the step (a bit each: stop, save, end), and what all asked for."""

    @property
    def epoch(self) -> float:
        """Passes over the rows so far; a whole number after the last step of one."""
        passes = self.at.step / self.train.per_epoch
        return int(passes) if passes.is_integer() else round(passes, 4)

    @property
    def is_to_validate(self) -> bool:
        """Whether the weights of this step are validated."""
        every = self.spec.validate_every or self.train.per_epoch
        return self.at.step > self.validated and (
            self.at.is_over or self.at.step == self.total or self.at.step % every == 0
        )

    @property
    def waited(self) -> int:
        """Validations since the best."""
        return sum(row["epoch"] > self.at.best_epoch for row in self.at.history)

    @property
    def validated(self) -> int:
        """The step whose weights were validated last."""
        return int(self.at.history[-1]["step"]) if self.at.history else 0

    def _copy(self) -> Weights:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def seed_step(self, part: int = 0) -> None:
        """Give dropout this step's own address, so that a resumed run draws what an undisturbed one would."""
        value = key(self.spec.seed, "dropout", self.at.step, part, self.world.rank) >> 1
        torch.default_generator.manual_seed(value)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(value)

    def loss(self, batch: Batch, totals: Mapping[str, Tensor] | None = None) -> Tensor:
        """The loss of one batch; a blended row answers for both of its targets, in proportion.

        `totals` are the weight sums of the whole step, of which the batch is a part.
        """
        with compute_in(self.settings.precision, self.device):
            raw = self.shared(batch.inputs)
        logits = {name: value.float() for name, value in raw.items()}
        if batch.mix is None:
            loss, _ = self.model.score(logits, batch.targets, batch.weight, totals=totals, known=batch.known)
            return loss
        share = batch.mix.share
        weight = torch.ones_like(share) if batch.weight is None else batch.weight
        own, _ = self.model.score(logits, batch.targets, weight, share, totals)
        return own + self.model.score(logits, batch.mix.targets, weight, 1 - share, totals)[0]

    def backward(self, batch: Batch) -> Tensor:
        """Gradients of the step's loss, in one pass or added up over parts that give the same; returns the loss."""
        parts = batch.parts(self.settings.accumulate)
        totals = self._totals(batch) if len(parts) > 1 or not self.world.is_alone else None
        losses = []
        for place, part in enumerate(parts):
            self.seed_step(place)
            loss = self.loss(part, totals)
            if self.spec.l1 and place == 0 and self.world.leads:
                loss = loss + self.spec.l1 * sum(weights.abs().sum() for weights in self.parameters)
            if self.spec.l2 and place == 0 and self.world.leads:
                loss = loss + self.spec.l2 * sum(weights.square().sum() for weights in self.parameters)
            # Gradients are averaged over the processes, and must be added up.
            scaled = loss if self.world.is_alone else loss * self.world.size
            scaled = scaled if self.scaler is None else scaled * self.scaler.scale
            with self.world.synchronized(self.shared, part is parts[-1]):
                scaled.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _totals(self, batch: Batch) -> dict[str, Tensor]:
        """The weight sum of each target over all rows of the step, in all processes; wishes ride along."""
        weights = self.model.target_weights(batch.targets, batch.weight)
        wishes = [torch.tensor(float(self.wish >> bit & 1), device=self.device) for bit in range(WISHES)]
        sums = self.world.add_up(torch.stack([*weights.values(), *wishes]))
        self.wishes = sums[-WISHES:]
        return dict(zip(weights, sums, strict=False))

    def rate(self) -> float:
        """The learning rate of the coming step."""
        return float(self.lr * self.spec.schedule.factor(self.at.step, self.total, self.at.history))

    def step(self, batch: Batch, rate: float | None = None) -> Tensor:
        """One step of gradient descent; the loss stays on the device, so nothing waits for it.

        A step whose loss or gradient is not finite changes no weight and no state, and its loss counts as zero.
        `rate` is a learning rate in place of the schedule's.
        """
        rate = self.rate() if rate is None else rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        loss = self.backward(batch.to(self.device))
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.scaler is not None:
            self.scaler.unscale(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        self.norm = whole({"norm": norm})["norm"]
        if self.spec.clip_norm is not None and self._may_exceed(self.spec.clip_norm):
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.spec.clip_norm, norm)
        checked = loss + self.norm if self.world.is_alone else self.norm  # all processes have one norm, not one loss
        # On an accelerator nobody must wait for the answer; here it is at hand, and cheaper as a plain number.
        bad = ~checked.isfinite() if self.device.type != "cpu" else not math.isfinite(checked)
        self.checks.append(bad if self.scaler is None else self.scaler.update(bad))
        if self.spec.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.parameters, self.spec.clip_value)
        self._apply(bad)
        for parameter in self.parameters:  # as zero_grad does, without its records for a profiler
            parameter.grad = None
        if self.mean:
            self._update_mean()
        self.at.step += 1
        if self.scaler is not None:  # a gradient that was scaled too far does not make the loss wrong
            return loss.nan_to_num(0, 0, 0)
        return loss.masked_fill(bad, 0) if isinstance(bad, Tensor) else torch.zeros_like(loss) if bad else loss

    def _may_exceed(self, most: float) -> bool:
        """Whether the gradient may have to be clipped. Shorter ones would be multiplied by one, a pass over all of
        them that is spared where reading the norm waits for nothing."""
        return self.device.type != "cpu" or not float(self.norm) + CLIP_SPARE <= most

    def _apply(self, bad: Tensor | bool) -> None:
        """Take the step unless the check failed; on an accelerator nobody waits for its answer.

        There a fused kernel looks itself; what other optimizers changed is put back. Only their first step waits, since
        it makes the states that can be put back.
        """
        if isinstance(bad, bool) or not (self.optimizer.defaults.get("fused") or self.optimizer.state):
            if not bad:
                self.take_step()
        elif self.optimizer.defaults.get("fused"):
            self.optimizer.grad_scale, self.optimizer.found_inf = None, bad.float()  # type: ignore[attr-defined]
            self.take_step()
        else:
            self._step_or_put_back(bad)

    @torch.no_grad()
    def _step_or_put_back(self, bad: Tensor) -> None:
        """A step whose weights and states are those before it where the check failed (counters that an optimizer keeps
        in main memory apart, which count every step that was tried)."""
        states = [value for one in self.optimizer.state.values() for value in one.values() if isinstance(value, Tensor)]
        held = [own_share(value) for value in (*self.parameters, *states) if value.device.type == bad.device.type]
        before = [value.clone() for value in held]
        self.take_step()
        for value, old in zip(held, before, strict=True):
            value.copy_(torch.where(bad, old, value))

    def failed(self) -> list[int]:
        """The steps since the last call whose check failed; the one place that waits for the device."""
        checks, self.checks = self.checks, []
        if not checks:
            return []
        first = self.at.step - len(checks)
        tensors = [check for check in checks if isinstance(check, Tensor)]
        found = torch.stack(tensors).tolist() if tensors else checks
        return [first + place for place, bad in enumerate(found) if bad]

    def _update_mean(self) -> None:
        """The plain mean of the weights, or an exponential one whose decay is smaller while few steps are behind it."""
        if self.spec.swa_from is None:
            decay = min(self.spec.ema, (1 + self.at.step) / (10 + self.at.step))
        else:
            decay = 1 - 1 / max(self.at.step - int(self.spec.swa_from * self.total) + 1, 1)
        for name, value in self.model.state_dict().items():
            if value.is_floating_point() and name not in self.fixed:
                self.mean[name].lerp_(full(value), 1 - decay)
            else:
                self.mean[name].copy_(value)

    def validate(self, stop: StopRequest) -> Figures | None:
        """Figures on the validation rows, of the averaged weights where they are kept; remembers the best weights.

        Nothing if a signal asked to stop before the last row.
        """
        current = self._copy() if self.mean else {}
        if self.mean:
            self.model.load_state_dict(self.mean)
        patient = stop if self.world.is_alone else StopRequest()  # several processes must pass the same rows
        found = validate(
            self.model, self.valid, self.answers, self.device, self.settings.precision, patient, self.world
        )
        figures = self.world.agree(lambda: found)
        if figures is not None:
            self._remember(figures)
        if current:
            self.model.load_state_dict(current)
        return figures

    def _remember(self, figures: Figures) -> None:
        """Keep the weights if they are the best so far."""
        name = "loss" if self.spec.watch == "loss" else next(key for key in figures if key != "loss")
        value = figures[name] if name.split("_")[-1] in LOWER_IS_BETTER else -figures[name]
        if value < self.at.best_value:
            self.at.best_value, self.at.best_epoch = value, self.epoch
            self.best = self._copy()

    def snapshot(self) -> dict[str, Weights]:
        """A copy of everything the run needs to go on."""
        scaler = {} if self.scaler is None else self.scaler.state()
        weights = {"model": self.model.state_dict(), "best": self.best, "mean": self.mean, "scaler": scaler}
        return snapshot({name: whole(values) for name, values in weights.items() if values}, self.optimizer)

    def go_on(self, at: Progressed, weights: dict[str, Weights]) -> None:
        """Take the state of a checkpoint, or with no weights only the settings of a run that begins."""
        self.at = at
        if not weights:
            return
        restore(self.optimizer, weights["optimizer"])
        self.model.load_state_dict(self._cut(weights["model"]))
        self.best, self.mean = self._cut(weights.get("best", {})), self._cut(weights.get("mean", {}))
        if self.scaler is not None:
            self.scaler.load(weights["scaler"])

    def _cut(self, weights: Weights) -> Weights:
        """Whole weights as this process holds them."""
        own = self.model.state_dict()
        return {name: like(value, own[name]) for name, value in weights.items()}

    def roll_back(self, folder: Path, identity: Mapping[str, str]) -> int:
        """Weights and optimizer of the newest good checkpoint; the rows since then are not met again. Its step."""
        before, weights = load_checkpoint(folder, identity)
        restore(self.optimizer, weights["optimizer"])
        self.model.load_state_dict(self._cut(weights["model"]))
        self.mean = self._cut(weights.get("mean", {}))
        if self.scaler is not None:
            self.scaler.load(weights["scaler"])
        return before.step


def full(value: Tensor) -> Tensor:
    """A float tensor in at least float32; others as they are."""
    return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value


def recompute_blocks(model: nn.Module) -> None:
    """Let every block keep only its input, from which the backward pass computes the rest again, dropout included."""
    for block in model.modules():
        if isinstance(block, BLOCKS):
            forward = type(block).forward.__get__(block)
            vars(block)["forward"] = partial(checkpoint, forward, use_reentrant=False)


def keep_blocks(model: nn.Module) -> None:
    """Undo `recompute_blocks`."""
    for block in model.modules():
        if isinstance(block, BLOCKS):
            block.__dict__.pop("forward", None)


def pick_device(name: str) -> str:
    """`auto` is the accelerator where one is, else the processor."""
    if name != "auto":
        return name
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator is None else accelerator.type
