"""What a pre-trained encoder brings: a recipe begun with it, in several ways, beside the same network from chance.

python -m bench.transfer                        all of them
python -m bench.transfer ag_news_minilm lora    one recipe, one way; a word with = is set for all
"""

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench.work import ROOT, minilm, print_table, train
from ceiba.base.yaml import read_yaml, write_yaml

NETWORK = {"dim": 384, "text": {"type": "transformer", "layers": 6, "heads": 12, "norm_first": False, "segments": 2}}
"""The shape of the pre-trained encoder."""
FROM_CHANCE = ("train.optimizer.lr=0.0003", "train.ema=0.98")
ALWAYS = "outputs.answer={type: span, threshold: -100}"
"""Set for questions: a span is answered whatever its score."""


@dataclass(frozen=True)
class Study:
    """One recipe, and how it is trained."""

    output: str
    metric: str
    ways: dict[str, tuple[str, ...]]
    """Name → what is set for it."""
    from_chance: tuple[str, ...] = field(default=FROM_CHANCE)


STUDIES = {
    "ag_news_minilm": Study(
        "label", "accuracy",
        {
            "full": (),
            "lora": (
                "adapt=lora", "adapt.own_dropout=false", "adapt.targets=[query, key, value, out]", "train.epochs=3",
            ),
            "frozen": ("adapt=frozen", "train.epochs=3", "train.optimizer.lr=0.01"),
        },
        (*FROM_CHANCE, "train.epochs=4"),
    ),
    "mrpc_minilm": Study("Quality", "accuracy", {"full": ()}, (*FROM_CHANCE, "train.epochs=5")),
    # Always answered: whether there is an answer at all is told by hardly more than chance after so few questions.
    "squad_minilm": Study(
        "answer", "has_answer_f1", {"full": (ALWAYS,)}, (*FROM_CHANCE, ALWAYS)
    ),
    "sst2_minilm": Study("label", "accuracy", {"full": ()}),
}  # fmt: skip


def from_chance(recipe: str, folder: Path) -> Path:
    """The recipe without what it begins with: a network of the same shape, the tokenizer of the same folder."""
    value = read_yaml((ROOT / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8"), recipe)[0]
    tokenizer = {"type": "folder", "folder": str(minilm())}
    inputs = {
        name: {"tokenizer": tokenizer, **(one if isinstance(one, dict) else {"type": one})}
        for name, one in value["inputs"].items()
    }
    kept = {name: one for name, one in value.items() if name not in ("from", "adapt")}
    path = folder / f"{recipe}.yaml"
    path.write_text(write_yaml({**kept, "inputs": inputs, "model": NETWORK}), encoding="utf-8")
    return path


def main(words: list[str]) -> None:
    """Train each recipe in every way and print a table."""
    sets, chosen = [word for word in words if "=" in word], [word for word in words if "=" not in word]
    recipes = [name for name in STUDIES if name in chosen] or list(STUDIES)
    wanted = [word for word in chosen if word not in STUDIES]
    rows = []
    for recipe in recipes:
        study = STUDIES[recipe]
        with tempfile.TemporaryDirectory() as folder:
            ways: dict[str, tuple[str | Path, tuple[str, ...]]]
            ways = {name: (recipe, (f"from={minilm()}", *more)) for name, more in study.ways.items()}
            ways["chance"] = from_chance(recipe, Path(folder)), study.from_chance
            for name, (source, more) in ways.items():
                if wanted and name not in wanted:
                    continue
                run = train(source, *more, *sets)
                one, cost = run["metrics"]["test"][study.output][study.metric], run["cost"]
                rows.append(
                    [recipe, name, study.metric, f"{one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]",
                     f"{cost['trained_parameters']:,}", f"{cost['trained_parameters'] / cost['parameters']:.2%}",
                     f"{run['wall_seconds']:.0f}"]
                )  # fmt: skip
                print(rows[-1], file=sys.stderr, flush=True)
    head = ["recipe", "begun", "figure", "test [95 %]", "parameters trained", "of all", "wall s"]
    print_table(head, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
