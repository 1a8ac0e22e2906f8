"""A small language model of Shakespeare's characters beside the loop that one writes by hand, in turn.

python -m bench.nanogpt [--rounds 1] [--lstm]

A is `ceiba train recipes/shakespeare.yaml`; its time is that of the whole phase "train": what `auto` measures, all
steps, validation, checkpoints and logs. B is the network, the optimizer and the loop of nanoGPT in the setting that its
README gives for a processor (4 layers, 4 heads, 128 dim, context 64, 12 rows a step, 2,000 steps, no dropout), written
out here; its time is that of its steps and of one validation. Both learn from the same characters and are measured on
all windows of the same held-out part. With --lstm, A is also `recipes/shakespeare_lstm.yaml`, of as many parameters.
"""

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.work import DATA, print_table, train
from ceiba.prepare import load_splits
from ceiba.read import Frame
from ceiba.recipe import read_recipe

LAYERS, HEADS, DIM, CONTEXT, ROWS, STEPS = 4, 4, 128, 64, 12, 2000
RATE, LEAST_RATE, WARMUP, DECAY, BETAS, CLIP = 1e-3, 1e-4, 100, 0.1, (0.9, 0.99), 1.0
BAR = 1.85


class Block(nn.Module):
    """Causal attention and a perceptron, norm first."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(DIM, bias=False), nn.LayerNorm(DIM, bias=False)
        self.attention, self.out = nn.Linear(DIM, 3 * DIM, bias=False), nn.Linear(DIM, DIM, bias=False)
        self.first, self.second = nn.Linear(DIM, 4 * DIM, bias=False), nn.Linear(4 * DIM, DIM, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        rows, tokens, _ = values.shape
        query, key, value = self.attention(self.norm_1(values)).split(DIM, dim=2)
        query, key, value = (one.view(rows, tokens, HEADS, -1).transpose(1, 2) for one in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        values = values + self.out(mixed.transpose(1, 2).reshape(rows, tokens, DIM))
        return values + self.second(F.gelu(self.first(self.norm_2(values))))  # type: ignore[no-any-return]


class Gpt(nn.Module):
    """The network of nanoGPT."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab, DIM), nn.Embedding(CONTEXT, DIM)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(DIM, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                is_last = name.endswith(("out.weight", "second.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if is_last else 0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        values = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        logits = F.linear(self.norm(self.blocks(values)), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def rate(step: int) -> float:
    """Warmup, then half a cosine wave."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    wave = 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))
    return LEAST_RATE + wave * (RATE - LEAST_RATE)


@dataclass(frozen=True)
class Result:
    """What one run reached."""

    loss: float
    seconds: float
    parameters: int
    precision: str = "fp32"


def by_hand(train_ids: Tensor, valid_ids: Tensor, vocab: int) -> Result:
    """Train and measure."""
    torch.manual_seed(1337)
    model = Gpt(vocab)
    began = time.perf_counter()
    matrices = [one for one in model.parameters() if one.ndim >= 2]
    others = [one for one in model.parameters() if one.ndim < 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        starts = torch.randint(len(train_ids) - CONTEXT, (ROWS,))
        ids = torch.stack([train_ids[start : start + CONTEXT] for start in starts])
        targets = torch.stack([train_ids[start + 1 : start + 1 + CONTEXT] for start in starts])
        loss = model(ids, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    model.eval()
    with torch.no_grad():
        count = (len(valid_ids) - 1) // CONTEXT
        rows = valid_ids[: count * CONTEXT].view(count, CONTEXT)
        targets = valid_ids[1 : count * CONTEXT + 1].view(count, CONTEXT)
        losses = [model(*part) * len(part[0]) for part in zip(rows.split(256), targets.split(256), strict=True)]
    seconds = time.perf_counter() - began
    return Result(float(sum(losses)) / count, seconds, sum(one.numel() for one in model.parameters()))


def text_of(frame: Frame) -> str:
    """The lines of a part as one text."""
    return "".join(f"{line.as_py()}\n" for line in frame.column("text").frame.to_table()["text"])


def ceiba(recipe: str) -> Result:
    """The same by a recipe."""
    found = train(recipe)
    loss = found["metrics"]["valid"]["text"]["loss"]["value"]
    cost = found["cost"]
    print([(one["precision"], one["threads"], one["step_seconds"]) for one in cost["settings"]["measured"]], flush=True)
    return Result(loss, cost["phases"]["train"], cost["parameters"], cost["settings"]["precision"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--lstm", action="store_true")
    asked = parser.parse_args()
    recipe = read_recipe("recipes/shakespeare.yaml", [f"data.root={DATA}"])
    splits = load_splits(recipe.data)
    texts = text_of(splits.train), text_of(splits.valid)
    letters = {letter: place for place, letter in enumerate(sorted(set("".join(texts))))}
    own, held = (torch.from_numpy(np.array([letters[letter] for letter in text])) for text in texts)
    runs = {"by hand": lambda: by_hand(own, held, len(letters)), "ceiba": lambda: ceiba("shakespeare")}
    if asked.lstm:
        runs["ceiba, LSTM"] = lambda: ceiba("shakespeare_lstm")
    found = {name: [] for name in runs}
    for _ in range(asked.rounds):
        for name, run in runs.items():
            found[name].append(run())
            print(name, found[name][-1], flush=True)
    table = [
        [name, f"{one.parameters:,}", one.precision, f"{one.loss:.4f}", f"{min(run.seconds for run in results):.1f}"]
        for name, results in found.items()
        for one in results[-1:]
    ]
    print_table(["run", "parameters", "computed in", f"validation loss (bar {BAR})", "seconds, best of rounds"], table)


if __name__ == "__main__":
    main()
