"""The catalog of metrics: what each is called, which way is better, and where it can lie."""

from dataclasses import dataclass
from math import inf
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """What a reader needs to know about one metric."""

    title: str
    """How it is written in a report."""
    better: Literal["higher", "lower"]
    """The direction in which a model improves."""
    meaning: str
    """One sentence for a person who meets it for the first time."""
    low: float = 0.0
    """The least value it can take."""
    high: float = 1.0
    """The greatest value it can take."""
    unit: Literal["share", "none", "target", "target_squared"] = "share"
    """What it is measured in: a share of one, nothing, or the unit of the target."""


METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", "higher", "Share of rows answered right."),
    "accuracy_by_bytes": Metric(
        "Accuracy by bytes", "higher", "Share of rows answered right, each choice weighed by its length."
    ),
    "balanced_accuracy": Metric("Balanced accuracy", "higher", "Mean over the classes of the share of each found."),
    "roc_auc": Metric("ROC AUC", "higher", "Chance that a positive row is scored above a negative one."),
    "average_precision": Metric("Average precision", "higher", "Mean precision over the recalls reached."),
    "f1": Metric(
        "F1", "higher", "Harmonic mean of precision and recall; of several classes, the mean over the true ones."
    ),
    "f1_micro": Metric("F1, micro", "higher", "Harmonic mean of precision and recall over all labels of all rows."),
    "f1_macro": Metric("F1, macro", "higher", "Mean over the labels of the harmonic mean of precision and recall."),
    "exact_match": Metric(
        "Exact match", "higher", "Share of rows answered as one of the truths, articles and punctuation aside."
    ),
    "token_f1": Metric(
        "F1 of words",
        "higher",
        "Mean harmonic mean of precision and recall of the answer's words; rightly none is 1.",
    ),
    "has_answer_f1": Metric("F1 where an answer is", "higher", "The same over the rows whose text holds an answer."),
    "no_answer_accuracy": Metric("No answer known", "higher", "Share of the rows without an answer left unanswered."),
    "bleu": Metric(
        "BLEU",
        "higher",
        "Agreement with the true text in runs of one to four words, as sacrebleu counts it.",
        high=100.0,
        unit="none",
    ),
    "chrf": Metric(
        "chrF", "higher", "Agreement with the true text in runs of one to six characters.", high=100.0, unit="none"
    ),
    "rouge_l": Metric(
        "ROUGE-L", "higher", "F1 of the longest run of words, with gaps, that both texts have in common."
    ),
    "precision": Metric("Precision", "higher", "Share of the rows called positive that are."),
    "recall": Metric("Recall", "higher", "Share of the positive rows that are found."),
    "subset_accuracy": Metric("Subset accuracy", "higher", "Share of rows whose labels are all right."),
    "top_5_accuracy": Metric("Top-5 accuracy", "higher", "Share of rows whose class is among the five most likely."),
    "kappa": Metric("Quadratic kappa", "higher", "Agreement beyond chance; far misses weigh more.", low=-1.0),
    "log_loss": Metric("Log loss", "lower", "Mean surprise at the truth, in nats.", high=inf, unit="none"),
    "brier": Metric("Brier score", "lower", "Mean squared distance of probability and truth.", unit="none"),
    "ece": Metric("Calibration error", "lower", "Mean gap between stated probability and observed share."),
    "rmse": Metric(
        "RMSE", "lower", "Root of the mean squared error, in the unit of the target.", high=inf, unit="target"
    ),
    "mae": Metric("MAE", "lower", "Mean absolute error, in the unit of the target.", high=inf, unit="target"),
    "median_absolute_error": Metric(
        "Median error",
        "lower",
        "Half of the rows are missed by less, in the unit of the target.",
        high=inf,
        unit="target",
    ),
    "mape": Metric("MAPE", "lower", "Mean absolute error as a share of the truth.", high=inf),
    "difference": Metric(
        "Difference", "higher", "Mean difference over the same rows.", low=-inf, high=inf, unit="none"
    ),
    "margin": Metric(
        "Margin",
        "higher",
        "Mean of log p of the better answer less that of the worse one, in nats.",
        low=-inf,
        high=inf,
        unit="none",
    ),
    "perplexity": Metric(
        "Perplexity",
        "lower",
        "e to the mean surprise: among how many tokens it hesitates.",
        low=1.0,
        high=inf,
        unit="none",
    ),
    "loss": Metric("Loss", "lower", "Mean surprise at each token, in nats.", high=inf, unit="none"),
    "bits_per_byte": Metric("Bits a byte", "lower", "Mean surprise at each byte of the text.", high=inf, unit="none"),
    "r2": Metric("R²", "higher", "Share of the variance explained; zero for the mean.", low=-inf, unit="none"),
}
"""Metric name → what it is, in the order in which a table shows them."""

MAIN: dict[str, str] = {
    "binary": "accuracy",
    "classes": "accuracy",
    "labels": "f1_micro",
    "number": "rmse",
    "tags": "f1",
    "span": "token_f1",
    "sequence": "bleu",
    "preference": "accuracy",
    "text": "perplexity",
}
"""Answer kind → the metric named first."""
