"""Train: a Model and Batches → the weights that do best on the validation rows.
Takes       a Model, training and validation Batches, a TrainSpec.   Gives   Trained: history, best epoch, cost.
May touch   model, batches, metrics, answers, base, torch.   Never   files of data, fields, recipes, bundles.
To add one  optimizer or schedule: write its spec in its file, add one line to OPTIMIZERS or SCHEDULES."""

from ceiba.train.folder import run_folder
from ceiba.train.loop import Trained, fit
from ceiba.train.optimizers import OPTIMIZERS
from ceiba.train.schedules import SCHEDULES
from ceiba.train.spec import FREE, TrainSpec
from ceiba.train.threshold import choose_thresholds

__all__ = ["FREE", "OPTIMIZERS", "SCHEDULES", "TrainSpec", "Trained", "choose_thresholds", "fit", "run_folder"]
