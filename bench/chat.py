"""What chats and preferences teach a small model, on letters: which of three was said first.

A language model reads plain text; it is tuned to answer, and ends its answers one way or the other at random; then
it is taught by pairs of answers that who asks (?) is to be answered calmly (.), and who shouts (!) with a shout (!).
Measured are held-out prompts: the letter that it writes and whether it is in tone, in texts that are drawn, and by the
pairs. Beside it stand the same with the answers dealt out at random, and with the better answer chosen by a coin.

python -m bench.chat             all of it
python -m bench.chat --short     a few hundred rows, for a look
"""

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ceiba
from bench.work import print_table
from ceiba.bundle import Bundle
from ceiba.generate import GenerateOptions, open_generator
from ceiba.run import Run

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TONES = {"?": ".", "!": "!"}
"""How it is asked, and how to answer then."""
MOST_TOKENS = 16
BASE = {
    "outputs": {"text": {"type": "text", "tokenizer": "byte", "max_tokens": 64, "head": "next_token"}},
    "model": {"dim": 64, "trunk": {"type": "transformer", "layers": 2, "heads": 4}},
    "train": {"epochs": 4, "batch_rows": 16, "optimizer": {"lr": 0.003}},
}
CHATS = {
    "outputs": {"messages": {"type": "chat"}},
    "train": {"epochs": 12, "batch_rows": 8, "optimizer": {"lr": 0.003}},
}
PAIRS = {
    "outputs": {"pair": {"type": "chat", "head": {"type": "preference", "beta": 0.5, "likelihood": 0.5}}},
    "train": {"epochs": 6, "batch_rows": 16, "optimizer": {"lr": 0.001}},
}


@dataclass(frozen=True)
class Size:
    """How many rows there are of each kind."""

    texts: int = 4000
    chats: int = 4000
    pairs: int = 600
    asked: int = 200


SHORT = Size(texts=400, chats=400, pairs=120, asked=40)


def prompts(count: int, seed: int) -> list[tuple[str, str, str]]:
    """(prompt, the right letter, the ending in tone); none of seed 0, the held-out ones, is one of another seed."""
    draw, found = random.Random(f"{seed}"), []
    while len(found) < count:
        letters, tone = "".join(draw.sample(LETTERS, 3)), draw.choice(list(TONES))
        if (sum(map(ord, letters)) % 4 == 0) == (seed == 0):
            found.append((f"{letters}{tone}", letters[0], TONES[tone]))
    return found


def write(path: Path, rows: Sequence[Any]) -> str:
    """Rows as a file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def texts(path: Path, count: int) -> str:
    """Plain text: three letters, and the first of them again."""
    return write(path, [{"text": f"{prompt[:3]} {first}"} for prompt, first, _ in prompts(count, 1)])


def chats(path: Path, count: int, is_dealt: bool = False, seed: int = 2) -> str:
    """Three letters are asked, the first one answers; dealt out at random, each answers another prompt."""
    asked, draw = prompts(count, seed), random.Random(seed)
    answers = [letter + draw.choice(list(TONES.values())) for _, letter, _ in asked]
    if is_dealt:
        draw.shuffle(answers)
    return write(path, [{"messages": told(one[0], answer)} for one, answer in zip(asked, answers, strict=True)])


def told(asked: str, answer: str) -> list[dict[str, str]]:
    """A chat of one question."""
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def pairs(path: Path, count: int, is_coin: bool = False, seed: int = 3) -> str:
    """The answer in tone is the better one; or a coin says which."""
    rows, draw = [], random.Random(seed)
    for prompt, letter, ending in prompts(count, seed):
        better, worse = sorted((letter + one for one in TONES.values()), key=lambda one: not one.endswith(ending))
        if is_coin and draw.random() < 0.5:
            better, worse = worse, better
        rows.append({"prompt": prompt, "chosen": better, "rejected": worse})
    return write(path, rows)


def written(bundle: Bundle, count: int) -> dict[str, float]:
    """Of answers to held-out prompts, drawn as the model says: the share with the right letter, of those that are a
    letter with one of the two endings and ended by the model itself, and of those in tone."""
    generator, asked = open_generator(bundle, weights="plain"), prompts(count, 0)
    messages = [generator.chat([{"role": "user", "content": prompt}]) for prompt, _, _ in asked]
    options = [GenerateOptions(max_tokens=MOST_TOKENS, temperature=1.0, seed=place) for place in range(count)]
    found = generator.generate_each(messages, options)
    if (template := generator.voice(None).template) is not None:
        template.close()
    texts = [one.text.strip() for one in found]
    whole = [one.finish == "stop" and text[1:] in TONES.values() for one, text in zip(found, texts, strict=True)]
    return {
        "right letter": sum(text[:1] == one[1] for one, text in zip(asked, texts, strict=True)) / count,
        "well formed": sum(whole) / count,
        "in tone": sum(text[1:] == one[2] for one, text in zip(asked, texts, strict=True)) / count,
    }


def tuned(recipe: dict[str, Any], train: str, test: str, out: Path, **more: Any) -> Run:
    """One training; a part of the training rows is for validation."""
    data = {"train": train, "test": test, **more.pop("data", {})}
    run: Run = ceiba.train({**recipe, "data": data, **more}, out=out)
    return run


def preferred(run: Run) -> dict[str, dict[str, Any]]:
    """Accuracy and margin on the held-out pairs, of the model and of the one it began with."""
    report = run.report
    return {"tuned": report["metrics"]["test"]["pair"], "start": report["baselines"]["test"]["pair"]["constant"]}


def teach(folder: Path, size: Size) -> tuple[Run, dict[str, dict[str, Any]]]:
    """The model that is tuned to answer, and stage → what its model writes."""
    text, held = texts(folder / "texts.jsonl", size.texts), chats(folder / "asked.jsonl", size.asked, seed=0)
    base = tuned(BASE, text, text, folder / "base")
    run = tuned(CHATS, chats(folder / "chats.jsonl", size.chats), held, folder / "chats", **begun(base))
    return run, {"base": written(base.bundle, size.asked), "chats": written(run.bundle, size.asked)}


def deal_out(folder: Path, size: Size) -> dict[str, float]:
    """What is written where each answer in training is another prompt's."""
    rows, base = chats(folder / "dealt.jsonl", size.chats, is_dealt=True), folder / "base" / "bundle"
    run = tuned(CHATS, rows, str(folder / "asked.jsonl"), folder / "dealt", **{"from": str(base)})
    return written(run.bundle, size.asked)


def prefer(folder: Path, size: Size, start: Run) -> dict[str, dict[str, Any]]:
    """Stage → what its model writes and prefers, taught by what is in tone and by a coin."""
    found, held = {}, pairs(folder / "held.jsonl", size.asked, seed=0)
    for name, is_coin in (("preferences", False), ("preferences by a coin", True)):
        rows = pairs(folder / f"{name}.jsonl", size.pairs, is_coin)
        clean = {"clean": [{"chat": {"pair": ["prompt", "chosen", "rejected"]}}]}
        run = tuned(PAIRS, rows, held, folder / name, data=clean, **begun(start))
        found[name] = written(run.bundle, size.asked) | {"prefers": preferred(run)}
    return found


def begun(run: Run) -> dict[str, str]:
    """What a recipe begins with."""
    return {"from": str(run.bundle.folder)}


def main(arguments: list[str]) -> None:
    """Print a row a stage."""
    with tempfile.TemporaryDirectory() as folder:
        size = SHORT if "--short" in arguments else Size()
        start, found = teach(Path(folder), size)
        found["answers dealt out"] = deal_out(Path(folder), size)
        found |= prefer(Path(folder), size, start)
    rows = []
    for name, one in found.items():
        shown = [f"{one[key]:.2f}" for key in ("right letter", "well formed", "in tone")]
        for figure in ("accuracy", "margin"):
            both = [one["prefers"][model][figure] for model in ("start", "tuned")] if "prefers" in one else []
            shown.append(" → ".join(f"{each['value']:.2f} [{each['low']:.2f}, {each['high']:.2f}]" for each in both))
        rows.append([name, *shown])
    print_table(["model", "right letter", "well formed", "in tone", "prefers what is in tone", "margin (nats)"], rows)


if __name__ == "__main__":
    main(sys.argv[1:])
