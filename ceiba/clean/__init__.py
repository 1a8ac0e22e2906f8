"""Clean: a closed catalog of operations on columns and rows.
Takes       Arrow batches.               Gives   Arrow batches; positions of rows that stay.
May touch   base, numpy, Arrow.          Never   torch, frames, files, what is learnt from data, a row one at a time.
To add one  write its spec in clean/<theme>.py, add one line to CLEAN below.

Operations on columns are part of what a model expects: the same `Cleaner` runs before training and before serving.
Operations on rows only choose what is trained on and measured."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from ceiba.base.spec import one_of
from ceiba.clean.cleaner import MARK, Cleaner
from ceiba.clean.columns import DropSpec, RenameSpec, ReplaceSpec
from ceiba.clean.hashing import hash_rows, hash_values
from ceiba.clean.numbers import ClipSpec, Log1pSpec
from ceiba.clean.rows import DropDuplicatesSpec, DropMissingSpec
from ceiba.clean.spec import CleanSpec, Names, RowSpec
from ceiba.clean.text import ChatSpec, JoinSpec, LowerSpec, PairSpec, StripSpec, StripSuffixSpec

CLEAN: dict[str, type[CleanSpec]] = {
    "strip": StripSpec,
    "lower": LowerSpec,
    "strip_suffix": StripSuffixSpec,
    "replace": ReplaceSpec,
    "log1p": Log1pSpec,
    "clip": ClipSpec,
    "join": JoinSpec,
    "pair": PairSpec,
    "chat": ChatSpec,
    "rename": RenameSpec,
    "drop": DropSpec,
    "drop_missing": DropMissingSpec,
    "drop_duplicates": DropDuplicatesSpec,
}


def _expand(value: object) -> object:
    """`{clip: {age: [0, 100]}}` means `{type: clip, columns: {age: [0, 100]}}`."""
    if isinstance(value, dict) and len(value) == 1 and "type" not in value:
        name, columns = next(iter(value.items()))
        return {"type": name, "columns": columns}
    return value


CleanOption: Any = Annotated[one_of(CLEAN), BeforeValidator(_expand)]

__all__ = ["CLEAN", "MARK", "CleanOption", "CleanSpec", "Cleaner", "Names", "RowSpec", "hash_rows", "hash_values"]
