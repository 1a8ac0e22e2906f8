"""A strict recipe: every fault is one line with file, line, value and what to do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ceiba.base.errors import RecipeError
from ceiba.recipe import Recipe, check_recipe, json_schema, read_recipe

GOOD = """
data:
  train: people.csv
  split: {train: 0.8}
inputs:
  age: number
  work: {type: category, min_rows: 2}
  about: {type: text, tokenizer: word, encoder: {type: lstm}}
outputs:
  income: {type: binary, head: {type: binary, class_weights: balanced}, weight: 2.0}
model:
  trunk: mlp
train:
  epochs: 3
  optimizer: {lr: 1e-3}
"""

FAULTS = [
    ("train:\n  epochs: 3", "train:\n  epoch: 3", "recipe.yaml:14 train has no key 'epoch'. Did you mean 'epochs'?"),
    ("min_rows: 2", "min_row: 2", "recipe.yaml:7 inputs.work has no key 'min_row'. Did you mean 'min_rows'?"),
    ("age: number", "age: numbr", "recipe.yaml:6 inputs.age has no type 'numbr'. Did you mean 'number'?"),
    ("{type: lstm}", "{type: lstn}", "recipe.yaml:8 inputs.about.encoder has no type 'lstn'. Did you mean 'lstm'?"),
    ("{type: lstm}", "{type: lstm, layer: 1}",
     "recipe.yaml:8 inputs.about.encoder has no key 'layer'. Did you mean 'layers'?"),
    ("epochs: 3", "epochs: three", "recipe.yaml:14 train.epochs must be a valid integer"),
    ("epochs: 3", "epochs: 0", "recipe.yaml:14 train.epochs must be greater than or equal to 1. Got 0."),
    ("trunk: mlp", "trunk: mpl", "recipe.yaml:12 model.trunk has no type 'mpl'. Did you mean 'mlp'?"),
    ("weight: 2.0", "weight: -1", "recipe.yaml:10 outputs.income.weight must be greater than or equal to 0. Got -1."),
    ("age: number", "income: number",
     "recipe.yaml:2 outputs must not be inputs too. Got income. Remove them from inputs."),
    ("data:", "date:", "recipe.yaml:2 the recipe has no key 'date'. Did you mean 'data'?"),
    ("  train: people.csv\n", "", "recipe.yaml:2 data"),
    ("{train: 0.8}", "{train: 0.8, valid: 0.9}", "add up to 1"),
    ("age: number", "age: {type: number, encoder: lstm}", "inputs.age"),
    ("age: number", "age: [number]", "inputs.age must be a kind or a mapping with a type"),
    ("optimizer: {lr: 1e-3}", "optimizer: {lr: no}",
     "recipe.yaml:15 train.optimizer.lr must be a valid number. Got 'no'."),
]  # fmt: skip


def read(text: str, folder: Path, *overrides: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path, overrides)


def test_a_good_recipe_is_read_and_its_paths_are_taken_from_its_folder(tmp_path: Path) -> None:
    recipe = read(GOOD, tmp_path)
    assert recipe.inputs is not None
    assert recipe.inputs["about"].encoder.type == "lstm"
    assert recipe.outputs["income"].head.type == "binary"
    assert recipe.train.optimizer.type == "adamw"
    assert recipe.train.optimizer.lr == 1e-3
    assert recipe.data.train == str(tmp_path / "people.csv")
    assert recipe.title == "recipe"


def test_a_head_without_a_type_is_the_one_of_its_kind(tmp_path: Path) -> None:
    text = GOOD.replace("{type: binary, class_weights: balanced}", "{class_weights: balanced}")
    assert read(text, tmp_path).outputs == read(GOOD, tmp_path).outputs


def test_data_may_have_another_root(tmp_path: Path) -> None:
    recipe = read(GOOD.replace("  train: people", "  root: elsewhere\n  train: people"), tmp_path)
    assert recipe.data.train == str(tmp_path / "elsewhere/people.csv")
    assert read(GOOD, tmp_path, "data.root=/data").data.train == "/data/people.csv"


@pytest.mark.parametrize(("old", "new", "message"), FAULTS, ids=[message[:60] for _, _, message in FAULTS])
def test_a_fault_is_told_with_its_line_and_the_way_out(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(RecipeError) as caught:
        read(GOOD.replace(old, new, 1), tmp_path)
    text = str(caught.value).replace(f"{tmp_path}/", "")
    assert message in text
    assert "\n" not in text
    assert "pydantic" not in text


def test_what_is_written_out_reads_back_equal(tmp_path: Path) -> None:
    recipe = read(GOOD, tmp_path)
    again: dict[str, Any] = yaml.safe_load(recipe.to_yaml())
    assert check_recipe(again, {}, "again") == recipe
    assert read(recipe.to_yaml(), tmp_path).identity == recipe.identity


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("train.epochs=7", lambda recipe: recipe.train.epochs == 7),
        ("model.trunk.type=none", lambda recipe: recipe.model.trunk.type == "none"),
        ("train.optimizer={type: sgd, lr: 0.5}", lambda recipe: recipe.train.optimizer.type == "sgd"),
        ("inputs.age.clip=[0, 9]", lambda recipe: recipe.inputs["age"].field.clip == (0, 9)),
        ("evaluate.slices=[work]", lambda recipe: recipe.evaluate.slices == ("work",)),
    ],
)
def test_set_overrides_any_key(tmp_path: Path, override: str, found: Any) -> None:
    assert found(read(GOOD, tmp_path, override))


@pytest.mark.parametrize("override", ["train.epochs", "train.epoch=1", "train.epochs=no"])
def test_a_wrong_override_is_an_error(tmp_path: Path, override: str) -> None:
    with pytest.raises(RecipeError):
        read(GOOD, tmp_path, override)


@pytest.mark.parametrize("text", ["", "- a", "outputs: {}\ndata: {train: x.csv}", "a: ["])
def test_what_is_no_recipe_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError):
        read(text, tmp_path)


def test_a_missing_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        read_recipe(tmp_path / "none.yaml")


def test_the_schema_describes_columns_and_encoders() -> None:
    schema = json_schema()
    text = str(schema)
    assert {"data", "inputs", "outputs", "model", "train", "evaluate"} <= set(schema["properties"])
    for word in ("min_rows", "bidirectional", "class_weights", "patience"):
        assert word in text, word


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_is_valid(path: Path) -> None:
    assert read_recipe(path).title == path.stem
