"""Studies: many runs, one answer.
Takes       a recipe that asks for several runs.   Gives   figures over the runs, and every run as it is.
May touch   run and all below it.                  Never   the inside of a run.
To add one  write studies/<name>.py, and the key of the recipe that asks for it in `train` below."""

from ceiba.studies.folds import Study, train_folds
from ceiba.studies.train import train
from ceiba.studies.tune import Search, tune

__all__ = ["Search", "Study", "train", "train_folds", "tune"]
