"""What a person should know about data before training on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ceiba.base.errors import listed
from ceiba.prepare.duplicates import find_duplicates
from ceiba.prepare.kinds import LEFT_OUT
from ceiba.prepare.leaks import find_leaks
from ceiba.prepare.summary import Summary, is_number, summarize
from ceiba.read import Frame

HIGH_MISSING = 0.5
RARE_CLASS = 0.01
"""Share of the rows below which a class is rare."""
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Caution:
    """One thing to know before training."""

    about: str
    """leakage, duplicates, missing, imbalance, left out, labels or types."""
    text: str
    column: str | None = None


def shown(value: object) -> Any:
    """A value as JSON and a person's eye can take it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    text = f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def leakage(sample: pa.Table, kinds: Mapping[str, str], targets: Sequence[str]) -> list[Caution]:
    """Inputs that know a target by themselves."""
    found = []
    inputs = {name: kind for name, kind in kinds.items() if name not in targets}
    for target in targets:
        if target not in sample.schema.names or kinds[target] in ("set", "vector", "date"):
            continue
        for name, share in find_leaks(sample, {**inputs, target: kinds[target]}, target).items():
            text = (
                f"'{name}' alone tells '{target}' almost perfectly ({share:.1%} is left open): is it known beforehand?"
            )
            found.append(Caution("leakage", text, name))
    return found


def duplicates(parts: Mapping[str, Frame], kinds: Mapping[str, str], targets: Sequence[str]) -> list[Caution]:
    """Rows that repeat inputs, within a part and across parts."""
    inputs = [name for name, kind in kinds.items() if kind != LEFT_OUT and name not in targets]
    if not inputs:
        return []
    counts = find_duplicates(parts, inputs)
    about = "" if counts.is_exact else "about "
    found = []
    for name, count in counts.within.items():
        if count:
            text = f"{about}{count} of {parts[name].num_rows} rows of {name} repeat the inputs of an earlier row"
            found.append(Caution("duplicates", text))
    for name, count in counts.across.items():
        if count:
            text = f"{about}{count} of {parts[name].num_rows} rows of {name} have the inputs of a training row"
            found.append(Caution("duplicates", f"{text}: figures on them are too good"))
    return found


def of_column(summary: Summary, kinds: Mapping[str, str], targets: Sequence[str]) -> list[Caution]:
    """What one column shows by itself."""
    name, found = summary.name, []
    if summary.rows and summary.missing > HIGH_MISSING * summary.rows:
        text = f"'{name}' is missing in {summary.missing / summary.rows:.0%} of the rows"
        found.append(Caution("missing", text, name))
    if name in targets and kinds[name] in ("binary", "category"):
        rare = [(value, count) for value, count in summary.counts.items() if count < RARE_CLASS * summary.known]
        if rare:
            classes = listed(f"'{shown(value)}' ({count})" for value, count in sorted(rare, key=lambda item: item[1]))
            text = f"target '{name}' has classes with under {RARE_CLASS:.0%} of the rows: {classes}"
            found.append(Caution("imbalance", text, name))
    return found


def across(
    parts: Mapping[str, Frame], summaries: Mapping[str, Summary], kinds: Mapping[str, str], targets: Sequence[str]
) -> list[Caution]:
    """Columns that other parts lack or type otherwise, and labels that training never shows."""
    found = []
    for part, frame in list(parts.items())[1:]:
        for name, summary in summaries.items():
            if kinds[name] == LEFT_OUT:
                continue
            if name not in frame.names:
                found.append(Caution("types", f"{part} lacks the column '{name}'", name))
            elif is_number(summary.type) != is_number(frame.schema.field(name).type):
                got = f"{summary.type} in train and {frame.schema.field(name).type} in {part}"
                found.append(Caution("types", f"'{name}' is {got}", name))
        for name in targets:
            if name in frame.names and kinds[name] in ("binary", "category"):
                unseen = new_labels(frame, name, summaries[name])
                if unseen:
                    text = f"{part} has labels of '{name}' that training never shows: {listed(map(repr, unseen))}"
                    found.append(Caution("labels", text, name))
    return found


def new_labels(frame: Frame, name: str, summary: Summary) -> list[str]:
    """Labels of a column that the summary of the training rows does not have; none where it has too many to be kept."""
    if not summary.is_exact:
        return []
    known = {str(value) for value in summary.counts}
    return [str(value) for value in summarize(frame, (name,))[name].counts if str(value) not in known]
