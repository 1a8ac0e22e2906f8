"""Quality of the recipes on their test rows, against what they must reach.

python -m bench.recipes            all of them
python -m bench.recipes adult sst2 some of them
"""

import statistics
import sys
from dataclasses import dataclass

from bench.work import minilm, print_table, train


@dataclass(frozen=True)
class Bar:
    """What a recipe must reach: the mean of a figure over some seeds."""

    recipe: str
    output: str
    metric: str
    least: float
    seeds: int = 1
    is_adapted: bool = False
    """Whether it begins with the encoder of `bench.work.minilm`."""

    def holds(self, value: float) -> bool:
        """Whether the figure is good enough; an error must not exceed its bar."""
        return value <= self.least if self.metric == "rmse" else value >= self.least


BARS = [
    Bar("adult", "income", "accuracy", 0.858),
    Bar("adult", "income", "roc_auc", 0.912),
    Bar("adult_tabm", "income", "accuracy", 0.866, seeds=3),
    Bar("adult_tabm", "income", "roc_auc", 0.920, seeds=3),
    Bar("ames_tabm", "SalePrice", "r2", 0.910, seeds=3),
    Bar("california_tabm", "median_house_value", "rmse", 47_500, seeds=3),
    Bar("fashion_cnn", "label", "accuracy", 0.915),
    Bar("fashion_resnet", "label", "accuracy", 0.935),
    Bar("ag_news_bag", "label", "accuracy", 0.88),
    Bar("ag_news_lstm", "label", "accuracy", 0.85),
    Bar("ag_news_cnn", "label", "accuracy", 0.84),
    Bar("ag_news_transformer", "label", "accuracy", 0.84),
    Bar("sst2", "label", "accuracy", 0.83),
    Bar("sst2_minilm", "label", "accuracy", 0.83, is_adapted=True),
    Bar("conll2003_lstm_crf", "tag", "f1", 0.78),
    Bar("multi30k", "de", "bleu", 33),
    Bar("thucnews", "kind", "accuracy", 0.865),
]


def main(chosen: list[str]) -> None:
    """Train each recipe once a seed and print a table."""
    rows = []
    for recipe in dict.fromkeys(bar.recipe for bar in BARS):
        if chosen and recipe not in chosen:
            continue
        bars = [bar for bar in BARS if bar.recipe == recipe]
        begun = [f"from={minilm()}"] if bars[0].is_adapted else []
        runs = [train(recipe, f"train.seed={seed}", *begun) for seed in range(bars[0].seeds)]
        for bar in bars:
            values = [run["metrics"]["test"][bar.output][bar.metric]["value"] for run in runs]
            quick = runs[0]["baselines"]["test"][bar.output].get("quick", {}).get(bar.metric, {}).get("value")
            mean = statistics.fmean(values)
            seconds = statistics.fmean(run["wall_seconds"] for run in runs)
            peak = max(run["peak_memory_bytes"] for run in runs)
            rows.append(
                [recipe, f"{bar.output} {bar.metric}", bar.least, f"{mean:.4f}",
                 " ".join(f"{one:.4f}" for one in values),
                 "-" if quick is None else f"{quick:.4f}", f"{seconds:.0f}", f"{peak / 1e6:.0f}",
                 "yes" if bar.holds(mean) else "NO"]
            )  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    head = ["recipe", "figure", "bar", "mean", "each seed", "quick baseline", "wall s", "peak MB", "reached"]
    print_table(head, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
