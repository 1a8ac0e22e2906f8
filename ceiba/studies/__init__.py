"""Studies: many runs, one answer.
Takes       a recipe that asks for several runs.   Gives   figures over the runs, and every run as it is.
May touch   run and all below it.                  Never   the inside of a run.
To add one  write studies/<name>.py, and the key of the recipe that asks for it in `train` below."""

from ceiba.studies.folds import train_folds
from ceiba.studies.over import Study
from ceiba.studies.rehearse import rehearse
from ceiba.studies.seeds import train_seeds
from ceiba.studies.train import train
from ceiba.studies.tune import Search, tune

__all__ = ["Search", "Study", "rehearse", "train", "train_folds", "train_seeds", "tune"]
