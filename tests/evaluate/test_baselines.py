"""Baselines: what they are, that they learn, and what they do where there is nothing to learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from ceiba.evaluate import fit_baselines, quick
from ceiba.evaluate.inputs import as_texts, fit_text, is_chinese, pooled
from ceiba.fields import ImageSpec, TextSpec
from ceiba.read import Frame, open_frame

Fitted = Callable[..., tuple[Any, Any]]


def table(rows: int, seed: int = 0) -> Frame:
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    word = np.array(["a", "b", "c"])[random.integers(0, 3, rows)]
    signal = x + (word == "b") * 1.5
    return open_frame(pa.table({
        "x": pa.array(x, mask=random.random(rows) < 0.1), "word": word,
        "yes": np.where(signal + random.normal(size=rows) * 0.3 > 0.5, "yes", "no"),
        "which": np.array(["l", "m", "h"])[np.digitize(signal, [0, 1])], "size": signal * 1000 + 5000,
    }))  # fmt: skip


INPUTS = {"x": "number", "word": "category"}


@pytest.mark.parametrize(("target", "kind", "metric"), [
    ("yes", "binary", "accuracy"), ("which", "category", "accuracy"), ("size", "number", "r2"),
])  # fmt: skip
def test_tables_are_learnt(fitted: Fitted, target: str, kind: str, metric: str) -> None:
    train, test = table(600), table(300, seed=1)
    fields, answers = fitted(train, INPUTS, {target: kind})
    figures = fit_baselines(train, fields, answers, 0).figures(test)[target]
    assert figures["quick"][metric]["value"] > 0.75
    assert figures["constant"][metric]["value"] < 0.7


def test_the_constant_is_what_it_says(fitted: Fitted) -> None:
    train = table(300)
    fields, answers = fitted(train, INPUTS, {"yes": "binary", "which": "category", "size": "number"})
    baselines = fit_baselines(train, fields, answers, 0)
    columns = train.to_table()
    scores = baselines.scores(table(7))["constant"]
    assert scores["size"] == pytest.approx(np.full(7, np.mean(columns["size"].to_numpy())), rel=1e-5)
    assert scores["yes"] == pytest.approx(np.full(7, np.mean(np.array(columns["yes"].to_pylist()) == "yes")))
    assert scores["which"].shape == (7, 3)
    assert scores["which"].sum(axis=1) == pytest.approx(np.ones(7))
    which = columns["which"].to_pylist()
    assert baselines.about()["which"]["constant"]["model"] == f"always {max('lmh', key=which.count)}"


def test_no_rows_and_one_row_are_answered(fitted: Fitted) -> None:
    train = table(60)
    fields, answers = fitted(train, INPUTS, {"yes": "binary", "which": "category", "size": "number"})
    baselines = fit_baselines(train, fields, answers, 0)
    for rows in (0, 1):
        for scores in baselines.scores(table(rows)).values():
            assert {name: len(score) for name, score in scores.items()} == dict.fromkeys(answers, rows)
    assert baselines.figures(table(0))["yes"] == {"constant": {}, "quick": {}}


def test_training_rows_that_agree_leave_only_the_constant(fitted: Fitted) -> None:
    fields, answers = fitted(table(50), INPUTS, {"yes": "binary"})
    same = table(50).to_table().set_column(2, "yes", pa.array(["yes"] * 50))
    baselines = fit_baselines(open_frame(same), fields, answers, 0)
    assert set(baselines.scores(table(5))) == {"constant"}
    unknown = same.set_column(2, "yes", pa.nulls(50, pa.string()))
    assert fit_baselines(open_frame(unknown), fields, answers, 0).constant == {}


def test_a_class_that_training_lacks_has_no_probability(fitted: Fitted) -> None:
    train = table(300)
    fields, answers = fitted(train, INPUTS, {"which": "category"})
    lacking = train.take(np.flatnonzero(np.array(train.to_table()["which"].to_pylist()) != "h"))
    scores = fit_baselines(lacking, fields, answers, 0).scores(table(20))["quick"]["which"]
    assert scores.shape == (20, 3)
    assert (scores[:, answers["which"].labels.index("h")] == 0).all()


def test_many_rows_are_capped_and_the_user_is_told(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "MOST_TABLE_ROWS", 100)
    train = table(150)
    fields, answers = fitted(train, INPUTS, {"yes": "binary"})
    baselines = fit_baselines(train, fields, answers, 0)
    assert baselines.quick["yes"].rows == 100
    assert baselines.notes == ("The quick baseline of 'yes' learnt from 100 of 150 training rows",)


def test_the_seed_fixes_which_rows_are_learnt(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "MOST_TABLE_ROWS", 100)
    train = table(300)
    fields, answers = fitted(train, INPUTS, {"yes": "binary"})
    first, again, other = (
        fit_baselines(train, fields, answers, seed).scores(table(50))["quick"]["yes"] for seed in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_trees_get_numbers_with_holes_and_categories_as_such(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    train = table(200)
    fields, answers = fitted(train, INPUTS, {"yes": "binary"})
    seen = {}
    learn = HistGradientBoostingClassifier.fit

    def spy(self: Any, matrix: Any, truth: Any) -> Any:
        seen["matrix"], seen["categories"] = matrix, self.categorical_features
        return learn(self, matrix, truth)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", spy)
    fit_baselines(train, fields, answers, 0)
    assert seen["categories"] == [False, True]
    holes = train.to_table()["x"].is_null().to_numpy()
    assert (np.isnan(seen["matrix"][:, 0]) == holes).all()


def test_endless_and_absent_numbers_are_missing_ones(fitted: Fitted) -> None:
    values = [np.inf, 1e300, -np.inf, np.nan, 5.0] * 20
    columns = {"x": values, "none": [np.nan] * 100, "yes": ["a", "b", "a", "a", "b"] * 20}
    fields, answers = fitted(
        open_frame({**columns, "x": [1.0, 2.0] * 50, "none": [1.0] * 100}),
        {"x": "number", "none": "number"},
        {"yes": "binary"},
    )
    figures = fit_baselines(open_frame(columns), fields, answers).figures(open_frame(columns))
    assert figures["yes"]["quick"]["accuracy"]["value"] == 1


def test_a_linear_model_that_has_not_settled_is_quiet(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "LINEAR_STEPS", 1)
    frame = open_frame({"t": ["good day", "bad day"] * 30, "yes": ["a", "b"] * 30})
    fields, answers = fitted(frame, {"t": TextSpec()}, {"yes": "binary"})
    assert "quick" in fit_baselines(frame, fields, answers).scores(frame)


def test_words_or_characters() -> None:
    chinese = pa.record_batch({"t": ["酒店 很好", "房间 很差", None]})
    english = pa.record_batch({"t": ["a good hotel", "a bad good room", None]})
    assert is_chinese(as_texts(chinese["t"]))
    assert not is_chinese(as_texts(english["t"]))
    assert not is_chinese([])
    assert "characters" in fit_text("t", chinese)[0].text
    part, matrix = fit_text("t", english)
    assert "words" in part.text
    assert matrix.shape == part.transform(english).shape == (3, 1)
    assert fit_text("t", pa.record_batch({"t": ["", None]}))[1].shape[0] == 2


def test_texts_images_and_labels_are_learnt(fitted: Fitted) -> None:
    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, 240)
    pixels = random.integers(0, 60, (240, 6, 6), dtype=np.uint8)
    pixels[np.arange(240), kinds] += 180
    lists = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 36)
    schema = pa.schema([
        pa.field("picture", lists.type, metadata={"shape": "6,6,1"}), ("words", pa.string()), ("x", pa.float64()),
        ("which", pa.string()), ("tags", pa.list_(pa.string())),
    ])  # fmt: skip
    columns = [
        lists, pa.array([f"some {'abc'[kind]}{kind} words" for kind in kinds]), pa.array(random.normal(size=240)),
        pa.array(["lmh"[kind] for kind in kinds]),
        pa.array([["odd", "all"] if kind == 1 else ["all"] for kind in kinds]),
    ]  # fmt: skip
    frame = open_frame(pa.table(columns, schema=schema))
    train, test = frame.take(np.arange(160)), frame.take(np.arange(160, 240))
    specs = {"picture": ImageSpec(), "words": TextSpec(), "x": "number"}
    for inputs in (["picture"], ["words"], ["picture", "words"], ["picture", "words", "x"]):
        fields, answers = fitted(train, {name: specs[name] for name in inputs}, {"which": "category", "tags": "set"})
        baselines = fit_baselines(train, fields, answers, 0)
        figures = baselines.figures(test)
        assert figures["which"]["quick"]["accuracy"]["value"] > 0.95, inputs
        assert figures["tags"]["quick"]["f1_micro"]["value"] > 0.95, inputs
        assert ("gradient boosting" in baselines.quick["which"].text) == ("x" in inputs)
        assert baselines.quick["which"].inputs is baselines.quick["tags"].inputs


def test_pixels_are_averaged_until_they_are_few() -> None:
    pixels = np.zeros((2, 64, 48, 3), np.uint8)
    pixels[1, :32] = 255
    few = pooled(pixels)
    assert few.shape[1] <= 1024
    assert few[0] == pytest.approx(np.full(few.shape[1], -1.0))
    assert few[1].mean() == pytest.approx(0, abs=0.05)
    assert pooled(np.full((1, 28, 28, 1), 255, np.uint8)).shape == (1, 784)
    assert pooled(np.zeros((0, 8, 8, 1), np.uint8)).shape == (0, 64)
