"""docs/recipe.md names every key of every spec, with its default, and no other: the tables cannot rot."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ceiba.adapt import ADAPT, TeacherSpec
from ceiba.base.spec import Spec
from ceiba.batches import AugmentSpec
from ceiba.clean import CLEAN
from ceiba.encoders import ENCODERS
from ceiba.encoders.numbers import NUMBERS
from ceiba.evaluate import EvaluateSpec
from ceiba.fields import FIELDS
from ceiba.fields.bins import Bins
from ceiba.fields.ngrams import NgramSpec
from ceiba.fields.tokenizers import TOKENIZERS
from ceiba.heads import HEADS
from ceiba.layers.positions import POSITIONS, SCALINGS
from ceiba.prepare import DataSpec
from ceiba.prepare.spec import SplitSpec
from ceiba.recipe import InputSpec, NetworkSpec, OutputSpec, Recipe, TuneSpec, json_schema
from ceiba.recipe.tune import KNOBS
from ceiba.train import TrainSpec
from ceiba.train.optimizers import OPTIMIZERS
from ceiba.train.schedules import SCHEDULES
from ceiba.train.spec import CheckpointSpec, DivergenceSpec
from ceiba.trunks import TRUNKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipe.md"
SECTIONS: dict[str, type[Spec] | Mapping[str, type[Spec]]] = {
    "Top": Recipe,
    "`data`": DataSpec,
    "`data.split`": SplitSpec,
    "`data.clean`": CLEAN,
    "`inputs`": InputSpec,
    "`outputs`": OutputSpec,
    "Kinds": FIELDS,
    "`bins`": Bins,
    "`tokenizer`": {**TOKENIZERS, "ngrams": NgramSpec},
    "`adapt`": ADAPT,
    "`teacher`": TeacherSpec,
    "`model`": NetworkSpec,
    "Table encoders": ENCODERS["table"],
    "`numbers`": NUMBERS,
    "Text encoders": ENCODERS["text"],
    "Words encoders": ENCODERS["words"],
    "Image encoders": ENCODERS["image"],
    "`positions`": POSITIONS,
    "`scaling`": SCALINGS,
    "`trunk`": TRUNKS,
    "`head`": HEADS,
    "`train`": TrainSpec,
    "`train.optimizer`": OPTIMIZERS,
    "`train.schedule`": SCHEDULES,
    "`train.augment`": AugmentSpec,
    "`train.divergence`": DivergenceSpec,
    "`train.checkpoint`": CheckpointSpec,
    "`evaluate`": EvaluateSpec,
    "`tune`": TuneSpec,
    "`tune.space`": KNOBS,
}
NOT_WRITTEN = {"type", "field"}
"""The type is the first column of its table; a column's field is written flat."""


def keys(spec: type[Spec]) -> dict[str, str]:
    """Key → its default, as the page writes it."""
    return {one.alias or name: default(one) for name, one in spec.model_fields.items() if name not in NOT_WRITTEN}


def default(one: Any) -> str:
    """The third column of a table."""
    if one.is_required():
        return "needed"
    value = one.default
    if isinstance(value, Spec):
        return f"`{value.type}`" if hasattr(value, "type") else "see there"
    if value is None:
        return "-"
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def written() -> dict[str, dict[str, dict[str, str]]]:
    """Section → type (or "") → key → default, read from the page."""
    sections: dict[str, dict[str, dict[str, str]]] = {}
    section = kind = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section, kind = line.removeprefix("## "), ""
        cells = [cell.strip() for cell in line.split("|")][1:-1]
        if not line.startswith("|") or cells[0] in ("key", "type") or set(line) <= set("|- "):
            continue
        found = sections.setdefault(section, {})
        if len(cells) == 3:
            found.setdefault("", {})[cells[0].strip("`")] = cells[1]
        elif cells[0]:
            kind = cells[0].strip("`")
            found[kind] = {}
        else:
            found[kind][cells[1].strip("`")] = cells[2]
    return sections


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_names_every_key_and_default(section: str) -> None:
    specs = SECTIONS[section]
    expected = {"": keys(specs)} if isinstance(specs, type) else {name: keys(spec) for name, spec in specs.items()}
    assert written().get(section) == expected


def test_every_spec_of_the_schema_is_on_the_page() -> None:
    covered = {
        spec.__name__
        for specs in SECTIONS.values()
        for spec in ([specs] if isinstance(specs, type) else specs.values())
    }
    assert {name.split("__")[-1] for name in json_schema()["$defs"]} <= covered
