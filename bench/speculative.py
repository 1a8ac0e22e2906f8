"""Greedy text with a draft model beside without, on a trained pair: the same text, and how much sooner.

python -m bench.speculative FOLDER [--rounds 5] [--steps 240] [--tokens 88]

Two networks learn the characters of Shakespeare: a target of 8 blocks of 384, and a draft of 1 block of 128, which
takes four times as many steps. The runs stay in FOLDER and are used again. Then both ways continue the same held-out
prompts in turn, A B A B; the gain is the median over rounds of A's seconds over B's. Weights are packed on both sides,
where that is the faster form. Beside it: the share of proposed tokens that held, tokens a round, and what one step of
each costs.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from bench.work import DATA
from ceiba import train
from ceiba.bundle import open_bundle
from ceiba.generate import Generator, open_generator
from ceiba.generate.decoder import open_decoder
from ceiba.generate.options import GenerateOptions
from ceiba.generate.speculate import Speculation

BAR = 1.3
BOOK = DATA / "tiny_shakespeare/input.txt"
CONTEXT, PROMPT, NUM_PROMPTS = 128, 40, 8
TARGET = {"dim": 384, "trunk": {"type": "transformer", "layers": 8, "heads": 6}}
DRAFT = {"dim": 128, "trunk": {"type": "transformer", "layers": 1, "heads": 4}}


def main() -> None:
    """Train what is not there, measure, print, and say whether the bar is met."""
    parser = argparse.ArgumentParser(prog="bench.speculative", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the two runs are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=240, help="that the target learns")
    parser.add_argument("--tokens", type=int, default=CONTEXT - PROMPT)
    given = parser.parse_args()
    learn(given.folder / "target", TARGET, given.steps)
    learn(given.folder / "draft", DRAFT, 4 * given.steps)
    figures = measure(given.folder, given.rounds, given.tokens)
    print(json.dumps(figures, indent=1))
    is_met = figures["same_text"] and figures["gain"] >= BAR
    told = "met" if is_met else "NOT met"
    print(f"{figures['gain']:.2f} times (bar {BAR}), the same text: {figures['same_text']}: {told}")


def learn(folder: Path, model: dict[str, Any], steps: int) -> None:
    """Train a network on Shakespeare's characters, unless it is there."""
    if (folder / "bundle").is_dir():
        return
    text = {"type": "text", "tokenizer": "character", "max_tokens": CONTEXT, "head": "next_token"}
    recipe = {
        "data": {"train": str(BOOK), "format": "txt", "split": {"train": 0.9, "valid": 0.1}},
        "outputs": {"text": text}, "model": model,
        "train": {
            "steps": steps, "batch_rows": 6, "precision": "fp32", "compile": False,
            "optimizer": {"type": "adamw", "lr": 0.002, "betas": [0.9, 0.99], "decay": 0.1},
            "schedule": {"type": "cosine", "warmup_steps": 40, "floor": 0.05},
        },
        "evaluate": {"baselines": False},
    }  # fmt: skip
    train(recipe, folder)


def measure(folder: Path, rounds: int, tokens: int) -> dict[str, Any]:
    """Seconds with and without a draft in turn, and whether the texts are equal."""
    alone = open_generator(open_bundle(folder / "target" / "bundle"), 1, "auto")
    small = open_generator(open_bundle(folder / "draft" / "bundle"), 1, "auto")
    helped = Generator(alone.model, alone.output, alone.field, 1, "plain", small)
    text = BOOK.read_text(encoding="utf-8")
    held = text[-len(text) // 10 :]
    gap = len(held) // NUM_PROMPTS
    prompts = [held[start : start + PROMPT] for start in range(0, gap * NUM_PROMPTS, gap)]
    gains, texts, speeds = [], {}, {"alone": [], "helped": []}  # type: ignore[var-annotated]
    for _ in range(rounds):
        seconds = {}
        for name, one in (("alone", alone), ("helped", helped)):
            began = time.perf_counter()
            texts[name] = [one.generate(prompt, max_tokens=tokens, ignore_end=True).ids for prompt in prompts]
            seconds[name] = time.perf_counter() - began
            speeds[name].append(tokens * len(prompts) / seconds[name])
        gains.append(seconds["alone"] / seconds["helped"])
    return {
        "gain": statistics.median(gains), "gains": gains, "same_text": texts["alone"] == texts["helped"],
        "tokens_per_second": {name: statistics.median(speed) for name, speed in speeds.items()},
        **accepted(helped, prompts, tokens), **costs(alone, small),
        "weights": {"target": alone.weights, "draft": small.weights},
    }  # fmt: skip


def accepted(helped: Generator, prompts: list[str], tokens: int) -> dict[str, float]:
    """The share of proposed tokens that held, and how many were proposed and written a round."""
    batch = helped.batch()
    assert isinstance(batch, Speculation)
    for prompt in prompts:
        batch.add(helped.prepare(prompt, GenerateOptions(max_tokens=tokens, ignore_end=True), lambda piece: None))
    rounds = 0
    while batch.step():
        rounds += 1
    return {
        "accepted": batch.num_accepted / batch.num_proposed, "proposed_a_round": batch.num_proposed / rounds,
        "written_a_round": tokens * len(prompts) / rounds,
    }  # fmt: skip


def costs(alone: Generator, small: Generator) -> dict[str, float]:
    """Milliseconds of a step of the target over one token and over several, and of one of the draft."""
    found = {}
    for name, one, width in (("target", alone, 1), ("target of 5", alone, 5), ("draft", small, 1)):
        decoder = open_decoder(one.model, one.output, CONTEXT, 1)
        decoder.admit([[1] * PROMPT])
        times = []
        for _ in range(20):
            began = time.perf_counter()
            decoder.step([[1] * width])
            times.append(time.perf_counter() - began)
        found[f"step_ms, {name}"] = 1000 * statistics.median(times)
    return found


if __name__ == "__main__":
    main()
