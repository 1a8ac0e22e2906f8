"""A Predictor and rows with truths → the Report."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ceiba.base.memory import lean
from ceiba.evaluate.gather import COUNTED, Answers, AnyBaselines, Scored, gather, without_truth
from ceiba.evaluate.rows import PAIRED
from ceiba.evaluate.samples import samples_section
from ceiba.evaluate.sections import calibration_section, classes_section, confusion_section, curves_section
from ceiba.evaluate.slices import slice_groups, slice_section
from ceiba.metrics import MAIN, figures, known_rows, paired_difference, per_row
from ceiba.read import Frame

FEW_ROWS = 100
SAMPLED_SPLITS = ("test", "valid")
Report = dict[str, Any]


def evaluate(
    predictor: Answers,
    frames: Mapping[str, Frame],
    *,
    slices: Sequence[str] = (),
    baselines: AnyBaselines | None = None,
    seed: int = 0,
    keep: Callable[[str, Frame, Mapping[str, Scored]], None] | None = None,
) -> Report:
    """Figures with intervals, and what explains them, of every split and output.

    `keep` sees each split's rows with their truths and scores, which the report itself does not hold. Rows without a
    truth are left out and counted in the notes. Everything in the report is ready for JSON.

    Raises: DataError for a column that is absent or holds a bad value; CeibaError for scores that are not finite.
    """
    started = time.perf_counter()
    parts = ("metrics", "baselines", "confusion", "classes", "calibration", "curves", "slices", "compared")
    report: Report = {name: {} for name in parts} | {"outputs": _outputs(predictor), "rows": {}, "notes": []}
    report["samples"] = []
    sampled = next((split for split in (*SAMPLED_SPLITS, *frames) if split in frames), None)
    predict_s = 0.0
    for split, frame in frames.items():
        began = time.perf_counter()
        scored = gather(frame, predictor)
        predict_s += time.perf_counter() - began
        report["rows"][split] = {"rows": frame.num_rows, "without_truth": without_truth(scored)}
        report["notes"] += _row_notes(split, frame, scored)
        with lean():
            measure_split(report, split, scored, seed)
        if keep is not None:
            keep(split, frame, scored)
        if baselines is not None:
            compare_split(report, split, scored, baselines.scores(frame), seed)
        for column in slices:
            groups = slice_groups(frame, column)
            for name, one in scored.items():
                report["slices"].setdefault(split, {}).setdefault(name, {})[column] = slice_section(one, groups, seed)
        if split == sampled:
            readable = {name: one for name, one in scored.items() if one.kind not in COUNTED or one.said is not None}
            report["samples"] = samples_section(frame, readable, list(predictor.fields.read), split, seed)
    if baselines is not None:
        report["baseline_models"], report["notes"] = baselines.about(), report["notes"] + list(baselines.notes)
    rows = sum(frame.num_rows for frame in frames.values())
    report["cost"] = {
        "seconds": time.perf_counter() - started, "predict_seconds": predict_s, "rows": rows,
        "rows_per_second": rows / max(predict_s, 1e-9),
    }  # fmt: skip
    return report


def measure_split(report: Report, split: str, scored: Mapping[str, Scored], seed: int) -> None:
    """Write the figures and sections of one split into the report; sections that do not apply are left out."""
    for name, one in scored.items():
        known = one.known()
        sections = {
            "metrics": score(known, seed),
            "confusion": confusion_section(known),
            "classes": classes_section(known),
            "calibration": calibration_section(known),
            "curves": curves_section(known, seed),
        }
        for section, value in sections.items():
            if value is not None:
                report[section].setdefault(split, {})[name] = value


def score(scored: Scored, seed: int) -> dict[str, Any]:
    """Every figure of one output."""
    return dict(figures(scored.kind, scored.truth, scored.scores, scored.threshold, seed=seed, labels=scored.labels))


def compare_split(
    report: Report, split: str, scored: Mapping[str, Scored], others: Mapping[str, Mapping[str, Any]], seed: int
) -> None:
    """Write the baselines' figures of one split, and the paired difference between the model and each of them."""
    for name, one in scored.items():
        for baseline, scores in others.items():
            if name not in scores:
                continue
            other = one.with_scores(scores[name])
            report["baselines"].setdefault(split, {}).setdefault(name, {})[baseline] = score(other.known(), seed)
            metric = PAIRED[one.kind]
            ours, theirs = (
                per_row(each.kind, each.truth, each.scores, metric, each.threshold) for each in (one, other)
            )
            if difference := paired_difference(ours, theirs, seed=seed):
                compared = {"metric": metric, **difference}
                report["compared"].setdefault(split, {}).setdefault(name, {})[baseline] = compared


def _outputs(predictor: Answers) -> dict[str, Any]:
    """Kind, main metric, labels and threshold of each output."""
    described: dict[str, Any] = {}
    for name, answer in predictor.answers.items():
        described[name] = {"kind": answer.kind, "main": MAIN[answer.kind]}
        for part in ("labels", "threshold"):
            if (value := getattr(answer, part, None)) is not None:
                described[name][part] = list(value) if isinstance(value, tuple) else value
    return described


def _row_notes(split: str, frame: Frame, scored: Mapping[str, Scored]) -> list[str]:
    notes = []
    for name, one in scored.items():
        missing = int((~known_rows(one.truth)).sum())
        if missing and one.kind == "text":
            notes.append(f"{split}: {missing:,} texts of '{name}' are too short to be measured")
        elif missing:
            notes.append(
                f"{split}: {missing:,} of {frame.num_rows:,} rows have no '{name}', or one that training never saw; "
                "they are not measured"
            )
        measured = len(one.truth) - missing
        if 0 < measured < FEW_ROWS:
            notes.append(f"{split}: {measured} rows of '{name}' are measured; such intervals are rough")
    return notes
