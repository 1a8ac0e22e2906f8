"""Metrics: truth and scores → figures with intervals.
Takes       numpy arrays.            Gives   figures {"value", "low", "high"}, tables and curve points, ready for JSON.
May touch   base, numpy.             Never   files, models, columns, torch, scikit-learn (the tests' reference).
To add one  compute it in the Measure of its answer kind, add one line to METRICS."""

from ceiba.metrics.calibration import calibration
from ceiba.metrics.catalog import MAIN, METRICS, Metric
from ceiba.metrics.confusion import ClassFigures, confusion, per_class
from ceiba.metrics.curves import Curve, pr_curve, roc_curve
from ceiba.metrics.entities import tag_counts
from ceiba.metrics.figures import KINDS, figures, known_rows, paired_difference, paired_f1, per_row, predicted
from ceiba.metrics.resample import Figure
from ceiba.metrics.sequences import chrf_counts, rouge_l
from ceiba.metrics.spans import choose_span_threshold, overlap, span_scores
from ceiba.metrics.threshold import choose_threshold

__all__ = [
    "KINDS",
    "MAIN",
    "METRICS",
    "ClassFigures",
    "Curve",
    "Figure",
    "Metric",
    "calibration",
    "choose_span_threshold",
    "choose_threshold",
    "chrf_counts",
    "confusion",
    "figures",
    "known_rows",
    "overlap",
    "paired_difference",
    "paired_f1",
    "per_class",
    "per_row",
    "pr_curve",
    "predicted",
    "roc_curve",
    "rouge_l",
    "span_scores",
    "tag_counts",
]
