"""Prepare: from frames to arrays that a network can be trained on.
Takes       frames and the `data` of a recipe.    Gives   splits, profiles, drafts of recipes, fitted Fields, Arrays.
May touch   read, fields, base, scikit-learn through base/optional.   Never   torch, models, a row one at a time.
To add one  an operation: write its spec in clean.py, add one line to CLEAN there."""

from ceiba.prepare.arrays import Arrays, prepare_arrays
from ceiba.prepare.clean import CLEAN
from ceiba.prepare.cleaner import Cleaner, clean_frame
from ceiba.prepare.fit import fit_fields
from ceiba.prepare.spec import DataSpec, SplitSpec
from ceiba.prepare.split import Splits, fold_splits, load_splits

__all__ = [
    "CLEAN",
    "Arrays",
    "Cleaner",
    "DataSpec",
    "SplitSpec",
    "Splits",
    "clean_frame",
    "fit_fields",
    "fold_splits",
    "load_splits",
    "prepare_arrays",
]
