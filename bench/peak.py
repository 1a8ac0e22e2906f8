"""Peak memory of a training step by what saves it: the tensors that live at once, and weights and optimizer states.

python -m bench.peak

A Transformer encoder of 11 M parameters on 4 texts of 256 bytes, then a language model of 2 blocks over 16,384 words
on as many tokens. What is counted are the tensors themselves, not what an allocator keeps.
"""

from pathlib import Path

import numpy as np
from torch import Tensor

from bench.work import print_table
from ceiba.answers import ClassesAnswer, TextAnswer
from ceiba.batches import Batches
from ceiba.encoders import TEXT_ENCODERS
from ceiba.fields import TextLayout
from ceiba.heads import HEADS, NextToken, OutputLayout
from ceiba.model import ModelSpec, build_model
from ceiba.prepare import Arrays
from ceiba.train import TrainSpec
from ceiba.train.fitting import step_bytes
from ceiba.train.step import Run, Settings, keep_blocks

ROWS, TOKENS, VOCAB, DIM, LAYERS, HEADS_A_LAYER = 4, 256, 257, 384, 6, 6
WORDS = 16_384
WAYS: dict[str, tuple[dict[str, object], Settings]] = {
    "as it is": ({}, Settings()),
    "bf16 autocast": ({}, Settings("bf16")),
    "accumulate: 4": ({}, Settings(accumulate=4)),
    "recompute": ({"recompute": True}, Settings()),
    "recompute, accumulate: 4": ({"recompute": True}, Settings(accumulate=4)),
    "pure_bf16": ({}, Settings("pure_bf16")),
    "all of them": ({"recompute": True}, Settings("pure_bf16", accumulate=4)),
}


def batches() -> Batches:
    """Random texts, all of one length."""
    ids = np.random.default_rng(0).integers(1, VOCAB, (ROWS, TOKENS)).astype(np.int32)
    arrays = Arrays(Path(), ROWS, {"text.ids": ids}, {"y": np.zeros(ROWS, np.int64)}, None, np.arange(ROWS))
    return Batches(arrays, ROWS, 0)


def run_of(options: dict[str, object], settings: Settings) -> Run:
    """A training of the Transformer."""
    encoder = TEXT_ENCODERS["transformer"].model_validate({"layers": LAYERS, "heads": HEADS_A_LAYER})
    spec = ModelSpec(dim=DIM, encoders={"text": encoder}, heads={"y": HEADS["classes"]()})
    layouts = {"text": TextLayout(vocab=VOCAB, max_tokens=TOKENS, weighted=False)}
    model = build_model(spec, layouts, {"y": OutputLayout("classes", 2, (1, 1))})
    told = TrainSpec.model_validate({"batch_rows": ROWS, **options})
    return Run(model, batches(), batches(), {"y": ClassesAnswer(("a", "b"))}, told, settings)


def held_bytes(run: Run) -> int:
    """Weights and optimizer states."""
    states = [value for one in run.optimizer.state.values() for value in one.values() if isinstance(value, Tensor)]
    return sum(value.nbytes for value in (*run.parameters, *states))


def language_bytes(most_logits: int | None) -> int:
    """Peak of a language model's step that makes so many logits at once."""
    ids = np.random.default_rng(0).integers(1, WORDS, (ROWS, TOKENS + 1)).astype(np.int32)
    arrays = Arrays(
        Path(), ROWS, {"text.ids": ids[:, :-1]}, {"text": ids[:, 1:]}, None, np.arange(ROWS)
    )  # fmt: skip
    trunk = {"type": "transformer", "causal": True, "layers": 2, "heads": HEADS_A_LAYER, "positions": "rotary"}
    encoder = TEXT_ENCODERS["transformer"].model_validate({"layers": 0, "positions": "none"})
    spec = ModelSpec(dim=DIM, encoders={"text": encoder}, trunk=trunk, heads={"text": HEADS["next_token"]()})
    model = build_model(spec, {"text": TextLayout(WORDS, TOKENS, False)}, {"text": OutputLayout("text", WORDS)})
    told = TrainSpec.model_validate({"batch_rows": ROWS})
    some = Batches(arrays, ROWS, 0)
    run = Run(model, some, some, {"text": TextAnswer()}, told, Settings())
    head = model.head("text")
    assert isinstance(head, NextToken)
    head.most_logits = most_logits
    return step_bytes(run, next(some.epoch(0)))


def main() -> None:
    """Print both tables."""
    rows, first = [], 0
    for name, (options, settings) in WAYS.items():
        run = run_of(options, settings)
        batch = next(run.train.epoch(0))
        peak = step_bytes(run, batch)
        first = first or peak
        run.step(batch)
        rows.append([name, f"{peak / 1e6:.0f}", f"{peak / first:.2f}", f"{held_bytes(run) / 1e6:.0f}"])
        keep_blocks(run.model)
    columns = ["Transformer, 4 texts of 256", "peak MB of a step", "against the first", "weights and states MB"]
    print_table(columns, rows)
    rows, first = [], 0
    for name, most in (("all at once", None), ("4 million", 1 << 22), ("1 million", 1 << 20)):
        peak = language_bytes(most)
        first = first or peak
        rows.append([name, f"{peak / 1e6:.0f}", f"{peak / first:.2f}"])
    print()
    print_table(
        [f"logits of {ROWS * TOKENS:,} tokens over {WORDS:,} words", "peak MB of a step", "against the first"], rows
    )


if __name__ == "__main__":
    main()
