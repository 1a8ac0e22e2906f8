"""Adapters beside one model: what a batch that is written by them costs beside one that is not.

python -m bench.adapters [--rounds 5] [--tokens 64] [--rows 8] [--dim 512] [--layers 8] [--rank 8] [--weights packed]

A GPT-2-like model with random weights, float32, CPU, greedy; prompts of 32 random tokens. A batch is written by the
model alone, as it was before there were adapters ("none"); by a model that has as many adapters as rows, of which none
is asked for ("idle"), or one row asks for one ("one row"), all for the same ("one"), each for its own ("each its
own"), or by as many merged models one after another, a row each ("merged"). The runs of a round follow each other;
each figure is the median over rounds, beside it that of its seconds over "none"'s of the same round.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from ceiba.cli.words import table
from ceiba.fields import TextLayout
from ceiba.generate.batch import Batch
from ceiba.generate.decoder import open_decoder
from ceiba.generate.options import GenerateOptions
from ceiba.generate.request import Request
from ceiba.generate.weights import untied
from ceiba.heads import OutputLayout
from ceiba.model import Model, ModelSpec, build_model
from ceiba.surgery.adapters import Pairs
from ceiba.surgery.lora import block_layers, size
from ceiba.surgery.packed import pack

VOCAB, PLACES, PROMPT_TOKENS, HEAD_DIM = 8192, 256, 32, 64
TARGETS = ("query_key_value", "out", "up", "down")
"""All of a block's layers: the dearest adapters there are."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.adapters", description=__doc__)
    for name, usual in (("rounds", 5), ("tokens", 64), ("rows", 8), ("dim", 512), ("layers", 8), ("rank", 8)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--weights", choices=("plain", "packed", "int8", "int4"), default="packed")
    given = parser.parse_args()
    model = made(given.dim, given.layers)
    base = model if given.weights == "plain" else pack(untied(model, "text"), given.weights)
    assert isinstance(base, Model)
    figures = measure(base, {str(row): random_pairs(model, given.rank, row) for row in range(given.rows)}, given)
    rows = [[name, f"{one['tokens_per_second']:.1f}", f"{one['of_none']:.2f}"] for name, one in figures.items()]
    print(f"{given.rows} rows, {given.weights} weights, dim {given.dim}, {given.layers} blocks, rank {given.rank}:")
    print(table(["adapters", "tokens/s", "seconds of none's"], rows))
    print(json.dumps(figures))


def made(dim: int, layers: int) -> Model:
    """The model."""
    encoder = {"kind": "text", "type": "transformer", "layers": 0, "positions": {"type": "learned", "places": PLACES}}
    trunk = {"type": "transformer", "layers": layers, "heads": max(dim // HEAD_DIM, 1), "causal": True}
    spec = {"dim": dim, "encoders": {"text": encoder}, "trunk": trunk, "heads": {"text": {"type": "next_token"}}}
    layouts, outputs = {"text": TextLayout(VOCAB, PLACES, False)}, {"text": OutputLayout("text", VOCAB)}
    return build_model(ModelSpec.model_validate(spec), layouts, outputs).eval()


def random_pairs(model: Model, rank: int, seed: int) -> Pairs:
    """An adapter of every layer."""
    draw, found = torch.Generator().manual_seed(seed), {}
    for path, layer, _ in block_layers(model):
        inputs, outputs = size(layer, "in_features"), size(layer, "out_features")
        down = torch.randn(rank, inputs, generator=draw) * inputs**-0.5
        found[path] = (down, 0.1 * torch.randn(outputs, rank, generator=draw))
    return found


def measure(base: Model, adapters: dict[str, Pairs], given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Figures of each way, in turn."""
    names = list(adapters)
    torch.manual_seed(1)
    prompts = torch.randint(1, VOCAB, (given.rows, PROMPT_TOKENS)).tolist()

    def run(beside: dict[str, Pairs], asked: list[str | None]) -> Callable[[], None]:
        return lambda: write(base, beside, prompts, asked, given.tokens)

    def one_by_one() -> None:
        for prompt in prompts:
            write(base, {}, [prompt], [None], given.tokens)

    nobody: list[str | None] = [None] * given.rows
    runs: dict[str, Callable[[], None]] = {
        "none": run({}, nobody), "idle": run(adapters, nobody), "one row": run(adapters, [names[0], *nobody[1:]]),
        "one": run(adapters, [names[0]] * given.rows), "each its own": run(adapters, list(names)),
        "merged": one_by_one,
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for place in range(given.rounds + 1):
        for name, each in runs.items():
            began = time.perf_counter()
            each()
            if place:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    return {
        name: {
            "tokens_per_second": given.rows * given.tokens / statistics.median(own),
            "of_none": statistics.median(one / none for one, none in zip(own, seconds["none"], strict=True)),
        }
        for name, own in seconds.items()
    }


def write(
    base: Model, adapters: dict[str, Pairs], prompts: list[list[int]], asked: list[str | None], tokens: int
) -> None:
    """A batch from its prompts to its last token."""
    batch = Batch(open_decoder(base, "text", PLACES, len(prompts), adapters))
    for prompt, adapter in zip(prompts, asked, strict=True):
        options = GenerateOptions(max_tokens=tokens, adapter=adapter)
        batch.add(Request(prompt, options, lambda ids: "", None, lambda piece: None))
    while batch.step():
        pass


if __name__ == "__main__":
    main()
