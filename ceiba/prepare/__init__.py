"""Prepare: from frames to arrays that a network can be trained on.
Takes       frames and the `data` of a recipe.    Gives   splits, profiles, drafts of recipes, fitted Fields, Arrays.
May touch   read, fields, clean, base, scikit-learn through base/optional.   Never   torch, models, a row one at a time.
To add one  a way to split: write it in assign.py, name it in SplitSpec.by."""

from ceiba.prepare.arrays import Arrays, prepare_arrays, with_parts
from ceiba.prepare.cleaning import clean_frame
from ceiba.prepare.draft import draft, draft_recipe, suggest_cleaning
from ceiba.prepare.fit import fit_fields
from ceiba.prepare.kinds import infer_kinds
from ceiba.prepare.profile import Profile, profile
from ceiba.prepare.spec import IN_MEMORY, DataSpec, SplitSpec
from ceiba.prepare.split import Splits, fold_splits, load_splits
from ceiba.prepare.truncated import truncation_notes

__all__ = [
    "IN_MEMORY",
    "Arrays",
    "DataSpec",
    "Profile",
    "SplitSpec",
    "Splits",
    "clean_frame",
    "draft",
    "draft_recipe",
    "fit_fields",
    "fold_splits",
    "infer_kinds",
    "load_splits",
    "prepare_arrays",
    "profile",
    "suggest_cleaning",
    "truncation_notes",
    "with_parts",
]
