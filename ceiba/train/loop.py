"""The training loop: a step for each batch; after each epoch validate, keep the best; save from time to time."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ceiba import __version__
from ceiba.answers import Answer
from ceiba.base.errors import CeibaError, Followed, Stopped, listed
from ceiba.base.memory import anonymous_bytes
from ceiba.base.progress import Progress
from ceiba.base.side_process import paused
from ceiba.batches import Batch, Batches
from ceiba.model import Model
from ceiba.train.auto import choose
from ceiba.train.checkpoint import Figures, Progressed, load_checkpoint
from ceiba.train.precision import COMPUTED_IN
from ceiba.train.rehearsal import check
from ceiba.train.saving import Saver
from ceiba.train.sight import Sight, flops_of, peak_flops, traced
from ceiba.train.sinks import Sink, open_sinks
from ceiba.train.spec import TrainSpec
from ceiba.train.step import Run, Settings, keep_blocks, pick_device
from ceiba.train.stop import StopRequest
from ceiba.train.world import World, whole

MOST_STEPS_TOLD = 5
STOPPED_WITH_ANOTHER = 143
MFU_AFTER_S = 10.0
NO_MEMORY = "DefaultCPUAllocator: "
"""How torch begins to say that the processor has no memory left; an accelerator has an error of its own."""


@dataclass(frozen=True)
class Trained:
    """What training found; the model itself holds the best weights."""

    history: list[Figures]
    best_epoch: float
    steps: int
    seconds: float
    rows_per_second: float
    stopped_early: bool
    settings: dict[str, Any]
    """What `auto` chose (number and memory format, threads, compilation, parts, rate), and what it measured for it."""
    spec: TrainSpec
    """What the recipe told, with the learning rate that was found."""
    skipped: tuple[int, ...] = ()
    """Steps that were not taken, because a loss or a gradient was not finite."""
    other_notes: tuple[str, ...] = ()
    """Damaged checkpoints that were passed over, and an end by the clock."""
    stall_seconds: float = 0.0
    """For how long training stood still for the sake of checkpoints."""

    @property
    def cost(self) -> dict[str, Any]:
        """What a report says of the work."""
        return {
            "train_rows_per_second": self.rows_per_second, "best_epoch": self.best_epoch,
            "checkpoint_stall_seconds": self.stall_seconds, "settings": self.settings,
        }  # fmt: skip

    @property
    def notes(self) -> list[str]:
        """What went wrong on the way, and the user should know."""
        if not self.skipped:
            return list(self.other_notes)
        steps = listed([f"{step:,}" for step in self.skipped[:MOST_STEPS_TOLD]])
        return [
            *self.other_notes,
            f"{len(self.skipped):,} of {self.steps:,} training steps were skipped, since their loss or gradient was "
            f"not finite: {steps}{' ...' if len(self.skipped) > MOST_STEPS_TOLD else ''}; log.jsonl names their rows",
        ]


def memory_bytes(device: torch.device) -> float:
    """Memory in use: of the accelerator, else of this process."""
    return float(torch.cuda.memory_allocated(device) if device.type == "cuda" else anonymous_bytes())


class Loop:
    """Epoch after epoch of one run, with what goes on around its steps."""

    def __init__(
        self,
        run: Run,
        saver: Saver,
        sinks: list[Sink],
        stop: StopRequest,
        progress: Progress,
        tick: Callable[[], None],
    ):
        self.run, self.saver, self.sinks, self.stop, self.progress = run, saver, sinks, stop, progress
        self.tick = tick
        self.began = time.monotonic() - run.at.seconds
        self.validation_s = 0.0
        self.sight = Sight()

    def train(self) -> bool:
        """Until the last epoch is validated or the time is over, or until patience runs out (then True)."""
        run = self.run
        self.progress.done = run.at.step
        while True:
            run.at.is_over = run.at.is_over or run.world.agree(self.is_late)
            if run.is_to_validate:
                self.close_epoch()
                if run.spec.patience is not None and run.waited >= run.spec.patience:
                    return True
            elif run.at.step >= run.total or (run.at.is_over and run.at.step):
                return False
            else:
                self.train_epoch()
            self.stop_here()

    def train_epoch(self) -> None:
        """The rest of the epoch in hand, or of it until a validation is due or a signal asks to stop."""
        run, spec = self.run, self.run.spec
        epoch, start = divmod(run.at.step, run.train.per_epoch)
        # Each process adds up its own rows' losses; one of them goes on from the sum so far.
        before = run.at.loss_sum if run.world.leads else 0.0
        loss_sum = torch.full((), before, dtype=torch.float64, device=run.device)
        recent, logged = torch.zeros((), device=run.device), run.at.step
        for batch in self.sight.watch(run.train.epoch(epoch, start, (run.world.rank, run.world.size))):
            run.wish = self.wish()
            loss = self.step(batch)
            loss_sum += loss
            recent += loss
            self.progress.advance()
            self.tick()
            if run.at.step % spec.log_every == 0:
                self.log(float(run.world.add_up(recent)) / (run.at.step - logged))
                recent, logged = torch.zeros_like(recent), run.at.step
            stops, saves, run.at.is_over = self.granted()
            if saves and run.at.step < run.total:
                self.save(float(run.world.add_up(loss_sum.clone())))
            if stops or run.is_to_validate:
                break
        self.look_for_failures()
        run.at.loss_sum = float(run.world.add_up(loss_sum))

    def step(self, batch: Batch) -> Tensor:
        """One step.

        Raises: CeibaError if it needs more memory than there is.
        """
        try:
            return self.run.step(batch)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and NO_MEMORY not in str(error):
                raise
            raise CeibaError(
                f"A step of {batch.num_rows:,} rows must fit into memory", str(error).partition("\n")[0],
                f"Set train.accumulate={2 * self.run.settings.accumulate} for the same gradients in half the memory, "
                "or train.batch_rows lower",
            ) from error  # fmt: skip

    def wish(self) -> int:
        """What this process would like to do after the coming step: stop (1), save (2), end (4)."""
        if self.run.world.is_alone:
            return 0
        leads = self.run.world.leads
        saves, ends = leads and self.saver.is_due(self.run.at.step + 1), leads and self.is_late()
        return (self.stop.exit_code is not None) | saves << 1 | ends << 2

    def granted(self) -> tuple[bool, bool, bool]:
        """Whether to stop, to save and to end now: for all processes at one step, since wishes travel with it."""
        if self.run.world.is_alone:
            return self.stop.exit_code is not None, self.saver.is_due(self.run.at.step), self.is_late()
        stops, saves, ends = (self.run.wishes > 0).tolist()
        if stops and self.stop.exit_code is None:
            self.stop.exit_code = STOPPED_WITH_ANOTHER
        return stops, saves, ends

    def is_late(self) -> bool:
        """Whether the allowed time is over, but for what the last validation took."""
        limit_s = self.run.spec.max_time
        return limit_s is not None and time.monotonic() - self.began + self.validation_s >= limit_s

    def log(self, loss: float) -> None:
        """Write the figures of the last steps everywhere; in a run of some length also the operations a second."""
        self.look_for_failures()
        self.progress.advance(0, f"loss {loss:.4f}")
        run = self.run
        figures = {
            "train_loss": loss,
            "lr": float(run.optimizer.param_groups[0]["lr"]),
            "gradient_norm": float(run.norm),
            **self.sight.look(),
            "memory_bytes": memory_bytes(run.device),
        }
        self.write({name: value for name, value in figures.items() if abs(value) < float("inf")})
        if not self.sight.peak and time.monotonic() - self.began > MFU_AFTER_S and not run.world.cuts:
            kind = COMPUTED_IN.get(run.settings.precision, torch.float32)
            batch = next(run.valid.in_order())[1]
            self.sight.flops_a_row = flops_of(run.model, batch.to(run.device))
            self.sight.peak = peak_flops(run.device, kind)

    def write(self, figures: Mapping[str, float]) -> None:
        """One row to every sink."""
        for sink in self.sinks:
            sink.write(self.run.at.step, figures)

    def look_for_failures(self) -> None:
        """Record the steps since the last look that were not finite, and do what the recipe says.

        Raises: CeibaError by policy, or if too many follow one another.
        """
        run, rule = self.run, self.run.spec.divergence
        failed = run.failed()
        if not failed:
            return
        run.at.skipped += failed
        rows = {step: run.train.rows_of(*divmod(step, run.train.per_epoch)).tolist() for step in failed}
        for sink in self.sinks:
            sink.note(run.at.step, {"skipped": rows})
        last, in_a_row = run.at.skipped[-1], 0
        while last - in_a_row in run.at.skipped[-in_a_row - 1 :]:
            in_a_row += 1
        if rule.policy == "stop" or in_a_row >= rule.most or run.at.rolled_back >= rule.most:
            raise CeibaError(
                f"The loss and gradient at step {failed[0]} must be numbers",
                f"{len(run.at.skipped)} steps where they are not",
                "Lower train.optimizer.lr or look for extreme values",
            )
        self.saver.wait()
        run.world.wait()  # all must find the same checkpoints
        if rule.policy == "rollback" and any(self.saver.folder.glob("step-*")):
            step = run.roll_back(self.saver.folder, self.saver.identity)
            run.at.rolled_back += 1
            self.progress.line(f"step {run.at.step}: back to the weights of step {step}")

    def close_epoch(self) -> None:
        """Validate, and write the epoch's row everywhere; a stop leaves the epoch open, to be validated on resuming."""
        run, began = self.run, time.monotonic()
        figures = run.validate(self.stop)
        if figures is None:
            return
        self.validation_s = time.monotonic() - began
        epoch, steps = run.epoch, range(run.validated, run.at.step)
        loss = run.at.loss_sum / max(sum(step not in run.at.skipped for step in steps), 1)
        if not figures["loss"] < float("inf"):
            raise CeibaError(
                f"The validation loss after step {run.at.step} must be a number", figures["loss"],
                "Lower train.optimizer.lr or look for extreme values",
            )  # fmt: skip
        row = {"epoch": epoch, "train_loss": loss, **{f"valid_{name}": value for name, value in figures.items()}}
        run.at.seconds = time.monotonic() - self.began
        run.at.history.append({**row, "step": run.at.step, "seconds": run.at.seconds})
        run.at.loss_sum = 0.0
        self.write(row)
        shown = " ".join(f"{name} {value:.4f}" for name, value in row.items() if name != "epoch")
        self.progress.line(f"epoch {epoch:g}/{run.total / run.train.per_epoch:g} {shown}")

    def save(self, loss_sum: float) -> None:
        """A checkpoint of this moment."""
        self.look_for_failures()
        self.run.at.loss_sum, self.run.at.seconds = loss_sum, time.monotonic() - self.began
        self.saver.save(self.run)

    def agree_to_stop(self) -> int | None:
        """The exit code, if any process was asked to stop."""
        world, asked = self.run.world, float(self.stop.exit_code is not None)
        if not world.is_alone and float(world.add_up(torch.tensor(asked, device=self.run.device))) and not asked:
            self.stop.exit_code = STOPPED_WITH_ANOTHER
        return self.stop.exit_code

    def stop_here(self) -> None:
        """If a signal asked for it: save, and leave."""
        code = self.agree_to_stop()
        if code is None:
            return
        self.save(self.run.at.loss_sum)
        path = self.saver.wait()
        self.run.world.wait()  # the launcher ends all processes as soon as one has left
        raise Stopped(f"Stopped at step {self.run.at.step}, saved as {path}", None, "Go on with --resume", code)


def fit(
    model: Model,
    train: Batches,
    valid: Batches,
    answers: Mapping[str, Answer],
    spec: TrainSpec,
    folder: Path,
    identity: Mapping[str, str],
    resume: bool = False,
    sinks: Sequence[Sink] = (),
    settled: Callable[[], None] = lambda: None,
) -> Trained:
    """Train `model` in place and leave in it the weights of its best epoch on the validation rows.

    `sinks` see the figures besides the run's own; one that raises ends the training. `settled` is called when nothing
    is measured any more.

    Raises: Stopped after a signal, with a checkpoint saved; CeibaError if the loss is no longer a number.
    """
    identity = {**identity, "version": __version__}
    world = World(spec.parallel, torch.device(pick_device(spec.device)))
    check(model, spec, world.cuts)
    checkpoints = folder / "checkpoints"
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        at, weights = load_checkpoint(checkpoints, identity) if resume else (None, {})
        if at is None:  # a run that goes on keeps the settings that it began with
            with paused():
                chosen = world.agree(lambda: choose(model, train, valid, answers, spec))
            at = Progressed(settings=chosen.to_json())
        settled()
        settings = Settings(**{name: at.settings[name] for name in Settings.__dataclass_fields__})
        if settings.threads != torch.get_num_threads():
            torch.set_num_threads(settings.threads)
        if settings.workers:
            train, valid = (replace(batches, workers=settings.workers) for batches in (train, valid))
        # A model that is cut into shares cannot be put together again in place.
        run = Run(deepcopy(model) if world.cuts else model, train, valid, answers, spec, settings, world)
        run.go_on(at, weights)
        run.model.train()
        kept = open_sinks(folder) if world.leads else ()
        every = [stack.enter_context(closing(sink)) for sink in (*kept, *sinks)]
        saver = stack.enter_context(Saver(checkpoints, identity, spec.checkpoint))
        progress = stack.enter_context(Progress("Training", run.total))
        tick = stack.enter_context(traced(folder / "trace.json", spec.profile and world.leads))
        stopped_early = Loop(run, saver, every, stop, progress, tick).train()
    best = whole(run.best)
    keep_blocks(model)
    model.float()  # weights that were trained in bfloat16 are served as they are, in a format that everyone reads
    if not world.leads:
        raise Followed("The leading process goes on alone")
    model.load_state_dict(best)
    model.eval()
    known = spec.model_copy(update={"optimizer": spec.optimizer.model_copy(update={"lr": run.lr})})
    rows = run.at.step * train.batch_rows
    return Trained(
        run.at.history, run.at.best_epoch, run.at.step, run.at.seconds, rows / max(run.at.seconds, 1e-9),
        stopped_early, run.at.settings, known, tuple(run.at.skipped), (*run.at.notes, *told_of_end(run)), saver.stall_s,
    )  # fmt: skip


def told_of_end(run: Run) -> list[str]:
    """What the user should know of an end by the clock."""
    if not run.at.is_over or run.at.step >= run.total:
        return []
    return [
        f"training ended after {run.at.step:,} of {run.total:,} steps, when train.max_time ({run.spec.max_time:g} s) "
        f"was over; epoch {run.at.best_epoch:g} was the best"
    ]
