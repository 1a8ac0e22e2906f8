"""Splits: every row in one part, classes alike, groups whole, time in order, and nothing lost in silence."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ceiba.base.errors import DataError, RecipeError
from ceiba.prepare import DataSpec, Splits, assign, fold_splits, load_splits


def table(rows: int, classes: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    return {"row": list(range(rows)), "y": [f"c{int(one)}" for one in rng.integers(0, classes, rows)]}


def spec(train: Any, **changes: Any) -> DataSpec:
    return DataSpec.model_validate({"train": train, **changes})


def rows_of(splits: Splits, column: str = "row") -> dict[str, list[Any]]:
    return {name: frame.to_table()[column].to_pylist() for name, frame in splits.parts().items()}


def test_one_file_is_split_in_three_without_loss_or_overlap() -> None:
    splits = load_splits(spec(table(1000)), ["y"])
    found = rows_of(splits)
    assert sorted(found["train"] + found["valid"] + found["test"]) == list(range(1000))
    assert (len(found["valid"]), len(found["test"])) == (100, 100)
    assert all(part == sorted(part) for part in found.values())
    assert {name: rows.positions().tolist() for name, rows in splits.rows.items()} == found
    assert "every class of 'y' alike" in splits.notes[-1]
    assert "train 800, valid 100, test 100" in splits.notes[-1]


@pytest.mark.parametrize("classes", [2, 7])
def test_classes_are_alike_in_each_part(classes: int) -> None:
    splits = load_splits(spec(table(5000, classes)), ["y"])
    shares = {
        name: np.unique(labels, return_counts=True)[1] / len(labels) for name, labels in rows_of(splits, "y").items()
    }
    for share in shares.values():
        assert np.abs(share - shares["train"]).max() < 0.005


@pytest.mark.parametrize("rows", [999, 1024, 5000])
def test_rows_are_shuffled_in_blocks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assign, "BLOCK_ROWS", 64)
    given = table(rows)
    given["y"][rows // 2] = "single"
    splits = load_splits(spec(given), ["y"])
    found = rows_of(splits)
    assert sorted(chain(*found.values())) == list(range(rows))
    assert [len(part) for part in found.values()] == [rows - 2 * round(rows / 10), round(rows / 10), round(rows / 10)]
    assert rows // 2 in found["train"]
    labels = rows_of(splits, "y")
    for name in ("c0", "c1", "c2"):
        whole = given["y"].count(name) / rows
        for part in labels.values():
            assert part.count(name) / len(part) == pytest.approx(whole, abs=0.05)
    gaps = np.diff(found["test"])
    assert gaps.max() < 130  # every stretch of the file has its share
    assert len(set(gaps.tolist())) > 5  # by chance, and not every tenth row
    folds = fold_splits(spec(given, split={"folds": 4}), ["y"])
    assert sorted(chain(*(rows_of(fold)["test"] for fold in folds))) == list(range(rows))


def test_a_class_of_one_row_is_trained_on() -> None:
    labels = ["common"] * 300 + [f"rare {place}" for place in range(40)]
    for seed in range(5):
        splits = load_splits(spec({"y": labels}, split={"seed": seed}), ["y"])
        assert len(set(splits.train.to_table()["y"].to_pylist())) == 41


def test_the_seed_and_only_the_seed_decides() -> None:
    first, again, other = (load_splits(spec(table(500), split={"seed": seed}), ["y"]) for seed in (1, 1, 2))
    assert rows_of(first) == rows_of(again)
    assert rows_of(first) != rows_of(other)
    assert first.train.identity == again.train.identity != other.train.identity


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9, 10, 11])
def test_few_rows(rows: int) -> None:
    splits = load_splits(spec({"row": list(range(rows)), "x": [0.5 * one for one in range(rows)]}), ["x"])
    found = rows_of(splits)
    assert splits.train.num_rows >= 1
    used = found["train"] + found.get("test", []) + (found["valid"] if rows > 2 else [])
    assert sorted(used) == list(range(rows))
    if rows == 1:
        assert found == {"train": [0], "valid": [0]}
        assert any("no row to watch" in note for note in splits.notes)
        assert any("no row to test" in note for note in splits.notes)


def test_no_rows() -> None:
    with pytest.raises(DataError, match="a row to train on"):
        load_splits(spec({"y": pa.array([], pa.string())}), ["y"])
    with pytest.raises(DataError, match="a row to train on"):
        load_splits(spec({"y": [None, None]}), ["y"])


def test_files_of_their_own() -> None:
    train, valid, test = table(200), table(20), table(30)
    splits = load_splits(spec(train, test=test), ["y"])
    assert [len(part) for part in rows_of(splits).values()] == [180, 20, 30]
    splits = load_splits(spec(train, valid=valid), ["y"])
    assert [len(part) for part in rows_of(splits).values()] == [200, 20]
    assert splits.test is None
    splits = load_splits(spec(train, valid=valid, test=test), ["y"])
    assert [len(part) for part in rows_of(splits).values()] == [200, 20, 30]
    assert splits.rows["test"].positions().tolist() == list(range(30))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"train": 0.5}, [50, 25, 25]),
        ({"train": 0.5, "valid": 0.2}, [50, 20, 30]),
        ({"train": 0.5, "valid": 0.5}, [50, 50]),
        ({"train": 0.6, "valid": 0.2, "test": 0.2}, [60, 20, 20]),
        ({"test": 0.3}, [60, 10, 30]),
        ({"test": 0}, [90, 10]),
        ({"train": 1}, [100, 100]),
    ],
)
def test_shares(split: dict[str, Any], expected: list[int]) -> None:
    splits = load_splits(spec(table(100), split={**split, "by": "random"}), ["y"])
    assert [len(part) for part in rows_of(splits).values()] == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"split": {"train": 0.9, "valid": 0.2}},
        {"split": {"train": 0.5, "valid": 0.2, "test": 0.2}},
        {"split": {"train": 0}},
        {"split": {"valid": 1}},
        {"split": {"by": "time"}},
        {"split": {"column": "row"}},
        {"split": {"folds": 1}},
        {"split": {"by": "chance"}},
        {"test": {"y": [1]}, "split": {"test": 0.2}},
        {"valid": {"y": [1]}, "split": {"valid": 0.2}},
        {"clean": ["wipe"]},
        {"train": None},
    ],
)
def test_wrong_specs(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataSpec.model_validate({"train": {"y": [1]}, **wrong})


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    data = {"row": list(range(100)), "a": [None, 1.5] * 50, "b": ["", "x", None, None] * 25}
    splits = load_splits(spec(data, split={"by": "random"}), ["a", "b"])
    used = sorted(chain(*rows_of(splits).values()))
    assert used == [row for row in range(100) if row % 4 in (1, 3)]
    assert any("50 rows without a target" in note for note in splits.notes)
    test = {"row": [0, 1], "a": [None, float("nan")], "b": [None, "x"]}
    whole = load_splits(spec(data, valid=test, test=test), ["a", "b"])
    assert len(rows_of(whole)["train"]) == 50
    splits = load_splits(spec(data, test=test), ["a", "b"])
    assert rows_of(splits)["test"] == [1]
    assert splits.rows["test"].positions().tolist() == [1]


@pytest.mark.parametrize("form", ["number", "date", "iso", "european"])
def test_time_keeps_the_newest_for_the_test(form: str) -> None:
    rng = np.random.default_rng(0)
    days = rng.permutation(300)
    dates = np.datetime64("2020-01-01") + days
    columns: dict[str, Any] = {
        "number": days,
        "date": pa.array(dates),
        "iso": [str(one) for one in dates],
        "european": [f"{str(one)[8:]}.{str(one)[5:7]}.{str(one)[:4]}" for one in dates],
    }
    data = {"day": [int(day) for day in days], "when": columns[form]}
    found = rows_of(load_splits(spec(data, split={"by": "time", "column": "when"})), "day")
    assert max(found["train"]) < min(found["valid"])
    assert max(found["valid"]) < min(found["test"])
    assert [len(part) for part in found.values()] == [240, 30, 30]


def test_equal_times_stay_together() -> None:
    data = {"when": [1] * 50 + [2] * 45 + [3] * 5, "y": ["a", "b"] * 50}
    found = rows_of(load_splits(spec(data, split={"by": "time", "column": "when"}), ["y"]), "when")
    seen = [set(part) for part in found.values()]
    assert all(not one & other for place, one in enumerate(seen) for other in seen[place + 1 :])


@pytest.mark.parametrize("when", [["x", "y", "z"], [1.0, None, 3.0], ["2020-01-01", None, "2020-01-03"]])
def test_time_that_is_none(when: list[Any]) -> None:
    with pytest.raises(DataError, match="'when'"):
        load_splits(spec({"when": when}, split={"by": "time", "column": "when"}))


@pytest.mark.parametrize("groups", [3, 10, 200])
def test_groups_stay_whole(groups: int) -> None:
    rng = np.random.default_rng(groups)
    data = {"who": [f"user {int(one)}" for one in rng.integers(0, groups, 2000)], "y": [1.5] * 2000}
    splits = load_splits(spec(data, split={"by": "group", "column": "who"}), ["y"])
    seen = [set(part) for part in rows_of(splits, "who").values()]
    assert all(seen)
    assert len(seen) == 3
    assert sum(map(len, seen)) == groups
    if groups == 200:
        assert abs(splits.train.num_rows - 1600) < 60


def test_large_group_numbers_are_told_apart() -> None:
    data = {"who": [2**53, 2**53 + 1] * 50}
    splits = load_splits(spec(data, split={"by": "group", "column": "who", "test": 0}))
    assert {frozenset(part) for part in rows_of(splits, "who").values()} == {frozenset([2**53]), frozenset([2**53 + 1])}


@pytest.mark.parametrize("by", [None, "random", "group"])
def test_folds_test_each_row_once(by: str | None) -> None:
    data = {**table(200), "who": [str(row // 10) for row in range(200)]}
    split = {"folds": 5, **({"by": by} if by else {}), **({"column": "who"} if by == "group" else {})}
    folds = fold_splits(spec(data, split=split, test=table(5)), ["y"])
    assert len(folds) == 5
    assert sorted(chain(*(rows_of(fold)["test"] for fold in folds))) == list(range(200))
    for fold in folds:
        found = rows_of(fold)
        assert sorted(chain(*found.values())) == list(range(200))
        assert all(found.values())
        if by == "group":
            seen = [set(part) for part in rows_of(fold, "who").values()]
            assert sum(map(len, seen)) == 20
        elif by is None:
            assert abs(len(found["test"]) - 40) <= 3


def test_one_large_group_is_trained_on() -> None:
    for seed in range(8):
        data = {"who": ["large"] * 980 + ["a"] * 10 + ["b"] * 10}
        splits = load_splits(spec(data, split={"by": "group", "column": "who", "seed": seed}))
        assert [frame.num_rows for frame in splits.parts().values()] == [980, 10, 10]
        shares = {"train": 0.05, "valid": 0.45, "test": 0.5}
        splits = load_splits(spec(data, split={"by": "group", "column": "who", "seed": seed, **shares}))
        assert splits.train.num_rows > 0
        folds = fold_splits(spec(data, split={"by": "group", "column": "who", "seed": seed, "folds": 3}))
        assert sorted(rows_of(fold, "who")["test"].count("large") for fold in folds) == [0, 0, 980]
    data["who"][500:] = ["c"] * 500
    folds = fold_splits(spec(data, split={"by": "group", "column": "who", "folds": 2}))
    assert all(fold.test is not None for fold in folds)
    with pytest.raises(RecipeError, match="number of groups"):
        fold_splits(spec(data, split={"by": "group", "column": "who", "folds": 3}))


def test_folds_that_cannot_be() -> None:
    with pytest.raises(RecipeError, match="must have folds"):
        fold_splits(spec(table(10)), ["y"])
    with pytest.raises(RecipeError, match="number of rows"):
        fold_splits(spec(table(3), split={"folds": 5}), ["y"])
    with pytest.raises(RecipeError, match="time"):
        fold_splits(spec(table(10), split={"folds": 2, "by": "time", "column": "row"}), ["y"])


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match=r"'incom'.*Did you mean 'income'"):
        load_splits(spec({"income": [1]}), ["incom"])
    with pytest.raises(DataError, match="'income'"):
        load_splits(spec({"income": [1, 2]}, test={"x": [1]}), ["income"])
    with pytest.raises(DataError, match="'w'"):
        load_splits(spec({"y": [1, 2]}, weight="w"), ["y"])
    with pytest.raises(DataError, match="'z'"):
        load_splits(spec({"y": [1, 2]}, split={"by": "group", "column": "z"}), ["y"])


def test_stratified_needs_classes() -> None:
    with pytest.raises(RecipeError, match="stratified"):
        load_splits(spec({"y": [0.1 * row for row in range(100)]}, split={"by": "stratified"}), ["y"])
    splits = load_splits(spec({"y": [0.1 * row for row in range(100)]}), ["y"])
    assert "at random" in splits.notes[-1]


def test_cleaning_comes_first(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"a{row},x\n" for row in range(20)) + "a0,x\n")
    (tmp_path / "test.csv").write_text("title,body,label\nb,c,x.\n")
    clean = [{"join": {"text": ["title", "body"]}}, {"strip_suffix": {"label": "."}}, "drop_duplicates"]
    splits = load_splits(spec(tmp_path / "train.csv", test=tmp_path / "test.csv", clean=clean), ["label"])
    assert splits.test is not None
    assert splits.test.to_table().select(["text", "label"]).to_pylist() == [{"text": "b c", "label": "x"}]
    assert splits.train.num_rows + splits.valid.num_rows == 20
    assert any("drop_duplicates left out 1 of 21" in note for note in splits.notes)


def test_what_is_written_reads_back() -> None:
    given = spec("a.csv", test=["b.csv", "c.csv"], header=["x", "y"], clean=["strip"], split={"seed": 3}, ids="x")
    assert DataSpec.model_validate(given.model_dump(mode="json", exclude_none=True)) == given
    assert spec({"x": [1]}).model_dump(mode="json")["train"] == "(in memory)"
    assert spec(Path("a.csv")).model_dump(mode="json")["train"] == "a.csv"
    assert given.reading().header == ("x", "y")


def test_adult(data: Any) -> None:
    columns = "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex"
    names = f"{columns},capital-gain,capital-loss,hours-per-week,native-country,income".split(",")
    given = spec(
        data("adult_census/adult-train.csv.gz"),
        test=data("adult_census/adult-test.csv.gz"),
        header=names,
        missing=["?"],
        clean=[{"strip_suffix": {"income": "."}}],
    )
    splits = load_splits(given, ["income"])
    assert [frame.num_rows for frame in splits.parts().values()] == [32561 - 3256, 3256, 16281]
    for frame in splits.parts().values():
        labels = frame.to_table()["income"].to_pylist()
        assert set(labels) == {"<=50K", ">50K"}
        assert labels.count(">50K") / len(labels) == pytest.approx(0.24, abs=0.006)
