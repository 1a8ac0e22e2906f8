"""A bundle teaches another recipe: what is learnt from it, what it must have, what it cannot teach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import TABLE, parts_of

import ceiba
from ceiba.adapt import TeacherSpec, open_teacher, teach
from ceiba.answers import BinaryAnswer
from ceiba.base.errors import CeibaError, RecipeError
from ceiba.encoders import ENCODERS
from ceiba.fields import TAUGHT
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import ModelSpec, build_model
from ceiba.recipe import read_recipe
from ceiba.train.distill import soft_losses, taught_by

WRONG = 0.35
"""Share of the student's labels that are wrong; the teacher learnt from right ones."""
TEACHER: dict[str, Any] = {
    "data": {"train": "many.csv", "test": "test.csv"},
    "inputs": {"age": "number", "city": "category"},
    "outputs": {"rich": "binary", "pay": "number"},
    "model": {"table": {"type": "mlp", "width": 64, "layers": 2}},
    "train": {"epochs": 8, "batch_rows": 64, "optimizer": {"lr": 0.01}},
    "evaluate": {"baselines": False},
}
SMALL: dict[str, Any] = {
    **TEACHER,
    "data": {"train": "few.csv", "valid": "many.csv", "test": "test.csv"},
    "inputs": {"age": {"type": "number", "normalize": "minmax"}, "city": "category"},  # columns of its own making
    "model": {"dim": 16, "table": {"type": "mlp", "width": 32, "layers": 1}},
    "train": {"epochs": 60, "batch_rows": 32, "optimizer": {"lr": 0.03}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, some with wrong labels, and a teacher."""
    place, random = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    for name, rows, wrong in (("many.csv", 1500, 0.0), ("few.csv", 150, WRONG), ("test.csv", 600, 0.0)):
        lines = ["age,city,rich,pay"]
        for _ in range(rows):
            age, city = int(random.integers(18, 80)), random.choice(["Rome", "Oslo"])
            is_rich = (age + 20 * (city == "Oslo") > 55) != (random.random() < wrong)
            lines.append(f"{age},{city},{'yes' if is_rich else 'no'},{age * 10 + random.normal() * 300 * (wrong > 0)}")
        (place / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    ceiba.train(rooted(TEACHER, place), out=place / "teacher")
    return place


def rooted(recipe: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    data = {name: str(folder / path) for name, path in recipe["data"].items()}
    return {**recipe, **more, "data": data}


def figures(recipe: dict[str, Any], out: Path) -> tuple[float, float]:
    measured = ceiba.train(recipe, out=out).report["metrics"]["test"]
    return measured["rich"]["accuracy"]["value"], measured["pay"]["rmse"]["value"]


def test_a_teacher_that_knows_better_helps(folder: Path, tmp_path: Path) -> None:
    alone, alone_off = figures(rooted(SMALL, folder), tmp_path / "alone")
    teacher = {"bundle": str(folder / "teacher"), "share": 1.0}
    taught, taught_off = figures(rooted(SMALL, folder, teacher=teacher), tmp_path / "taught")
    assert taught > alone + 0.03
    assert taught_off < 0.8 * alone_off
    again = read_recipe(tmp_path / "taught" / "bundle" / "recipe.yaml")  # seen from the bundle, with all its options
    assert again.teacher is not None
    assert (Path(again.teacher.bundle) / "bundle").is_dir()
    assert (again.teacher.share, again.teacher.temperature) == (1.0, 2.0)


def test_rows_that_carry_the_answers_are_learnt_from_as_from_the_teacher_itself() -> None:
    spec = ModelSpec(dim=8, encoders={"in": ENCODERS["table"]["mlp"](width=8, dropout=0.0)},
                     heads={"y": HEADS["classes"]()})  # fmt: skip
    layouts, outputs = {"in": TABLE}, {"y": OutputLayout("classes", 3)}
    teacher, model = build_model(spec, layouts, outputs, 1), build_model(spec, layouts, outputs, 2)
    inputs = {f"in.{part}": value for part, value in parts_of(TABLE).items()}
    targets = {"y": torch.tensor([0, 1, 2, 0, 1])}
    online, offline = taught_by(model, teacher), taught_by(model, None)
    carried = {**inputs, f"y.{TAUGHT}": teacher.answers(inputs)["y"].detach()}
    losses = [one.train().score(one(given), targets)[0] for one, given in ((online, inputs), (offline, carried))]
    torch.testing.assert_close(*losses)
    losses[1].backward()
    assert all(weight.grad is not None for weight in model.parameters())  # the student's weights are the model's


def test_the_teacher_weighs_rows_as_the_targets_do_also_in_parts() -> None:
    spec = ModelSpec(dim=8, encoders={"in": ENCODERS["table"]["mlp"](width=8, dropout=0.0)},
                     heads={"y": HEADS["classes"]()})  # fmt: skip
    model = build_model(spec, {"in": TABLE}, {"y": OutputLayout("classes", 3)}, 2)
    student = taught_by(model, None, temperature=3.0, share=1.0).train()
    inputs, targets = {f"in.{part}": value for part, value in parts_of(TABLE).items()}, torch.tensor([0, 1, -1, 0, 1])
    inputs[f"y.{TAUGHT}"], weight = torch.randn(5, 3), torch.tensor([1.0, 2.0, 5.0, 0.0, 0.5])
    logits = student(inputs)
    each = soft_losses("classes", logits["y"], inputs[f"y.{TAUGHT}"], 3.0)
    expected = (each * torch.tensor([1.0, 2.0, 0.0, 0.0, 0.5])).sum() / 3.5  # a row without a target weighs nothing
    torch.testing.assert_close(student.score(logits, {"y": targets}, weight)[0], expected)
    part = student.score(logits, {"y": targets}, weight, totals={"y": torch.tensor(7.0)})[0]
    torch.testing.assert_close(part, expected / 2)


def test_a_teacher_of_other_labels_is_refused(folder: Path) -> None:
    bundle, predictor = open_teacher(TeacherSpec(bundle=str(folder / "teacher")))
    answer = predictor.answers["rich"]
    assert isinstance(answer, BinaryAnswer)
    turned: Any = {"rich": replace(answer, labels=answer.labels[::-1])}
    with pytest.raises(RecipeError, match="'rich' in the labels and the scale"):
        teach(bundle, predictor, Any, Any, turned)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"outputs": {"city": "category"}, "inputs": {"age": "number"}}, "must answer 'city' as classes"),
        ({"outputs": {"rich": "category"}}, "must answer 'rich' as classes. Got binary"),
        ({"train": {"augment": {"mixup": 0.2}}}, "needs rows as they are"),
        ({"teacher": "nowhere"}, "nowhere"),
        ({"teacher": {"bundle": "x", "temperature": 0}}, "temperature"),
    ],
)
def test_what_a_teacher_cannot_teach(folder: Path, tmp_path: Path, more: dict[str, Any], says: str) -> None:
    recipe = rooted(SMALL, folder, **{"teacher": str(folder / "teacher"), **more})
    with pytest.raises(CeibaError, match=says):
        ceiba.train(recipe, out=tmp_path / "run")


def test_a_bare_word_is_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("data: {train: a.csv}\noutputs: {y: binary}\nteacher: large\n")
    (tmp_path / "large").mkdir()
    recipe = read_recipe(tmp_path / "small.yaml")
    assert recipe.teacher is not None
    assert recipe.teacher.bundle == str(tmp_path / "large")
    with pytest.raises(RecipeError, match="temprature"):
        read_recipe({"data": {"train": "a"}, "outputs": {"y": "binary"}, "teacher": {"bundle": "a", "temprature": 1}})
