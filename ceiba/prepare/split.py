"""Which rows are trained on, watched and measured.

Rows are addressed by their position in the file they came from. What is kept in memory is the positions alone, one
bit a row; while a split is made, a few words a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ceiba.base.errors import DataError, RecipeError, nearest
from ceiba.base.positions import Marked
from ceiba.prepare.assign import TEST, TRAIN, VALID, Codes, assign, group_codes, in_order, spread, time_order
from ceiba.prepare.cleaning import clean_frame
from ceiba.prepare.damaged import readable_rows
from ceiba.prepare.spec import DataSpec
from ceiba.prepare.targets import has_target, stratum
from ceiba.read import Frame, are_lines, open_frame

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """The three parts. Where no row is left to watch training on, `valid` is the training rows, which a note says."""

    train: Frame
    valid: Frame
    test: Frame | None
    notes: tuple[str, ...] = ()
    """What was decided and the user should know."""
    rows: dict[str, Marked] = field(default_factory=dict, repr=False)
    """Part → its rows in the file they came from."""

    def parts(self) -> dict[str, Frame]:
        """Name → frame of the parts there are."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: frame for name, frame in named.items() if frame is not None}


def load_splits(spec: DataSpec, targets: Sequence[str] = ()) -> Splits:
    """Read, clean and share out the rows of a recipe.

    Raises: DataError for what cannot be read, a column that is missing, or no row to train on.
    """
    frames, rows = _opened(spec, targets)
    notes = [note for frame in frames.values() for note in frame.notes]
    shares = spec.split.shares("valid" in frames, "test" in frames)
    if any(shares):
        whole, kept = frames["train"], rows["train"]
        codes, how = _assigned(spec, whole, kept, targets, shares)
        for name, code in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
            if name == "train" or name not in frames:
                rows[name] = kept[codes == code]
                frames[name] = whole.take(rows[name])
        counts = ", ".join(
            f"{name} {len(rows[name])}"
            for name, share in zip(("train", "valid", "test"), (1, *shares), strict=True)
            if share
        )
        notes.append(f"{whole.origin} was split {how}: {counts} rows")
    elif len(rows["train"]) < frames["train"].num_rows:
        frames["train"] = frames["train"].take(rows["train"])
    return _checked(frames, rows, notes)


def fold_splits(spec: DataSpec, targets: Sequence[str] = ()) -> list[Splits]:
    """One Splits a fold: each row of the training data is in `test` once; `valid` is a share of the others.

    A test file is left alone, so that it can still be measured on once, at the end.

    Raises: DataError as `load_splits` does; RecipeError without `split.folds`, or if a fold would be empty.
    """
    if spec.split.folds is None:
        raise RecipeError("data.split must have folds", "none", "Add folds: 5")
    if spec.split.by == "time":
        raise RecipeError(
            "data.split.folds must not go with by: time",
            None,
            "Rows of the future would be trained on; use by: group or random",
        )
    frames, rows = _opened(spec.model_copy(update={"valid": None, "test": None}), targets)
    whole, kept = frames["train"], rows["train"]
    folds = spec.split.folds
    if len(kept) < folds:
        raise RecipeError(
            "data.split.folds must not exceed the number of rows", f"{folds} folds, {len(kept)} rows", "Use fewer"
        )
    group, how = _grouping(spec, whole, kept, targets)
    fold_of = spread(len(kept), folds, group, spec.split.by == "group", spec.split.seed)
    if len(np.unique(fold_of)) < folds:
        raise RecipeError("data.split.folds must not exceed the number of groups", f"{folds} folds", "Use fewer")
    valid = spec.split.shares(False, True)[0]
    found = []
    for fold in range(folds):
        rest = np.flatnonzero(fold_of != fold)
        inner = assign(
            len(rest), (valid, 0.0), None if group is None else group[rest], spec.split.by == "group", spec.split.seed
        )
        chosen = {
            "train": kept[rest[inner == TRAIN]],
            "valid": kept[rest[inner == VALID]],
            "test": kept[fold_of == fold],
        }
        note = f"{whole.origin}: fold {fold + 1} of {folds}, split {how}"
        found.append(_checked({name: whole.take(part) for name, part in chosen.items()}, chosen, [*whole.notes, note]))
    return found


def _opened(spec: DataSpec, targets: Sequence[str]) -> tuple[dict[str, Frame], dict[str, Rows]]:
    """The cleaned frames that have a source of their own, and the rows of each that have a target."""
    frames, rows = {}, {}
    for name in ("train", "valid", "test"):
        source = getattr(spec, name)
        if source is None:
            continue
        frame = clean_frame(open_frame(source, spec.reading()), spec.clean)
        if spec.damaged == "skip":
            frame = _without_damaged(frame)
        for column in (*targets, *([spec.weight] if spec.weight else [])):
            if column not in frame.names:
                raise DataError(
                    f"{frame.origin} must have the column '{column}'", "none of that name", nearest(column, frame.names)
                )
        kept = has_target(frame, targets)
        if len(kept) < frame.num_rows:
            frame = frame.noted(f"{frame.origin}: {frame.num_rows - len(kept)} rows without a target were left out")
        if name != "train" and len(kept) < frame.num_rows:
            frame = frame.take(kept)
        frames[name], rows[name] = frame, kept
    return frames, rows


def _without_damaged(frame: Frame) -> Frame:
    rows = readable_rows(frame)
    if len(rows) == frame.num_rows:
        return frame
    lost = frame.num_rows - len(rows)
    return frame.take(rows).noted(f"{frame.origin}: {lost} of {frame.num_rows} rows with a damaged image were left out")


def _grouping(spec: DataSpec, frame: Frame, kept: Rows, targets: Sequence[str]) -> tuple[Codes | None, str]:
    """A code a kept row by which rows are held together (group) or spread evenly (stratified), and the words for it."""
    by, column, seed = spec.split.by, spec.split.column, spec.split.seed
    if by == "group" and column is not None:
        return group_codes(frame.column(column))[kept], f"by whole groups of '{column}' (seed {seed})"
    found = stratum(frame, targets) if by in (None, "stratified") else None
    if found is not None:
        return found[1][kept], f"with every class of '{found[0]}' alike in each part (seed {seed})"
    if by == "stratified":
        got = f"'{targets[0]}'" if targets else "no target"
        raise RecipeError("data.split.by: stratified needs a target with classes", got, "Use by: random")
    return None, f"at random (seed {seed})"


def _assigned(
    spec: DataSpec, frame: Frame, kept: Rows, targets: Sequence[str], shares: tuple[float, float]
) -> tuple[NDArray[np.int8], str]:
    column = spec.split.column
    if spec.split.by == "time" and column is not None:
        return time_order(frame.column(column), kept, shares), f"by time, the newest '{column}' last"
    if spec.split.by == "order" or (spec.split.by is None and any(are_lines(frame, name) for name in frame.names)):
        return in_order(len(kept), shares), "as its rows stand, the last ones held out"
    group, how = _grouping(spec, frame, kept, targets)
    return assign(len(kept), shares, group, spec.split.by == "group", spec.split.seed), how


def _checked(frames: dict[str, Frame], rows: dict[str, Rows], notes: list[str]) -> Splits:
    train = frames["train"]
    if train.num_rows == 0:
        raise DataError(
            f"{train.origin} must have a row to train on",
            "0 rows with a target",
            "Check the file, data.clean and data.split",
        )
    if "test" in frames and frames["test"].num_rows == 0:
        notes.append("there is no row to test on")
        del frames["test"]
    if "valid" not in frames or frames["valid"].num_rows == 0:
        notes.append("there is no row to watch training on: the training rows are used, so no figure shows overfitting")
        frames["valid"], rows["valid"] = train, rows["train"]
    return Splits(
        train=train,
        valid=frames["valid"],
        test=frames.get("test"),
        notes=tuple(dict.fromkeys(notes)),
        rows={name: Marked.of(rows[name]) for name in frames},
    )
