"""A report as a run leaves it: a yes-no answer and a number, two splits, everything there."""

from math import exp
from typing import Any

import pytest


def figure(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def binary_figures(shift: float = 0.0) -> dict[str, Any]:
    return {
        "accuracy": figure(0.8609 + shift, 0.0053), "roc_auc": figure(0.914 + shift, 0.005),
        "average_precision": figure(0.81 + shift, 0.01), "log_loss": figure(0.31 - shift, 0.008),
        "ece": figure(0.012, 0.004),
    }  # fmt: skip


def number_figures(shift: float = 0.0) -> dict[str, Any]:
    return {"rmse": figure(5234.0 + shift, 90.0), "mae": figure(3000.0 + shift, 50.0), "r2": figure(0.81, 0.01)}


def column(name: str, kind: str, role: str, **more: Any) -> dict[str, Any]:
    empty = {"type": "string", "missing": 0, "distinct": 9, "is_exact": True, "low": None, "high": None, "mean": None}
    return {"name": name, "kind": kind, "role": role, "histogram": None, "top": [], "words": None, **empty, **more}


@pytest.fixture
def report() -> dict[str, Any]:
    bins = [
        {"from": 0.1 * place, "to": 0.1 * place + 0.1, "rows": 1000 - 90 * place, "confidence": 0.1 * place + 0.05,
         "share": 0.1 * place + 0.04, "share_low": 0.1 * place, "share_high": 0.1 * place + 0.09}
        for place in range(10)
    ]  # fmt: skip
    curve = {"x": [0.0, 0.1, 0.4, 1.0], "y": [0.0, 0.6, 0.9, 1.0]}
    ages = [("17 to 28", 0.97, 4394), ("29 to 90", 0.82, 11887)]
    income = {"quick": binary_figures(0.01), "constant": {"accuracy": figure(0.7638, 0.006)}}
    wage = {"quick": number_figures(900.0), "constant": {"rmse": figure(11000.0, 200.0)}}
    paired = {"quick": {"metric": "accuracy", "value": -0.01, "low": -0.013, "high": -0.007}}
    return {
        "title": "adult", "recipe": "train: {epochs: 10}\ntrain_epochs:\n  epochs: 10\n",
        "outputs": {
            "income": {"kind": "binary", "main": "accuracy", "labels": ["<=50K", ">50K"], "threshold": 0.45},
            "wage": {"kind": "number", "main": "rmse"},
        },
        "rows": {split: {"rows": 16281, "without_truth": {"income": 0, "wage": 0}} for split in ("valid", "test")},
        "metrics": {split: {"income": binary_figures(), "wage": number_figures()} for split in ("valid", "test")},
        "baselines": {split: {"income": income, "wage": wage} for split in ("valid", "test")},
        "baseline_models": {
            "income": {
                "quick": {"model": "gradient boosting (100 rounds) on 14 columns", "rows": 29305, "seconds": 0.5},
                "constant": {"model": "always <=50K"},
            }
        },
        "compared": {"test": {"income": paired}},
        "confusion": {"test": {"income": {"labels": ["<=50K", ">50K"], "matrix": [[11644, 791], [1361, 2485]],
            "mistakes": [{"truth": ">50K", "answer": "<=50K", "rows": 1361}]}}},
        "classes": {"test": {"income": [
            {"label": "<=50K", "precision": 0.89, "recall": 0.93, "f1": 0.91, "support": 12435},
            {"label": ">50K", "precision": None, "recall": 0.6, "f1": None, "support": 0},
        ]}},
        "calibration": {"test": {"income": {"of": "probability of >50K", "ece": 0.012, "bins": bins}}},
        "curves": {"test": {
            "income": {"positive": ">50K", "share": 0.236, "roc": curve, "pr": {"x": [0, 0.5, 1], "y": [1, 0.8, 0.24]}},
            "wage": {"points": {"truth": [1.0, 2.0, 3.0], "answer": [1.1, 1.9, 3.3]},
                     "errors": {"counts": [1, 5, 2], "edges": [-3.0, -1.0, 1.0, 3.0], "beyond": 1}},
        }},
        "slices": {"test": {"income": {"age": [
            {"value": value, "rows": rows, "metrics": {"accuracy": figure(share, 0.01)}} for value, share, rows in ages
        ] + [{"value": "(missing)", "rows": 0, "metrics": {}}]}}},
        "history": [
            {"epoch": epoch, "step": 100 * epoch, "train_loss": 0.3 + exp(-epoch), "valid_loss": 0.32 + exp(-epoch),
             "valid_income_accuracy": 0.86 - exp(-epoch) / 5, "lr": 0.001, "seconds": 1.0 * epoch}
            for epoch in range(1, 6)
        ],
        "cost": {"seconds": 14.2, "parameters": 148226, "peak_memory_bytes": 412_000_000, "best_epoch": 4,
                 "phases": {"read": 0.4, "train": 11.0, "evaluate": 2.1}, "train_rows_per_second": 91234.0},
        "notes": ["adult.csv was split at random", "25 rows repeat"],
        "samples": [
            {"split": "test", "row": 7, "why": "typical",
             "inputs": {"age": 39, "photo": {"image": "data:image/png;base64,iVBORw0KGgo="}, "town": None},
             "outputs": {"income": {"answer": "<=50K", "truth": "<=50K", "probability": 0.93},
                         "wage": {"answer": 1234.5, "truth": None}}},
            {"split": "test", "row": 9, "why": "worst", "inputs": {"age": 50},
             "outputs": {"income": {"answer": "<=50K", "truth": ">50K", "probability": 0.99}}},
        ],
        "data": {
            "origin": "adult.csv", "rows": {"train": 29305, "test": 16281}, "notes": [],
            "warnings": [{"about": "duplicates", "text": "25 rows repeat", "column": None}],
            "columns": [
                column("age", "number", "input", low=17, high=90, mean=38.6,
                       histogram={"edges": [17, 50, 90], "counts": [5, 3]}),
                column("marital_status", "category", "input", top=[("Married", 10), ("Single", 7)], missing=300),
                column("essay", "text", "input", words=12.5, characters=80.0),
                column("income", "binary", "target", top=[("<=50K", 3), (">50K", 1)]),
            ],
        },
    }  # fmt: skip
