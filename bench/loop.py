"""Steps a second of Ceiba's training loop beside a loop written by hand, A B A B in one process, float32.

python -m bench.loop [mlp cnn lstm transformer] [--auto] [--plain] [--rounds 7] [--threads 1] [--cpu] [--quick]

A is `ceiba.train.fit` as a recipe runs it: mapped arrays, keyed order, seeds, schedule, clipping, fused AdamW, log.
Its time is that of an epoch's steps, from asking for the first batch to asking for one after the last.
B is what one writes by hand: the encoded rows are tensors in memory, shuffled by `randperm`, indexed a batch at a time;
`zero_grad`, forward, torch's own loss, `backward`, `clip_grad_norm_`, fused AdamW. No seeds, no schedule, no log.
Both train copies of one model. B uses Ceiba's Dropout too; with `--plain`, torch's. All texts are cut to one
length: what Ceiba gains by keeping texts of like length together is not counted here.
With `--auto` A computes in what `auto` chooses on this machine (number and memory format, threads), B as before.

`transformer` is a small GPT (dim 384, 6 layers, 6 heads, windows of 256 bytes; 11 M parameters) that predicts each byte
of Shakespeare from those before it.
"""

import argparse
import contextlib
import copy
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.work import DATA, ROOT, median, print_table
from ceiba.answers import Answer
from ceiba.batches import Batch, Batches
from ceiba.batches.batch import gather
from ceiba.fields import Ragged
from ceiba.layers import Dropout
from ceiba.model import Model, build_model
from ceiba.prepare import Arrays, load_splits, profile
from ceiba.recipe import answers_of, complete, model_spec, output_layouts, read_recipe
from ceiba.run import encode
from ceiba.train import TrainSpec, fit
from ceiba.train.auto import choose

OFF = ("train.ema=0", "train.augment={}", "train.precision=fp32", "train.channels_last=false", "train.epochs=1",
       "train.compile=false")  # fmt: skip
CONTEXT = 256
GPT: dict[str, Any] = {
    "outputs": {"text": {"type": "text", "tokenizer": "byte", "max_tokens": CONTEXT, "head": "next_token"}},
    "model": {"dim": 384, "trunk": {"type": "transformer", "layers": 6, "heads": 6}},
    "train": {"batch_rows": 8},
}
HELD_SHARE = 0.2
"""Of a text, at most: the last part, on which nothing is trained."""

THREADS = [1]
"""Of the loop written by hand."""
clock: Callable[[], float] = time.process_time if "--cpu" in sys.argv else time.perf_counter


@dataclass(frozen=True)
class Case:
    """What is trained, for how many steps a round, and what A must reach of B's speed."""

    recipe: str
    """Of the repository; or none, for the GPT."""
    overrides: tuple[str, ...]
    steps: int
    bar: float
    auto_bar: float
    """The same with `--auto`."""
    tokens: int | None = None
    """Length of every text."""


CASES = {
    "mlp": Case("adult", ("model.table={type: mlp}",), 127, 0.95, 1.0),
    "cnn": Case("fashion_cnn", (), 60, 0.97, 1.9),
    "lstm": Case("ag_news_lstm", (), 60, 0.97, 1.0, tokens=40),
    "transformer": Case("", (), 5, 0.97, 1.6),
}


class Timed(Batches):
    """Batches that keep the time from the first request to the last one's end."""

    seconds: ClassVar[list[float]] = []

    def epoch(self, *place: Any) -> Iterator[Batch]:
        """As Batches."""
        began = clock()
        try:
            yield from super().epoch(*place)
        finally:
            self.seconds.append(clock() - began)


@dataclass(frozen=True)
class Ready:
    """A case as `fit` takes it."""

    model: Model
    train: Batches
    valid: Batches
    answers: dict[str, Answer]
    spec: TrainSpec


def cut(arrays: Arrays, num_rows: int, tokens: int | None) -> Arrays:
    """The first rows; of texts those that are long enough, cut to one length."""
    chosen = np.arange(arrays.num_rows)
    for part in arrays.parts.values():
        if isinstance(part, Ragged) and tokens:
            chosen = chosen[part.lengths[chosen] >= tokens]
    chosen = chosen[:num_rows]
    parts: dict[str, Any] = {}
    for name, part in arrays.parts.items():
        if isinstance(part, Ragged):
            dense = part.take(chosen).pad(tokens)
            parts[name] = Ragged(dense.ravel(), np.arange(len(dense) + 1) * dense.shape[1])
        else:
            parts[name] = part if len(chosen) == len(part) else part[chosen]
    targets = {name: target[chosen] for name, target in arrays.targets.items()}
    return replace(arrays, num_rows=len(chosen), parts=parts, targets=targets, rows=arrays.rows[chosen])


def gpt(folder: Path, steps: int) -> dict[str, Any]:
    """The recipe of a GPT, with as much text as that many steps read."""
    batch_rows = GPT["train"]["batch_rows"]
    num_bytes = int((steps * batch_rows + 1) * CONTEXT / (1 - HELD_SHARE))
    text = (DATA / "tiny_shakespeare" / "input.txt").read_bytes()[:num_bytes]
    (folder / "text.txt").write_bytes(text)
    data = {"train": str(folder / "text.txt"), "split": {"by": "order", "valid": HELD_SHARE, "test": 0}}
    return {**GPT, "data": data}


def ready(case: Case, steps: int, threads: int, folder: Path) -> Ready:
    """A recipe's model and rows, the way `ceiba.run` builds them."""
    overrides = (f"data.root={DATA}", f"train.threads={threads}", *OFF, *case.overrides)
    source = ROOT / "recipes" / f"{case.recipe}.yaml" if case.recipe else gpt(folder, steps)
    recipe = read_recipe(source, overrides)
    splits = load_splits(recipe.data, recipe.targets)
    recipe = complete(recipe, splits.train, profile(splits.train, recipe.targets, {}).kinds)
    fields, found = encode(recipe, splits)
    answers = answers_of(recipe, fields)
    model = build_model(model_spec(recipe), fields.layouts(), output_layouts(answers, fields))
    rows, arrays = recipe.train.batch_rows, found["train"]
    if case.recipe:
        arrays = cut(arrays, steps * rows, case.tokens)
        few = cut(arrays, 1, case.tokens)
    else:
        few = found["valid"]
    return Ready(model, Timed(arrays, rows, 0), Batches(few, rows, 0), answers, recipe.train)


def ceiba_s(one: Ready, model: Model) -> float:
    """Seconds of an epoch's steps in `fit`."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        fit(model, one.train, one.valid, one.answers, one.spec, Path(folder), {})
    return Timed.seconds[-1]


def next_token(logits: Tensor, target: Tensor) -> Tensor:
    """The mean over all tokens; 0 is none."""
    return F.cross_entropy(logits.flatten(0, 1), target.flatten().long(), ignore_index=0)


LOSSES = {"classes": F.cross_entropy, "binary": F.binary_cross_entropy_with_logits, "text": next_token}


def by_hand_s(one: Ready, model: Model, inputs: dict[str, Tensor], target: Tensor) -> float:
    """Seconds of an epoch of the loop written by hand."""
    ((name, answer),) = one.answers.items()
    loss_of = LOSSES[answer.kind]
    model.train()
    torch.set_num_threads(THREADS[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    began = clock()
    for rows in torch.randperm(len(target)).split(one.train.batch_rows):
        optimizer.zero_grad()
        loss = loss_of(model({part: tensor[rows] for part, tensor in inputs.items()})[name], target[rows])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    loss.item()
    return clock() - began


def plain(model: nn.Module) -> None:
    """Put torch's own dropout in the place of Ceiba's."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, Dropout):
                setattr(module, name, nn.Dropout(child.share))


def with_auto(one: Ready, threads: int) -> Ready:
    """The same in the settings that `auto` chooses for a training of many epochs."""
    free = {"precision": "auto", "channels_last": "auto", "threads": None, "epochs": 10_000}
    chosen = choose(one.model, one.train, one.valid, one.answers, one.spec.model_copy(update=free)).settings
    torch.set_num_threads(threads)
    print(f"auto: {chosen}", file=sys.stderr)
    kept = {"precision": chosen.precision, "channels_last": chosen.channels_last, "threads": chosen.threads}
    return replace(one, spec=one.spec.model_copy(update=kept))


def measured(
    case: Case, rounds: int, steps: int, threads: int, is_plain: bool, is_auto: bool, folder: Path
) -> list[str]:
    """The cells of one case: steps a second of both, and the median of the ratios."""
    one = ready(case, steps, threads, folder)
    bar = case.auto_bar if is_auto else case.bar
    if is_auto:
        one = with_auto(one, threads)
    by_hand = copy.deepcopy(one.model)
    if is_plain:
        plain(by_hand)
    all_rows = gather(one.train.arrays, np.arange(one.train.arrays.num_rows))
    ((name, target),) = all_rows.targets.items()
    inputs, truth = all_rows.inputs, target.float() if one.answers[name].kind == "binary" else target
    found = [(ceiba_s(one, one.model), by_hand_s(one, by_hand, inputs, truth)) for _ in range(rounds + 1)]
    warm = found[1:]  # the first round is a warm-up
    per_round = one.train.per_epoch
    ratios = sorted(hand / ours for ours, hand in warm)
    ratio = median(ratios)
    ours, hand = (per_round / median([pair[side] for pair in warm]) for side in (0, 1))
    return [
        f"{one.model.num_parameters / 1e6:.2f}", f"{ours:.1f}", f"{hand:.1f}", f"{ratio:.3f}",
        f"{ratios[0]:.3f} to {ratios[-1]:.3f}", f"{bar}", "yes" if ratio >= bar else "NO",
    ]  # fmt: skip


def main() -> None:
    """Print a row a case."""
    parser = argparse.ArgumentParser(prog="bench.loop")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all when left out")
    parser.add_argument("--auto", action="store_true", help="Ceiba in the settings that auto chooses")
    parser.add_argument("--plain", action="store_true", help="torch's own dropout in the loop written by hand")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="seconds of the processor, for a machine that is not idle")
    parser.add_argument("--quick", action="store_true", help="two rounds of few steps: only to see that it runs")
    given = parser.parse_args()
    THREADS[0] = given.threads
    torch.set_num_threads(given.threads)
    rows = []
    for name in given.cases or CASES:
        steps = min(CASES[name].steps, 3) if given.quick else CASES[name].steps
        rounds = 2 if given.quick else given.rounds
        with tempfile.TemporaryDirectory() as folder:
            cells = measured(CASES[name], rounds, steps, given.threads, given.plain, given.auto, Path(folder))
        rows.append([name, *cells])
    head = ["model", "parameters, M", "Ceiba steps/s", "by hand steps/s", "ratio", "ratios", "bar", "reached"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
