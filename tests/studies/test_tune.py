"""A search: what it draws, what it keeps, and that neither a kill nor a second worker changes what it means."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ceiba.base.errors import CeibaError, InputError, RecipeError
from ceiba.cli import main
from ceiba.recipe import Recipe, default_space, read_recipe, with_values
from ceiba.studies import Search, tune
from ceiba.studies.tune import Bench

pytest.importorskip("optuna")
pytestmark = pytest.mark.usefixtures("desk")


def told(search: Search) -> list[tuple[Any, ...]]:
    """What a search found, without what takes its own time."""
    return [(one["state"], one["value"], one["values"], one["epochs"]) for one in search.report["trials"]]


def test_a_search_ends_in_a_recipe_that_trains_to_the_figure_it_promises(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "recipe.yaml", "--out", "search", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads(Path("search/trials.json").read_text())["trials"] == report["trials"]
    assert len(report["trials"]) == 5
    best = report["best"]
    done = [one["value"] for one in report["trials"] if one["state"] == "done"]
    assert best["value"] == min(done)
    written = yaml.safe_load(Path("search/best.yaml").read_text())
    assert "tune" not in written
    assert written["train"]["optimizer"]["lr"] == best["values"]["train.optimizer.lr"]
    assert written["model"]["table"]["width"] == best["values"]["model.table.width"]
    assert main(["train", "search/best.yaml", "--out", "run"]) == 0
    history = json.loads(Path("run/bundle/report.json").read_text())["history"]
    assert min(row["valid_loss"] for row in history) == best["value"]


def test_the_same_seed_repeats_and_another_does_not() -> None:
    first, again, other = tune("recipe.yaml"), tune("recipe.yaml"), tune("recipe.yaml", overrides=["train.seed=1"])
    assert first.folder.name == "people-tune"
    assert again.folder.name == "people-tune-2"
    assert told(first) == told(again)
    assert [one["values"] for one in first.report["trials"]] != [one["values"] for one in other.report["trials"]]


def test_resuming_goes_on_as_one_search_would() -> None:
    whole = tune("recipe.yaml", "whole", overrides=["tune.trials=11"])
    tune("recipe.yaml", "parts", overrides=["tune.trials=4"])
    parts = tune("recipe.yaml", "parts", resume=True, overrides=["tune.trials=11"])
    assert told(parts) == told(whole)


def test_a_killed_trial_is_marked_and_its_values_tried_again() -> None:
    whole = tune("recipe.yaml", "whole")
    slow = (
        "import time\nfrom ceiba.studies.tune import Watcher, tune\nwrite = Watcher.write\n"
        "def slowly(self, step, figures):\n    write(self, step, figures)\n"
        "    if 'epoch' in figures and self.trial.number == 2: print('third', flush=True); time.sleep(60)\n"
        "Watcher.write = slowly\ntune('recipe.yaml', 'killed')\n"
    )
    with subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "third\n"
        worker.send_signal(signal.SIGKILL)
    resumed = tune("recipe.yaml", "killed", resume=True)
    assert [one["state"] for one in resumed.report["trials"]].count("interrupted") == 1
    assert [one for one in told(resumed) if one[0] != "interrupted"] == told(whole)
    assert not list(Path("killed").rglob("step-*"))


def test_a_signal_ends_the_search_with_its_code_and_it_can_go_on(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "ceiba", "tune", "recipe.yaml", "--out", "stopped", "--set", "train.epochs=2000"]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert worker.stderr is not None
    while "epoch" not in worker.stderr.readline():
        pass
    worker.send_signal(signal.SIGTERM)
    said = worker.communicate(timeout=60)[1]
    assert worker.returncode == 143
    assert said.splitlines()[-1] == "ceiba: Stopped in trial 1. Go on with --resume."


def test_workers_share_one_study() -> None:
    command = [sys.executable, "-m", "ceiba", "tune", "recipe.yaml", "--storage", "sqlite:///shared.db"]
    command += ["--set", "tune.trials=16", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([*command, name], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    ends = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    search = tune("recipe.yaml", "three", storage="sqlite:///shared.db", overrides=["tune.trials=16"])
    trials = search.report["trials"]
    assert sum(one["state"] in ("done", "pruned", "failed") for one in trials) == 16
    logs = {name: len(list(Path(name, "trials").glob("*/log.jsonl"))) for name in ("one", "two")}
    assert min(logs.values()) >= 1, logs
    assert sum(logs.values()) == 16, logs
    assert not Path("three", "trials").exists()
    values = [json.dumps(one["values"]) for one in trials]
    assert len(set(values)) == len(values)


def test_no_choice_rests_on_the_test_rows(desk: Path) -> None:
    before = told(tune("recipe.yaml", "before"))
    rows = (desk / "test.csv").read_text(encoding="utf-8").splitlines()
    swapped = [row.replace("yes", "?").replace("no", "yes").replace("?", "no") for row in rows[1:]]
    (desk / "test.csv").write_text("\n".join([rows[0], *swapped]), encoding="utf-8")
    assert told(tune("recipe.yaml", "after")) == before


def test_trials_share_what_was_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    from ceiba.studies import tune as door

    module = sys.modules[door.__module__]
    calls: list[Recipe] = []
    encode = module.encode  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "encode", lambda recipe, splits: calls.append(recipe) or encode(recipe, splits))
    tune("recipe.yaml", overrides=["tune.space={train.optimizer.lr: {low: 1e-4, high: 1e-1, log: true}}"])
    assert len(calls) == 1


def test_a_worse_trial_is_pruned_after_an_epoch() -> None:
    space = "tune.space={train.optimizer.lr: [0.03, 1e-7, 2e-7, 3e-7]}"
    search = tune("recipe.yaml", overrides=["tune.trials=10", space])
    pruned = [one for one in search.report["trials"] if one["state"] == "pruned"]
    assert pruned
    assert all(one["epochs"] < 3 and one["value"] is None for one in pruned)
    assert all(one["values"]["train.optimizer.lr"] < 1e-6 for one in pruned)
    off = tune("recipe.yaml", overrides=["tune.trials=10", "tune.pruner=none", space])
    assert {one["state"] for one in off.report["trials"]} == {"done"}


def test_a_trial_that_cannot_be_trained_is_listed_and_the_search_goes_on() -> None:
    space = "tune.space={model.trunk.heads: [4, 5]}"
    options = ["model.trunk={type: transformer, layers: 1}", "tune.trials=6", "train.epochs=1", space]
    search = tune("recipe.yaml", overrides=options)
    states = {one["values"]["model.trunk.heads"]: one["state"] for one in search.report["trials"]}
    assert states == {4: "done", 5: "failed"}
    assert "heads" in next(one["reason"] for one in search.report["trials"] if one["state"] == "failed")
    with pytest.raises(CeibaError, match="A trial must come to its end") as caught:
        tune("recipe.yaml", overrides=[*options[:3], "tune.space={model.trunk.heads: [5]}"])
    assert caught.value.exit_code == 1


def test_the_metric_is_bettered_in_its_own_direction() -> None:
    search = tune("recipe.yaml", overrides=["tune.watch=metric"])
    assert (search.report["metric"], search.report["direction"]) == ("valid_rich_accuracy", "maximize")
    assert search.report["best"]["value"] == max(one["value"] or 0 for one in search.report["trials"])


def test_no_trial_begins_after_the_time_is_over() -> None:
    began = time.monotonic()
    search = tune("recipe.yaml", overrides=["tune.trials=100000", "tune.seconds=3"])
    assert 1 <= len(search.report["trials"]) < 1000
    assert time.monotonic() - began < 30


def test_options_of_another_type_are_left_out() -> None:
    values = [one["values"] for one in tune("recipe.yaml", overrides=["train.epochs=1"]).report["trials"]]
    kinds = {one["model.table.numbers.type"] for one in values}
    assert kinds == {"scalar", "piecewise"}
    for one in values:
        assert ("model.table.numbers.width" in one) == (one["model.table.numbers.type"] == "piecewise")


def test_a_space_is_chosen_where_none_is_told() -> None:
    recipe = read_recipe({
        "data": {"train": "people.csv"}, "outputs": {"rich": "binary"}, "model": {"table": "mlp"},
        "inputs": {"city": {"type": "text", "encoder": "lstm"}, "age": "number"},
    })  # fmt: skip
    space = default_space(recipe)
    assert space.keys() == {
        "train.optimizer.lr", "train.optimizer.decay", "train.batch_rows", "model.table.dropout",
        "inputs.city.encoder.dropout", "model.dim",
    }  # fmt: skip
    rate = space["train.optimizer.lr"]
    assert (rate.low, rate.high, rate.log) == (pytest.approx(1e-4), pytest.approx(1e-2), True)
    search = tune("recipe.yaml", overrides=["tune={trials: 1}", "train.epochs=1"])
    assert "model.table.dropout" in search.report["best"]["values"]


def test_another_type_takes_the_options_of_the_old_one_away() -> None:
    recipe = read_recipe({
        "data": {"train": "people.csv"}, "outputs": {"rich": "binary"},
        "model": {"table": {"type": "mlp", "width": 7}}, "train": {"clip_norm": None},
    })  # fmt: skip
    changed = with_values(recipe, {"model.table.dropout": 0.3, "model.table.type": "tokens"}, "recipe")
    assert changed.model.table.type == "tokens"
    assert changed.model.table.dropout == 0.3
    assert changed.train.clip_norm is None
    same = with_values(recipe, {"model.table.type": "mlp"}, "recipe")
    assert same.model.table.width == 7


WRONG = [
    ("{model.table.dropot: [0.1]}", "tune.space: model.table has no key 'dropot'. Did you mean 'dropout'?"),
    ("{modle.dim: [8]}", "Did you mean 'model'?"),
    ("{inputs.aeg.type: [number]}", "tune.space: inputs has no column 'aeg'. Did you mean 'age'?"),
    ("{data.split.seed: [1, 2]}", "tune.space must name keys that a trial may change, not 'data.split.seed'"),
    ("{model.table.dropout: {low: 0, high: 1.5}}", "model.table.dropout"),
    ("{train.optimizer.lr: {low: 0.1, high: 0.01}}", "must have a low below its high. Got 0.1 and 0.01."),
    ("{train.optimizer.lr: {low: 0, high: 0.1, log: true}}", "must have a low above 0"),
    ("{train.optimizer.lr: {low: 0.1, hihg: 0.2}}", "Did you mean 'high'?"),
    ("{outputs.rich.head.label_smoothing: [0.0, 0.1]}", "tune.watch must be metric"),
    ("{}", "tune.space"),
]


@pytest.mark.parametrize(("space", "message"), WRONG, ids=[one[0] for one in WRONG])
def test_a_wrong_space_is_one_line(space: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "recipe.yaml", "--out", "search", "--set", f"tune.space={space}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert message in lines[0]


def test_a_study_is_not_mixed_with_another() -> None:
    with pytest.raises(InputError, match="must hold a study to resume"):
        tune("recipe.yaml", "search", resume=True)
    with pytest.raises(InputError, match="--storage must be a database"):
        tune("recipe.yaml", "other", storage="nowhere://x")
    with pytest.raises(RecipeError, match="folds"):
        tune("recipe.yaml", "search", overrides=["data={train: people.csv, split: {folds: 3}}"])
    tune("recipe.yaml", "search", overrides=["tune.trials=1"])
    with pytest.raises(InputError, match="holds a study"):
        tune("recipe.yaml", "search")
    with pytest.raises(InputError, match="belongs to another recipe"):
        tune("recipe.yaml", "search", resume=True, overrides=["train.epochs=4"])
    with pytest.raises(InputError, match="belongs to another recipe"):
        tune("recipe.yaml", "search", resume=True, overrides=["tune.space={model.dim: [8, 16]}"])


def test_a_text_is_shared_out_as_in_training(tmp_path: Path) -> None:
    lines = [f"line {place} of a text" if place % 3 else "" for place in range(60)]  # empty ones are a part of it
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = read_recipe({
        "data": {"train": str(tmp_path / "text.txt"), "format": "txt", "split": {"train": 0.8, "valid": 0.2}},
        "outputs": {"text": {"type": "text", "tokenizer": "character", "max_tokens": 8, "head": "next_token"}},
    })  # fmt: skip
    parts = Bench(recipe).splits.parts()
    assert sum(part.num_rows for part in parts.values()) == 60
