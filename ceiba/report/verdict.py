"""The verdict: one sentence a person can repeat, on the rows that were measured last."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ceiba.metrics import METRICS
from ceiba.report.wording import count_text, digits_of, fixed, interval_text, value_text

LAST = ("test", "valid", "train")
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What is said of one output."""

    output: str
    claim: str
    """`The model answers income with accuracy 0.861 [0.856, 0.866] on 16,281 test rows`"""
    comparison: str
    """`the quick baseline (gradient boosting) reaches 0.871 and is better`; may be empty."""
    standing: str
    """`better`, `even`, `worse` or `useless` beside the baselines; `alone` without them."""

    @property
    def sentence(self) -> str:
        """Both halves together."""
        return f"{self.claim}; {self.comparison}." if self.comparison else f"{self.claim}."


def main_split(report: Report) -> str | None:
    """The split a verdict is about: the test rows where there are some."""
    metrics = report.get("metrics", {})
    return next((split for split in (*LAST, *metrics) if metrics.get(split)), None)


def main_metric(report: Report, output: str, metrics: Mapping[str, Any]) -> str | None:
    """The metric named first for an output."""
    named = report.get("outputs", {}).get(output, {}).get("main")
    return named if named in metrics else next(iter(metrics), None)


def verdicts(report: Report) -> list[Verdict]:
    """One verdict an output."""
    split = main_split(report)
    if split is None:
        return []
    return [verdict(report, split, output) for output in report["metrics"][split]]


def verdict(report: Report, split: str, output: str) -> Verdict:
    """What the figures of one output say, the quick baseline beside them."""
    metrics = report["metrics"][split][output]
    name = main_metric(report, output, metrics)
    if name is None:
        return Verdict(output, f"No row of {split} has a truth for {output}", "", "alone")
    figure, metric = metrics[name], METRICS[name]
    counts = report.get("rows", {}).get(split, {})
    rows = counts.get("rows", 0) - counts.get("without_truth", {}).get(output, 0)
    title = metric.title[0].lower() + metric.title[1:] if metric.title[1:2].islower() else metric.title
    claim = f"The model answers {output} with {title} {value_text(figure)} {interval_text(figure)}"
    claim += f" on {count_text(rows)} {rows_text(split)}" if rows else f" on the {rows_text(split)}"
    baselines = report.get("baselines", {}).get(split, {}).get(output, {})
    constant, quick = (baselines.get(kind, {}).get(name) for kind in ("constant", "quick"))
    compared = report.get("compared", {}).get(split, {}).get(output, {})
    if constant is not None and standing_of(figure, constant, compared.get("constant"), name) != "better":
        is_ahead = is_better(figure["value"], constant["value"], name)
        said = "no clear difference" if is_ahead else "nothing has been learnt"
        text = f"an answer that never looks reaches {value_text(constant)}: {said}"
        return Verdict(output, claim, text, "useless")
    if quick is None:
        text = f"an answer that never looks reaches {value_text(constant)}" if constant else ""
        return Verdict(output, claim, text, "alone")
    standing = standing_of(figure, quick, compared.get("quick"), name)
    model = short_model(report.get("baseline_models", {}).get(output, {}).get("quick", {}).get("model", ""))
    shown = fixed(quick["value"], digits_of(figure))
    return Verdict(output, claim, f"the quick baseline{model} reaches {shown}: {SAID[standing]}", standing)


SAID = {"better": "the model wins", "even": "no clear difference", "worse": "the baseline wins here"}


def rows_text(split: str) -> str:
    """`test rows`; of folds, in which every row is held out once, `held-out rows`."""
    return "held-out rows" if split == "folds" else f"{split} rows"


def is_better(value: float, other: float, name: str) -> bool:
    """Whether a figure is on the better side of another."""
    return value > other if METRICS[name].better == "higher" else value < other


def short_model(text: str) -> str:
    """` (gradient boosting)` of a longer description."""
    name = text.split(" on ")[0].split(" (")[0]
    return f" ({name})" if name else ""


def standing_of(
    figure: Mapping[str, float], other: Mapping[str, float], paired: Mapping[str, Any] | None, name: str
) -> str:
    """Whether the model is better, worse or neither: by the paired difference, else by intervals that part."""
    higher = METRICS[name].better == "higher"
    if paired is not None:
        higher = paired["metric"] not in ("squared_error", "loss")
        low, high = (paired["low"], paired["high"]) if higher else (-paired["high"], -paired["low"])
    else:
        low, high = figure["low"] - other["value"], figure["high"] - other["value"]
        low, high = (low, high) if higher else (-high, -low)
    return "better" if low > 0 else "worse" if high < 0 else "even"
