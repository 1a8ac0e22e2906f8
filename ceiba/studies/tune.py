"""Tuning: many trials of one recipe, each with other values of some keys, judged on the validation rows alone.

What a trial draws is a function of the seed and of its place among the trials (law 2), so that a single worker repeats
its search, and one that was killed goes on as if nothing had happened. Workers share a study through its storage.
"""

import json
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ceiba.answers import Answer
from ceiba.base.errors import CeibaError, InputError, RecipeError, Stopped
from ceiba.base.files import hold, write_bytes, write_json
from ceiba.base.keys import key
from ceiba.base.optional import require
from ceiba.base.progress import say
from ceiba.fields import Fields
from ceiba.prepare import Arrays, load_splits, profile
from ceiba.recipe import (
    Recipe,
    TuneSpec,
    answers_of,
    applies,
    check_space,
    complete,
    default_space,
    in_order,
    read_recipe,
    with_values,
)
from ceiba.run import encode, learn
from ceiba.train import run_folder
from ceiba.train.validate import LOWER_IS_BETTER, figure

STORAGE, TRIALS, REPORT, BEST = "study.db", "trials", "trials.json", "best.yaml"
RANDOM_TRIALS = 8
"""Trials drawn at random before the search learns from them."""
RIVALS = 4
"""Finished trials before the median prunes others."""
HALVING = 3
OPEN_TRIES, OPEN_PAUSE_S = 20, 0.25
"""Workers that make the tables of one storage at the same moment are in each other's way."""
STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "interrupted", "RUNNING": "running", "WAITING": "waiting"}


@dataclass(frozen=True)
class Search:
    """A finished search: its folder, the best trial's recipe, and what every trial did."""

    folder: Path
    report: dict[str, Any]

    @property
    def best_recipe(self) -> Path:
        """The complete recipe of the best trial."""
        return self.folder / BEST


class Bench:
    """What all trials share: the rows and, as long as no trial changes how columns are encoded, the arrays."""

    def __init__(self, recipe: Recipe):
        # The test rows stay out of it: no trial may see them, and no choice may rest on them.
        self.splits = replace(load_splits(recipe.data, recipe.targets), test=None)
        self.kinds = profile(self.splits.train, list(recipe.outputs), {"valid": self.splits.valid}).kinds
        self.recipe = complete(recipe, self.splits.train, self.kinds)
        self._encoded: dict[str, tuple[Fields, dict[str, Arrays]]] = {}

    def recipe_with(self, values: Mapping[str, Any]) -> Recipe:
        """The complete recipe of a trial."""
        return complete(with_values(self.recipe, values, "recipe"), self.splits.train, self.kinds)

    def encoded(self, recipe: Recipe) -> tuple[Fields, dict[str, Arrays]]:
        """The fields and arrays of a complete recipe, fitted and mapped once."""
        told = [
            recipe.input_fields,
            recipe.output_fields,
            recipe.shared_inputs,
            recipe.input_columns,
            recipe.train.seed,
        ]
        name = repr(told)
        if name not in self._encoded:
            self._encoded[name] = encode(recipe, self.splits)
        return self._encoded[name]


@dataclass(frozen=True)
class Goal:
    """The figure of an epoch's row that is bettered."""

    name: str
    is_lower_better: bool

    @property
    def direction(self) -> str:
        """As Optuna says it."""
        return "minimize" if self.is_lower_better else "maximize"


def goal_of(watch: str, answers: Mapping[str, Answer]) -> Goal:
    """The validation loss, or the main metric of the first output."""
    if watch == "loss":
        return Goal("valid_loss", True)
    output, answer = next(iter(answers.items()))
    name, _ = figure(answer.kind, np.zeros((0, 1)), np.zeros((0, 1)))
    return Goal(f"valid_{output}_{name}", name in LOWER_IS_BETTER)


class Watcher:
    """A sink that tells the search each epoch's figure, and ends a trial that is worse than its rivals."""

    def __init__(self, optuna: ModuleType, trial: Any, goal: Goal):
        self.optuna, self.trial, self.goal = optuna, trial, goal
        self.count = 0

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        if "epoch" not in figures:
            return
        self.count += 1
        self.trial.report(figures[self.goal.name], self.count)
        if self.trial.should_prune():
            raise self.optuna.TrialPruned

    def note(self, step: int, event: Mapping[str, object]) -> None:
        pass

    def close(self) -> None:
        pass


def tune(
    source: str | Path | Mapping[str, Any] | Recipe,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
    storage: str | None = None,
) -> Search:
    """A recipe → the values of some of its keys with which it does best on the validation rows.

    `storage` is the address of a database that several workers share, each with a folder of its own; left out, a file
    in the folder.

    Raises: CeibaError and its kinds; CeibaError too if not one trial was finished.
    """
    optuna = require("optuna", "tune", "search for better values")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    recipe = read_recipe(source, overrides)
    spec = recipe.tune or TuneSpec()
    if recipe.data.split.folds is not None:
        raise RecipeError(
            "data.split.folds must not go with ceiba tune, whose test rows would choose", recipe.data.split.folds,
            "Train best.yaml with folds afterwards",
        )  # fmt: skip
    folder = _folder(recipe.title, out, resume)
    recipe = recipe.model_copy(
        update={
            "tune": None,
            "seeds": 1,
            "train": recipe.train.model_copy(update={"watch": spec.watch or recipe.train.watch}),
        }
    )
    with hold(folder):
        bench = Bench(recipe)
        space = spec.space if spec.space is not None else default_space(bench.recipe)
        check_space(bench.recipe, space)
        if recipe.train.watch == "loss" and (changed := [name for name in space if name.startswith("outputs.")]):
            raise RecipeError(
                f"tune.watch must be metric: '{changed[0]}' changes the loss", "loss", "Set watch: metric"
            )
        search = _Search(optuna, spec, space, bench, folder, storage)
        search.run()
        return search.close()


def _folder(title: str, out: str | Path | None, resume: bool) -> Path:
    folder = run_folder(f"{title}-tune", out, resume)
    is_begun = any((folder / name).exists() for name in (STORAGE, REPORT, TRIALS))
    if is_begun and not resume:
        raise InputError(f"{folder} holds a study", "no --resume", "Add --resume, or name another folder with --out")
    if resume and not is_begun:
        raise InputError(f"{folder} must hold a study to resume", "none", "Start without --resume")
    return folder


class _Search:
    """One worker's part in a study."""

    def __init__(
        self, optuna: ModuleType, spec: TuneSpec, space: Mapping[str, Any], bench: Bench, folder: Path,
        storage: str | None,
    ):  # fmt: skip
        self.optuna, self.spec, self.space, self.bench, self.folder = optuna, spec, space, bench, folder
        self.began = time.monotonic()
        fields, _ = bench.encoded(bench.recipe)
        self.goal = goal_of(bench.recipe.train.watch, answers_of(bench.recipe, fields))
        self.worker = f"{socket.gethostname()}:{folder.resolve()}"
        self.study = self._opened(storage or f"sqlite:///{folder.resolve() / STORAGE}")
        self._belongs()
        for trial in self.study.get_trials(deepcopy=False):
            is_mine = storage is None or trial.user_attrs.get("worker") == self.worker
            if trial.state.name == "RUNNING" and is_mine:  # its worker was killed: this folder is held by nobody else
                self._redo(trial.number, trial.params)

    def _opened(self, storage: str) -> Any:
        optuna, epochs = self.optuna, self.bench.recipe.train.epochs
        pruner = {
            "median": lambda: optuna.pruners.MedianPruner(RIVALS, epochs // 4),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(1, epochs, HALVING),
            "none": optuna.pruners.NopPruner,
        }[self.spec.pruner]()
        for left in reversed(range(OPEN_TRIES)):
            try:
                return optuna.create_study(
                    storage=storage, study_name=self.bench.recipe.title, direction=self.goal.direction,
                    pruner=pruner, load_if_exists=True,
                )  # fmt: skip
            except Exception as error:  # whatever its driver raises: no database of its kind, no access, no driver
                if not left or not storage.startswith("sqlite"):
                    raise InputError(
                        "--storage must be a database", f"{storage} ({type(error).__name__})", "Check its address"
                    ) from error
                time.sleep(OPEN_PAUSE_S)
        raise AssertionError

    def _belongs(self) -> None:
        """A study holds trials of one recipe, one data set and one space."""
        plain = {name: knob.model_dump(mode="json") for name, knob in self.space.items()}
        told = [self.bench.recipe.identity, self.bench.splits.train.identity, self.goal.name, plain]
        now = f"{key(json.dumps(told)):016x}"
        if self.study.user_attrs.setdefault("identity", now) != now:
            raise InputError(
                f"The study '{self.study.study_name}' belongs to another recipe, other data or another space", None,
                "Go on with what it was started with, or name another --out or --storage",
            )  # fmt: skip
        self.study.set_user_attr("identity", now)

    def _redo(self, number: int, params: Mapping[str, Any]) -> None:
        """Mark a trial as interrupted and have its values tried again."""
        self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        if params:
            self.study.enqueue_trial(dict(params))

    def _place(self, number: float = inf) -> int:
        """How many trials were begun before this one and not interrupted."""
        trials = self.study.get_trials(deepcopy=False)
        return sum(one.number < number and one.state.name not in ("FAIL", "WAITING") for one in trials)

    def run(self) -> None:
        """Trial after trial until there are enough, or the time is over."""
        most = self.spec.trials
        while self._place() < most and not self._is_late():
            trial = self.study.ask()
            place = self._place(trial.number)
            if place >= most:  # another worker began the last one at the same moment
                self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
                break
            trial.set_user_attr("worker", self.worker)
            self.study.sampler = self.optuna.samplers.TPESampler(
                n_startup_trials=RANDOM_TRIALS, seed=key(self.bench.recipe.train.seed, "tune", place) % 2**32
            )
            try:
                self._try(trial, place)
            except BaseException as error:
                self._redo(trial.number, trial.params)
                if isinstance(error, Stopped):
                    raise Stopped(
                        f"Stopped in trial {place + 1}", None, "Go on with --resume", error.exit_code
                    ) from None
                raise

    def _is_late(self) -> bool:
        return self.spec.seconds is not None and time.monotonic() - self.began >= self.spec.seconds

    def _try(self, trial: Any, place: int) -> None:
        """One trial, from its values to its end; one that cannot be trained counts as the worst."""
        states, began = self.optuna.trial.TrialState, time.monotonic()
        folder = self.folder / TRIALS / f"{trial.number:05d}"
        shutil.rmtree(folder, ignore_errors=True)  # what a killed process left
        values = self._values(trial)
        say(f"Trial {place + 1} of {self.spec.trials}: {_written(values)}")
        try:
            recipe = self.bench.recipe_with(values)
            fields, arrays = self.bench.encoded(recipe)
            watcher = Watcher(self.optuna, trial, self.goal)
            _, trained = learn(recipe, fields, arrays, folder, self.bench.splits.train.identity, sinks=[watcher])
        except self.optuna.TrialPruned:
            value, state = None, states.PRUNED
        except Stopped:
            raise
        except CeibaError as error:
            trial.set_user_attr("reason", str(error))
            value, state = None, states.PRUNED
        else:
            best = next(row for row in trained.history if row["epoch"] == trained.best_epoch)
            trial.set_user_attr("best_epoch", trained.best_epoch)
            value, state = best[self.goal.name], states.COMPLETE
        finally:
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        trial.set_user_attr("seconds", time.monotonic() - began)
        self.study.tell(trial, value, state=state)

    def _values(self, trial: Any) -> dict[str, Any]:
        """A value for every key that applies."""
        values: dict[str, Any] = {}
        for name in in_order(self.space):
            knob = self.space[name]
            if not applies(self.bench.recipe, values, name, knob):
                continue
            if knob.type == "choice":
                values[name] = trial.suggest_categorical(name, list(knob.choices))
            else:
                suggest = trial.suggest_int if knob.type == "int" else trial.suggest_float
                values[name] = suggest(name, knob.low, knob.high, log=knob.log)
        return values

    def close(self) -> Search:
        """Write the best recipe and the table of trials.

        Raises: CeibaError if no trial came to its end.
        """
        trials = [self._row(one) for one in self.study.get_trials(deepcopy=False) if one.state.name != "WAITING"]
        done = [one for one in trials if one["state"] == "done"]
        sign = 1 if self.goal.is_lower_better else -1
        best = min(done, key=lambda one: sign * one["value"], default=None)
        report = {
            "title": self.bench.recipe.title, "metric": self.goal.name, "direction": self.goal.direction,
            "best": best, "trials": trials, "seconds": time.monotonic() - self.began,
        }  # fmt: skip
        write_json(self.folder / REPORT, report)
        if best is None:
            reasons = [one["reason"] for one in trials if one["reason"]]
            raise CeibaError(
                "A trial must come to its end", reasons[0] if reasons else "none", "Change the tune section"
            )
        recipe = self.bench.recipe_with(best["values"])
        write_bytes(self.folder / BEST, recipe.to_yaml(self.folder).encode())
        return Search(self.folder, report)

    def _row(self, trial: Any) -> dict[str, Any]:
        reason = trial.user_attrs.get("reason")
        return {
            "trial": trial.number + 1, "state": "failed" if reason else STATES[trial.state.name], "reason": reason,
            "value": trial.value if trial.state.name == "COMPLETE" else None, "values": trial.params,
            "epochs": max(trial.intermediate_values, default=0), "best_epoch": trial.user_attrs.get("best_epoch"),
            "seconds": trial.user_attrs.get("seconds"),
        }  # fmt: skip


def _written(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
