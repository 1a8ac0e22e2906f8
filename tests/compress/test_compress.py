"""`ceiba compress` from a trained bundle to a smaller one; and what distillation minimizes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import TABLE, parts_of

import ceiba
from ceiba.base.errors import Stopped
from ceiba.bundle import open_bundle
from ceiba.cli import main
from ceiba.compress.candidates import tried
from ceiba.compress.measure import told_speed
from ceiba.compress.retrain import held_at_zero, sparse_masks
from ceiba.encoders import ENCODERS
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import ModelSpec, build_model
from ceiba.train.distill import SHARE, TEMPERATURE, soft_losses, student_of

RECIPE = """
data: {train: rows.csv, test: test.csv}
inputs: {age: number, city: category}
outputs: {rich: binary}
model: {dim: 16, table: {type: mlp, width: 64, layers: 3}}
train: {epochs: 6, batch_rows: 32, optimizer: {lr: 0.01}}
evaluate: {baselines: false}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    random = np.random.default_rng(0)
    for name, rows in (("rows.csv", 400), ("test.csv", 300)):
        lines = ["age,city,rich"]
        for _ in range(rows):
            age, city = int(random.integers(18, 80)), random.choice(["Rome", "Oslo"])
            lines.append(f"{age},{city},{'yes' if age + 20 * (city == 'Oslo') > 55 else 'no'}")
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    ceiba.train(folder / "recipe.yaml", out=folder / "run")
    return folder


def test_the_best_candidate_becomes_a_bundle(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compress", str(trained / "run"), "--goal", "size <= 0.9x, drop <= 20%", "--epochs", "0.3", "--json"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    figures = json.loads(printed.splitlines()[-1])
    rows = {row["name"]: row for row in figures["candidates"]}
    assert {"fp16", "bf16", "int8 dynamic", "int8 static", "pruned to 50%", "sparse 50%"} <= set(rows)
    assert rows["sparse 75%"]["verdict"] in ("not taken", "refused", "misses the goal")  # a dense file stays as it was
    assert rows["pruned to 25%"]["ratios"]["size"] < rows["pruned to 50%"]["ratios"]["size"] < 0.7
    for row in rows.values():
        drop = row["drop"]["rich"]
        assert drop["low"] <= drop["value"] <= drop["high"]
        assert row["p99_ms"] >= row["latency_ms"] > 0
    chosen = rows[figures["chosen"]]
    assert chosen["ratios"]["size"] == min(
        row["ratios"]["size"] for row in rows.values() if row["verdict"] == "reaches the goal"
    )
    bundle = open_bundle(figures["bundle"])
    assert bundle.parents[-1]["identity"] == open_bundle(trained / "run").identity
    assert bundle.meta["compressed"]["by"] == figures["chosen"]
    assert not (bundle.folder / "weights.safetensors").exists()
    page = bundle.read("report.html").decode()
    assert "Smaller and faster" in page
    assert all(name in page for name in rows)
    before = ceiba.evaluate(ceiba.open(trained / "run"), trained / "test.csv")["metrics"]["test"]["rich"]["accuracy"]
    after = ceiba.evaluate(ceiba.open(bundle.folder), trained / "test.csv")["metrics"]["test"]["rich"]["accuracy"]
    assert 100 * (before["value"] - after["value"]) == pytest.approx(chosen["drop"]["rich"]["value"], abs=0.4)
    assert bundle.report is not None
    assert bundle.report["metrics"]["test"]["rich"]["accuracy"]["value"] == pytest.approx(after["value"])


def test_a_goal_out_of_reach_leaves_the_report_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["compress", str(trained / "run"), "--goal", "latency <= 0.001x", "--try", "half", "--out", str(out)]
    assert main(words) == 1
    assert "No candidate reaches the goal" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"report.json", "report.html"}
    assert main(words) == 2  # the place is taken
    assert main([*words[:-1], str(tmp_path / "b"), "--try", "magic"]) == 2


def test_soft_losses_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([[2.0, 0.0, 1.0]])
    heat = TEMPERATURE
    p, q = (teacher / heat).softmax(-1), (student / heat).softmax(-1)
    by_hand = heat**2 * (p * (p / q).log()).sum()
    assert float(soft_losses("classes", student, teacher, heat)) == pytest.approx(float(by_hand), rel=1e-5)
    p, q = (teacher / heat).sigmoid(), (student / heat).sigmoid()
    each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    assert float(soft_losses("labels", student, teacher, heat)) == pytest.approx(float(heat**2 * each.mean()), rel=1e-5)
    found = soft_losses("number", student[0], teacher[0], heat)
    torch.testing.assert_close(found, torch.tensor([1.0, 4.0, 0.25]))
    for kind in ("classes", "binary", "labels", "number"):
        assert float(soft_losses(kind, teacher, teacher, heat).sum()) == pytest.approx(0.0, abs=1e-6)


def test_a_student_learns_from_its_teacher_only_while_it_trains() -> None:
    encoders = {"in": ENCODERS["table"]["mlp"](width=8, dropout=0.0)}
    spec = ModelSpec(dim=8, encoders=encoders, heads={"y": HEADS["classes"]()})
    layouts, outputs = {"in": TABLE}, {"y": OutputLayout("classes", 3)}
    teacher, model = build_model(spec, layouts, outputs, 1), build_model(spec, layouts, outputs, 2)
    student = student_of(model, teacher, layouts)
    assert set(student.state_dict()) == set(model.state_dict())  # the teacher is no part of it
    inputs = {f"in.{part}": value for part, value in parts_of(TABLE).items()}
    targets = {"y": torch.tensor([0, 1, 2, 0, 1])}
    student.train()
    logits = student(inputs)
    hard = model.score(logits, targets)[0]
    soft = soft_losses("classes", logits["y"], teacher.eval()(inputs)["y"], TEMPERATURE)
    torch.testing.assert_close(student.score(logits, targets)[0], (1 - SHARE) * hard + SHARE * soft.mean())
    weights = torch.tensor([1.0, 0.0, 2.0, 0.0, 1.0])  # the teacher's rows weigh as the targets' do
    weighted = model.score(logits, targets, weights)[0]
    expected = (1 - SHARE) * weighted + SHARE * (soft * weights).sum() / weights.sum()
    torch.testing.assert_close(student.score(logits, targets, weights)[0], expected)
    student.eval()
    with torch.no_grad():
        torch.testing.assert_close(student.score(student(inputs), targets)[0], hard)


def test_the_least_weights_go_and_stay_away() -> None:
    spec = ModelSpec(dim=8, encoders={"in": ENCODERS["table"]["mlp"](width=8)}, heads={"y": HEADS["classes"]()})
    model = build_model(spec, {"in": TABLE}, {"y": OutputLayout("classes", 3)}, 1)
    masks = sparse_masks(model, 0.5)
    assert "encoders.0_in.features.categories.table.weight" not in masks
    kept = sum(float(one.sum()) for one in masks.values()) / sum(one.numel() for one in masks.values())
    assert kept == pytest.approx(0.5, abs=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    inputs = {f"in.{part}": value for part, value in parts_of(TABLE).items()}
    with held_at_zero(model, masks):
        for _ in range(3):
            optimizer.zero_grad()
            model.loss(inputs, {"y": torch.tensor([0, 1, 2, 0, 1])})[0].backward()
            optimizer.step()
    for name, weight in model.named_parameters():
        if name in masks:
            assert (weight[masks[name] == 0] == 0).all()
            assert (weight[masks[name] == 1] != 0).all()


def test_a_training_that_is_stopped_ends_the_search() -> None:
    def stopped() -> bytes:
        raise Stopped("Stopped at step 3", None, "Go on with --resume", 143)

    with pytest.raises(Stopped):
        tried("pruned to 50%", "half of it", stopped)


def test_only_the_shares_that_are_asked_for_are_kept(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compress", str(trained / "run"), "--try", "pruned", "--epochs", "0.1", "--json"]
    words += ["--goal", "size <= 0.9x, drop <= 100%", "--out", str(trained / "half")]
    assert main([*words, "--keep", "0.5"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row["name"].split(" + ")[0] for row in figures["candidates"]} == {"pruned to 50%"}
    assert main([*words, "--keep", "0.5,1"]) == 2
    assert main([*words, "--keep", "half"]) == 2
    assert "--keep must be shares between 0 and 1. Got '0.5,1'" in capsys.readouterr().err


def test_speed_by_hand() -> None:
    original, candidate = np.full(100, 0.004), np.full(100, 0.001)
    candidate[-2:] = 0.016  # so that the slowest in a hundred takes four times as long as the original's
    found = told_speed((original, candidate), (original, candidate), 8)
    assert found["ratios"] == pytest.approx({"latency": 0.25, "p99": 4.0, "throughput": 4.0})
    assert (found["latency_ms"], found["rows_per_second"]) == (pytest.approx(1.0), pytest.approx(8000))
    assert found["beside"] == pytest.approx({"latency_ms": 4.0, "p99_ms": 4.0, "rows_per_second": 2000})
