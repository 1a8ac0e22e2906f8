"""Evaluate: a Predictor and rows with truths → a Report.
Takes       a Predictor, frames by split, baselines of the training rows.   Gives   the Report, a dict ready for JSON.
May touch   predict, prepare, read, fields, answers, metrics, base, scikit-learn (baselines alone).
Never       training, weights, HTML, files under a final name.
To add one  write the section in sections.py, or the quick model in quick.py; a report shows what is there."""

from ceiba.evaluate.baseline import Baselines, fit_baselines
from ceiba.evaluate.beside import fit_beside
from ceiba.evaluate.choices import evaluate_choices
from ceiba.evaluate.data import evaluate_data
from ceiba.evaluate.evaluate import evaluate
from ceiba.evaluate.gather import Answers
from ceiba.evaluate.rows import RowScores, read_rows
from ceiba.evaluate.spec import EvaluateSpec

__all__ = [
    "Answers",
    "Baselines",
    "EvaluateSpec",
    "RowScores",
    "evaluate",
    "evaluate_choices",
    "evaluate_data",
    "fit_baselines",
    "fit_beside",
    "read_rows",
]
