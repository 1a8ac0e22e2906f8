"""Seeds: the same rows, other weights; figures are means with intervals, and a study goes on where it was."""

import json
from pathlib import Path
from statistics import fmean, stdev

import pytest

from ceiba.base.errors import InputError, RecipeError
from ceiba.bundle import open_bundle
from ceiba.studies import Study, train
from ceiba.studies import seeds as module

STUDENT_95_OF_THREE = 4.303
"""Of two degrees of freedom."""


def study(out: str = "study", resume: bool = False, *more: str) -> Study:
    found = train("recipe.yaml", out, resume, ["seeds=3", "train.epochs=2", "train.seed=5", *more])
    assert isinstance(found, Study)
    return found


@pytest.mark.usefixtures("desk")
def test_figures_are_means_over_seeds_with_their_interval() -> None:
    found = study("study", False, "evaluate.baselines=true")
    runs = [json.loads(Path(f"study/seed-{seed}/bundle/report.json").read_text()) for seed in (5, 6, 7)]
    for name in ("log_loss", "roc_auc"):
        values = [run["metrics"]["test"]["rich"][name]["value"] for run in runs]
        assert len(set(values)) == 3
        figure = found.report["metrics"]["test"]["rich"][name]
        half = STUDENT_95_OF_THREE * stdev(values) / 3**0.5
        assert figure["value"] == pytest.approx(fmean(values))
        assert figure["high"] - figure["value"] == pytest.approx(half)
        assert figure["value"] - figure["low"] == pytest.approx(half)
    differences = [run["compared"]["test"]["rich"]["constant"] for run in runs]
    both = found.report["compared"]["test"]["rich"]["constant"]
    assert both["metric"] == differences[0]["metric"]
    assert both["value"] == pytest.approx(fmean(one["value"] for one in differences))
    half = STUDENT_95_OF_THREE * stdev(one["value"] for one in differences) / 3**0.5
    assert both["high"] - both["value"] == pytest.approx(half)
    assert found.report == json.loads(Path("study/report.json").read_text())
    assert "means over 3 seeds" in found.report["notes"][-1]
    assert "<html" in found.page.read_text()


@pytest.mark.usefixtures("desk")
def test_each_run_is_what_its_seed_gives_alone() -> None:
    study()
    train("recipe.yaml", "alone", False, ["train.epochs=2", "train.seed=6"])
    both = [open_bundle(Path(name)).weights_path.read_bytes() for name in ("study/seed-6/bundle", "alone/bundle")]
    assert both[0] == both[1]


@pytest.mark.usefixtures("desk")
def test_a_study_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, once = study("whole"), module.train_splits
    done: list[int] = []

    def failing(recipe, *rest):  # type: ignore[no-untyped-def]
        if len(done) == 1 and not healthy:
            raise OSError("no more")
        done.append(recipe.train.seed)
        return once(recipe, *rest)

    healthy = False
    monkeypatch.setattr(module, "train_splits", failing)
    with pytest.raises(OSError, match="no more"):
        study("cut")
    healthy = True
    again = study("cut", True)
    assert done == [5, 6, 7]
    assert again.report["metrics"] == whole.report["metrics"]
    with pytest.raises(InputError, match="finished study"):
        study("cut", True)


@pytest.mark.usefixtures("desk")
def test_folds_and_seeds_exclude_each_other() -> None:
    with pytest.raises(RecipeError, match=r"seeds must not go with data\.split\.folds"):
        train("recipe.yaml", "study", False, ["seeds=2", "data={train: people.csv, split: {folds: 3}}"])
