"""A first recipe for data that nobody has described yet: valid as it is, and worth keeping."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ceiba.base.yaml import write_yaml
from ceiba.clean import CLEAN
from ceiba.prepare.cautions import new_labels
from ceiba.prepare.cleaning import clean_frame
from ceiba.prepare.profile import ColumnProfile, Profile, profile
from ceiba.prepare.show import number
from ceiba.prepare.summary import summarize
from ceiba.read import Frame, ReadSpec, open_frame

EPOCHS = 10
BATCH_ROWS = 256
MOST_EPOCH_ROWS = 20_000
"""Below it, more epochs are suggested."""
SMALL_EPOCHS = 30
COMMENT_AT = 44
MOST_WIDTH = 110
FLOW_SIGNS = ",[]{}:#&*!|>%@`"
SUFFIXES = (".", ",", ";", " ")
"""Endings that labels have in one file and lack in another."""


def draft(
    data: str,
    targets: Sequence[str] = (),
    test: str | None = None,
    folder: Path = Path(),
    options: ReadSpec | None = None,
) -> tuple[Profile, str]:
    """Open data, profile them and draft the recipe that goes into `folder`.

    Raises: DataError for what cannot be read, and for a target that is no column.
    """
    reading = options or ReadSpec()
    frame = open_frame(data, reading)
    others = {} if test is None else {"test": open_frame(test, reading)}
    clean = suggest_cleaning(frame, others.get("test"), targets)
    operations = [_operation(one) for one in clean]
    frame = clean_frame(frame, operations)
    others = {name: clean_frame(other, operations) for name, other in others.items()}
    found = profile(frame, targets, others)
    return found, draft_recipe({"train": data, "test": test}, reading, found, clean, folder)


def _operation(written: Mapping[str, Any]) -> Any:
    (name, columns), *_ = written.items()
    return CLEAN[name].model_validate({"columns": columns})


def suggest_cleaning(train: Frame, test: Frame | None, targets: Sequence[str]) -> list[dict[str, Any]]:
    """What makes the test rows like the training rows: an ending taken off labels, columns of text joined into one."""
    found: list[dict[str, Any]] = []
    if test is None:
        return found
    extra = [name for name in _texts(test) if name not in train.names]
    lacking = [name for name in _texts(train) if name not in test.names]
    if len(lacking) == 1 and len(extra) > 1:
        found.append({"join": {lacking[0]: extra}})
    for name in targets:
        if name not in _texts(train) or name not in test.names:
            continue
        summary = summarize(train, (name,))[name]
        unseen, known = new_labels(test, name, summary), {str(value) for value in summary.counts}
        for ending in SUFFIXES:
            if unseen and all(label.endswith(ending) and label.removesuffix(ending) in known for label in unseen):
                found.append({"strip_suffix": {name: ending}})
                break
    return found


def _texts(frame: Frame) -> list[str]:
    return [one.name for one in frame.schema if pa.types.is_string(one.type)]


def draft_recipe(
    data: Mapping[str, str | None],
    options: ReadSpec,
    profile: Profile,
    clean: Sequence[Mapping[str, Any]] = (),
    folder: Path = Path(),
) -> str:
    """The text of a recipe: every column's kind written out, with what was found beside it.

    Paths are written as seen from `folder`. Without a target the outputs are left to be named.
    """
    told: dict[str, Any] = {name: _seen_from(folder, path) for name, path in data.items() if path is not None}
    told |= options.model_dump(mode="json", exclude_defaults=True)
    if clean:
        told["clean"] = [dict(one) for one in clean]
    ids = [column.name for column in profile.columns if column.role == "left out" and column.distinct > 1]
    if ids:
        told["ids"] = ids
    lines = ["data:", *_indented(told)]
    lines += ["inputs:", *(_line(column) for column in profile.columns if column.role == "input")]
    lines += ["outputs:"] + [_line(column) for column in profile.columns if column.role == "target"]
    rows = profile.rows["train"]
    epochs = EPOCHS if rows > MOST_EPOCH_ROWS else SMALL_EPOCHS
    lines += ["model:", "  dim: 128", "train:", f"  epochs: {epochs}", f"  batch_rows: {BATCH_ROWS}"]
    return "\n".join(lines) + "\n"


def _seen_from(folder: Path, path: str) -> str:
    if "://" in path:
        return path
    return Path(os.path.relpath(path, folder)).as_posix()


def _indented(value: Mapping[str, Any]) -> list[str]:
    """Two levels written in lines, what is below in brackets, as a person writes it."""
    lines: list[str] = []
    for name, one in value.items():
        line = f"  {_scalar(name)}: "
        for piece in _pieces(one):
            if len(line) + len(piece) > MOST_WIDTH and line.strip():
                lines.append(line.rstrip())
                line = "    "
            line += piece
        lines.append(line.rstrip())
    return lines


def _pieces(value: Any) -> list[str]:
    """A value in YAML's flow form, in pieces between which a line may end."""
    if isinstance(value, Mapping):
        inner = [f"{_scalar(name)}: {''.join(_pieces(one)).strip()}" for name, one in value.items()]
        return ["{" + ", ".join(inner) + "}"]
    if isinstance(value, list | tuple):
        inner = ["".join(_pieces(one)).strip() for one in value]
        return ["[" + "".join(inner[:1]) + (", " if len(inner) > 1 else "]"), *_ended(inner[1:])]
    return [_scalar(value)]


def _ended(items: Sequence[str]) -> list[str]:
    return [f"{one}{',' if place < len(items) else ']'} " for place, one in enumerate(items, 1)]


def _scalar(value: Any) -> str:
    text = write_yaml([value]).removeprefix("- ").strip()
    is_plain = text[:1] not in "'\"" and "\n" not in text and any(sign.isalnum() for sign in text)
    return text if is_plain and not set(text) & set(FLOW_SIGNS) else json.dumps(value, ensure_ascii=False)


def _line(column: ColumnProfile) -> str:
    text = f"  {_scalar(column.name)}: {column.kind}"
    return f"{text.ljust(COMMENT_AT)}# {_remark(column)}"


def _remark(column: ColumnProfile) -> str:
    """What was found in a column, in a few words."""
    told = []
    if column.kind in ("number", "date") and column.low is not None:
        told.append(f"{number(column.low)} to {number(column.high)}")
    elif column.kind in ("category", "binary", "set"):
        told.append(f"{column.distinct} values")
    elif column.kind == "text" and column.words is not None:
        told.append(f"{column.words:.0f} words on average")
    if column.missing:
        told.append(f"{column.missing} missing")
    return ", ".join(told) or column.kind
