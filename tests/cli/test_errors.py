"""Wrong input: one line, exit code 2, no traceback, nothing half-written."""

import gzip
from pathlib import Path

import pytest

from ceiba.cli import VERBS, main

ROWS = "age,city,rich\n" + "".join(
    f"{20 + row % 50},{'Rome' if row % 3 else 'Oslo'},{'yes' if row % 2 else 'no'}\n" for row in range(60)
)
RECIPE = "data: {train: people.csv}\noutputs: {rich: binary}\ntrain: {epochs: 1}\n"

CASES = [
    ("unknown key", ROWS, RECIPE + "modle: {}\n", "recipe.yaml:4 the recipe has no key 'modle'. Did you mean 'model'?"),
    ("wrong kind", ROWS, RECIPE + "inputs: {city: number}\n", "city"),
    ("missing column", ROWS, RECIPE + "inputs: {aeg: number}\n", "Did you mean 'age'?"),
    ("missing target", ROWS, RECIPE.replace("rich", "rihc"), "Did you mean 'rich'?"),
    ("empty file", "", RECIPE, "people.csv"),
    ("header only", "age,city,rich\n", RECIPE, "people.csv"),
    ("one class only", ROWS.replace("yes", "no"), RECIPE, "rich"),
    ("all values missing", ROWS.replace("Rome", "").replace("Oslo", ""), RECIPE + "inputs: {city: category}\n", "city"),
    ("all targets missing", ROWS.replace("yes", "").replace(",no", ","), RECIPE, "0 rows with a target"),
    ("target in inputs", ROWS, RECIPE + "inputs: {rich: binary}\n", "outputs must not be inputs too"),
    (
        "labels that differ in every row",
        "age,name\n" + "".join(f"{row % 9},n{row}\n" for row in range(99)),
        RECIPE.replace("rich: binary", "name: category"),
        "must repeat its labels",
    ),
    ("file not found", ROWS, RECIPE.replace("people.csv", "peple.csv"), "people.csv"),
    ("ragged row", ROWS.replace("21,Rome,yes\n", "21,Rome\n", 1), RECIPE, ":3"),
    ("duplicate name", ROWS.replace("city", "age", 1), RECIPE, "age"),
    ("not a csv", "\x00\x01\x02", RECIPE, "people.csv"),
    ("no yaml", ROWS, "data: [", "recipe.yaml:1 must be YAML"),
]


@pytest.mark.parametrize(("data", "recipe", "message"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_wrong_input_is_one_line(
    data: str,
    recipe: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text(data)
    Path("recipe.yaml").write_text(recipe)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert error[0].startswith("ceiba: ")
    assert message in error[0]
    assert not Path("run/bundle").exists()
    assert not list(tmp_path.rglob(".ceiba-tmp-*"))


def test_a_damaged_image_is_an_error_or_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for row in range(40):
        path = Path("shapes") / ("dark" if row % 2 else "light") / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 if row % 2 else 240).save(path)
    Path("shapes/dark/1.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    recipe = "data: {train: shapes}\ninputs: {image: {type: image, size: 8}}\noutputs: {label: category}\n"
    Path("recipe.yaml").write_text(recipe)
    assert main(["train", "recipe.yaml", "--out", "run"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "1.png" in error or "image" in error
    assert main(["train", "recipe.yaml", "--out", "run", "--set", "data.damaged=skip", "--set", "train.epochs=1"]) == 0
    printed = capsys.readouterr().out
    assert "damaged" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tarin"], "Did you mean 'train'?"),
        (["train"], "the following arguments are required"),
        (["train", "people.csv"], "needs a target"),
        (["train", "recipe.yaml", "--target", "x"], "--target"),
        (["train", "none.yaml"], "none.yaml"),
        (["train", "none.csv", "--target", "x"], "none.csv"),
        (["predict", "none", "people.csv", "--out", "a.csv"], "none"),
        (["evaluate", ".", "people.csv"], "MANIFEST"),
        (["init", "none.csv"], "none.csv"),
        (["train", "recipe.yaml", "--resume"], "--out"),
        (["train", "recipe.yaml", "--resume", "--out", "x"], "checkpoint"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_wrong_words_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text(ROWS)
    Path("recipe.yaml").write_text(RECIPE)
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert message in error[0]


def test_a_truncated_gz_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv.gz").write_bytes(gzip.compress(ROWS.encode())[:-20])
    assert main(["train", "people.csv.gz", "--target", "rich"]) == 2
    assert "people.csv.gz" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"usage: ceiba {verb}" in capsys.readouterr().out
