"""Figures over many runs of one recipe: means, with Student's intervals of those means."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ceiba.base.files import write_bytes, write_json
from ceiba.base.memory import PeakMemory
from ceiba.base.timing import Phases
from ceiba.recipe import Recipe
from ceiba.report import render_html
from ceiba.run import Run

STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom; 1.96 beyond."""
NORMAL_95 = 1.96


@dataclass(frozen=True)
class Study:
    """Many runs of one recipe and the figures over them."""

    folder: Path
    runs: list[Run]
    report: dict[str, Any]

    @property
    def page(self) -> Path:
        """The report, for a browser."""
        return self.folder / "report.html"

    def _repr_html_(self) -> str:
        return render_html(self.report)


def write_report(
    folder: Path, recipe: Recipe, merged: dict[str, Any], phases: Phases, memory: PeakMemory
) -> dict[str, Any]:
    """The report over all runs, completed and written into the study's folder."""
    report = merged | {"title": recipe.title, "recipe": recipe.to_yaml()}
    report["cost"] |= {"seconds": phases.total, "phases": phases.seconds, "peak_memory_bytes": memory.bytes}
    write_bytes(folder / "report.html", render_html(report).encode())
    write_json(folder / "report.json", report)
    return report


def over_runs(reports: Sequence[dict[str, Any]], split: str, shown: str, what: str) -> dict[str, Any]:
    """The mean of each figure of a split over the runs, with Student's 95 % interval of that mean.

    `shown` is what the split is called in the result, `what` the runs (folds, seeds).
    """
    measured = [report["metrics"][split] for report in reports]
    baselines = [report["baselines"].get(split, {}) for report in reports]
    merged: dict[str, Any] = {name: {} for name in ("confusion", "classes", "calibration", "curves", "slices")} | {
        "metrics": {shown: {output: _means([one[output] for one in measured]) for output in measured[0]}},
        "baselines": {
            shown: {
                output: {name: _means([one[output][name] for one in baselines]) for name in baselines[0][output]}
                for output in baselines[0]
            }
        },
        "compared": {shown: _differences([report["compared"].get(split, {}) for report in reports])},
        "outputs": reports[0]["outputs"],
        "baseline_models": reports[0].get("baseline_models", {}),
        what: [{"metrics": one, "baselines": baseline} for one, baseline in zip(measured, baselines, strict=True)],
        "notes": list(dict.fromkeys(note for report in reports for note in report["notes"])),
        "samples": reports[0]["samples"],
        "history": [],
        "cost": {"parameters": reports[0]["cost"]["parameters"], "rows": 0, "rows_per_second": 0.0},
    }
    merged["notes"].append(
        f"figures are means over {len(reports)} {what}, with 95 % intervals of the mean (Student's t)"
    )
    return merged


def _differences(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each output and baseline, the mean over the runs of what the model is better or worse by."""
    return {
        output: {
            name: {"metric": one["metric"], **_mean([run[output][name]["value"] for run in runs])}
            for name, one in found.items() if all(name in run.get(output, {}) for run in runs)
        }
        for output, found in runs[0].items()
    }  # fmt: skip


def _means(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One figure a metric that every run has."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: _mean([run[name]["value"] for run in runs]) for name in names}


def _mean(values: list[float]) -> dict[str, float]:
    center, freedom = fmean(values), len(values) - 1
    quantile = STUDENT_95[freedom - 1] if freedom <= len(STUDENT_95) else NORMAL_95
    half = quantile * stdev(values) / len(values) ** 0.5
    return {"value": center, "low": center - half, "high": center + half}
