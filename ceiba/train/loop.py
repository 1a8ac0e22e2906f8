"""The training loop: for each batch forward, loss, backward, clip, step; after each epoch validate, keep the best."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ceiba import __version__
from ceiba.answers import Answer
from ceiba.base.errors import CeibaError, Stopped
from ceiba.base.keys import key
from ceiba.base.progress import Progress
from ceiba.batches import Batch, Batches
from ceiba.layers import TransformerBlock
from ceiba.model import Model
from ceiba.train.checkpoint import Figures, Progressed, load_checkpoint, save_checkpoint
from ceiba.train.optimizers import bare_step, parameter_groups, spare_the_compiler
from ceiba.train.precision import compute_in
from ceiba.train.sinks import Sink, open_sinks
from ceiba.train.spec import TrainSpec
from ceiba.train.stop import StopRequest
from ceiba.train.validate import LOWER_IS_BETTER, validate

CHECKPOINT_EVERY_S = 60.0
HEAVY = (nn.Conv1d, nn.Conv2d, nn.RNNBase, TransformerBlock)
LIGHT_PRODUCTS = 32_000_000
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """What training found; the model itself holds the best weights."""

    history: list[Figures]
    best_epoch: int
    steps: int
    seconds: float
    rows_per_second: float
    stopped_early: bool

    @property
    def cost(self) -> dict[str, float]:
        """What a report says of the work."""
        return {"train_rows_per_second": self.rows_per_second, "best_epoch": self.best_epoch}


class Run:
    """One training in progress: a model, its optimizer, and how far it is."""

    def __init__(self, model: Model, train: Batches, valid: Batches, answers: Mapping[str, Answer], spec: TrainSpec):
        self.device = torch.device(pick_device(spec.device))
        self.model = model.to(self.device)
        if spec.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train, self.valid, self.answers, self.spec = train, valid, answers, spec
        spare_the_compiler()
        self.optimizer: torch.optim.Optimizer = spec.optimizer.build(parameter_groups(model))
        self.take_step = bare_step(self.optimizer)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.total = spec.epochs * train.per_epoch
        self.at = Progressed()
        self.best: Weights = {}
        self.mean: Weights = self._copy() if spec.ema else {}

    def _copy(self) -> Weights:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def seed_step(self) -> None:
        """Give dropout this step's own address, so that a resumed run draws what an undisturbed one would."""
        value = key(self.spec.seed, "dropout", self.at.step) >> 1
        torch.default_generator.manual_seed(value)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(value)

    def loss(self, batch: Batch) -> Tensor:
        """The loss of one batch; a blended row answers for both of its targets, in proportion."""
        with compute_in(self.spec.precision, self.device):
            raw = self.model(batch.inputs)
        logits = {name: value.float() for name, value in raw.items()}
        if batch.mix is None:
            loss, _ = self.model.score(logits, batch.targets, batch.weight)
        else:
            share, partner = batch.mix.share, batch.mix.partner
            weight = torch.ones_like(share) if batch.weight is None else batch.weight
            other = {name: target[partner] for name, target in batch.targets.items()}
            own, _ = self.model.score(logits, batch.targets, weight, share)
            loss = own + self.model.score(logits, other, weight, 1 - share)[0]
        if self.spec.l1:
            loss = loss + self.spec.l1 * sum(weights.abs().sum() for weights in self.parameters)
        return loss

    def step(self, batch: Batch) -> Tensor:
        """One step of gradient descent; the loss stays on the device, so nothing waits for it."""
        rate = self.spec.optimizer.lr * self.spec.schedule.factor(self.at.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.seed_step()
        loss = self.loss(batch.to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        if self.spec.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        self.take_step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.mean:
            self._update_mean()
        self.at.step += 1
        return loss.detach()

    def _update_mean(self) -> None:
        """Exponential moving average of the weights, its decay smaller while few steps are behind it."""
        decay = min(self.spec.ema, (1 + self.at.step) / (10 + self.at.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - decay)
            else:
                self.mean[name].copy_(value)

    def validate(self) -> Figures:
        """Figures on the validation rows, of the averaged weights where they are kept; remembers the best weights."""
        current = self._copy() if self.mean else {}
        if self.mean:
            self.model.load_state_dict(self.mean)
        figures = validate(self.model, self.valid, self.answers, self.device, self.spec.precision)
        name = "loss" if self.spec.watch == "loss" else next(key for key in figures if key != "loss")
        value = figures[name] if name.split("_")[-1] in LOWER_IS_BETTER else -figures[name]
        if value < self.at.best_value:
            self.at.best_value, self.at.best_epoch = value, self.at.step // self.train.per_epoch
            self.best = self._copy()
        if current:
            self.model.load_state_dict(current)
        return figures

    def save(self, folder: Path, identity: dict[str, str]) -> Path:
        """Write a checkpoint of everything the run needs to go on."""
        weights = {"model": self.model.state_dict(), "best": self.best, "mean": self.mean}
        return save_checkpoint(folder, identity, self.at, self.optimizer, {k: v for k, v in weights.items() if v})

    def resume(self, folder: Path, identity: dict[str, str]) -> None:
        """Go on from the newest good checkpoint."""
        self.at, weights = load_checkpoint(folder, identity, self.optimizer)
        self.model.load_state_dict(weights["model"])
        self.best, self.mean = weights.get("best", {}), weights.get("mean", {})


def is_light(model: Model, batch_rows: int) -> bool:
    """Whether a step is so short that sharing it between threads costs more than it gains: few products, all in dense
    layers."""
    if model.members or any(isinstance(part, HEAVY) for part in model.modules()):
        return False
    weights = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))
    return weights * batch_rows < LIGHT_PRODUCTS


def pick_device(name: str) -> str:
    """`auto` is the accelerator where one is, else the processor."""
    if name != "auto":
        return name
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator is None else accelerator.type


def _train_epoch(run: Run, sinks: list[Sink], stop: StopRequest, progress: Progress) -> float:
    """The rest of the epoch in hand; returns its mean loss."""
    epoch, start = divmod(run.at.step, run.train.per_epoch)
    loss_sum = torch.full((), run.at.loss_sum, dtype=torch.float64, device=run.device)
    recent, logged = torch.zeros((), device=run.device), run.at.step
    for batch in run.train.epoch(epoch, start):
        loss = run.step(batch)
        loss_sum += loss
        recent += loss
        progress.advance()
        if run.at.step % run.spec.log_every == 0:
            _log(run, sinks, float(recent) / (run.at.step - logged), progress)
            recent, logged = torch.zeros_like(recent), run.at.step
        if stop.exit_code is not None:
            break
    run.at.loss_sum = float(loss_sum)
    return run.at.loss_sum / run.train.per_epoch


def _must_be_number(loss: float, run: Run) -> None:
    if not loss < float("inf"):
        raise CeibaError(
            f"The loss at step {run.at.step} must be a number",
            loss,
            "Lower train.optimizer.lr or look for extreme values",
        )


def _log(run: Run, sinks: list[Sink], loss: float, progress: Progress) -> None:
    _must_be_number(loss, run)
    progress.advance(0, f"loss {loss:.4f}")
    for sink in sinks:
        sink.write(run.at.step, {"train_loss": loss, "lr": float(run.optimizer.param_groups[0]["lr"])})


def _stop_here(run: Run, folder: Path, identity: dict[str, str], stop: StopRequest) -> None:
    if stop.exit_code is not None:
        path = run.save(folder / "checkpoints", identity)
        raise Stopped(f"Stopped at step {run.at.step}, saved as {path}", None, "Go on with --resume", stop.exit_code)


def _close_epoch(run: Run, loss: float, sinks: list[Sink], progress: Progress) -> int:
    """Validate, and write the epoch's row everywhere; returns the epoch's number, from 1."""
    _must_be_number(loss, run)
    figures, epoch = run.validate(), run.at.step // run.train.per_epoch
    _must_be_number(figures["loss"], run)
    row = {"epoch": epoch, "train_loss": loss, **{f"valid_{name}": value for name, value in figures.items()}}
    run.at.history.append({**row, "step": run.at.step, "seconds": run.at.seconds})
    run.at.loss_sum = 0.0
    for sink in sinks:
        sink.write(run.at.step, row)
    shown = " ".join(f"{name} {value:.4f}" for name, value in row.items() if name != "epoch")
    progress.line(f"epoch {epoch}/{run.spec.epochs} {shown}")
    return epoch


def _epochs(run: Run, folder: Path, identity: dict[str, str], sinks: list[Sink], stop: StopRequest) -> bool:
    """Epoch after epoch until the last, or until patience runs out (then True)."""
    saved = time.monotonic()
    began = saved - run.at.seconds
    with Progress("Training", run.total) as progress:
        progress.done = run.at.step
        while run.at.step < run.total:
            loss = _train_epoch(run, sinks, stop, progress)
            run.at.seconds = time.monotonic() - began
            if run.at.step % run.train.per_epoch:
                _stop_here(run, folder, identity, stop)
            epoch = _close_epoch(run, loss, sinks, progress)
            run.at.seconds = time.monotonic() - began
            if run.spec.patience is not None and epoch - run.at.best_epoch >= run.spec.patience:
                return True
            _stop_here(run, folder, identity, stop)
            if time.monotonic() - saved > CHECKPOINT_EVERY_S and run.at.step < run.total:
                run.save(folder / "checkpoints", identity)
                saved = time.monotonic()
    return False


def fit(
    model: Model,
    train: Batches,
    valid: Batches,
    answers: Mapping[str, Answer],
    spec: TrainSpec,
    folder: Path,
    identity: dict[str, str],
    resume: bool = False,
) -> Trained:
    """Train `model` in place and leave in it the weights of its best epoch on the validation rows.

    Raises: Stopped after a signal, with a checkpoint saved; CeibaError if the loss is no longer a number.
    """
    threads = spec.threads or (1 if is_light(model, spec.batch_rows) else None)
    if threads is not None:
        torch.set_num_threads(threads)
    run = Run(model, train, valid, answers, spec)
    identity = {**identity, "version": __version__}
    if resume:
        run.resume(folder / "checkpoints", identity)
    model.train()
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        sinks = [stack.enter_context(closing(sink)) for sink in open_sinks(folder)]
        stopped_early = _epochs(run, folder, identity, sinks, stop)
    model.load_state_dict(run.best)
    model.eval()
    rows = run.at.step * train.batch_rows
    return Trained(
        run.at.history, run.at.best_epoch, run.at.step, run.at.seconds, rows / max(run.at.seconds, 1e-9), stopped_early
    )
