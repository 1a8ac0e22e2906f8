"""A dry run: what it says of each process is what each process of a real run has."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import ANSWERS, arrays, model

from ceiba.base.errors import RecipeError
from ceiba.batches import Batches
from ceiba.cli import main
from ceiba.encoders import TEXT_ENCODERS
from ceiba.fields import TextLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.layers import TransformerBlock
from ceiba.model import Model, ModelSpec, build_model
from ceiba.train import TrainSpec
from ceiba.train.rehearsal import Rehearsal, rehearse, shares

RECIPE = """
data: {train: rows.csv}
outputs: {y: binary}
train: {batch_rows: 32}
"""


def rehearsed(ranks: int, batch_rows: int = 30, network: Model | None = None, **options: object) -> Rehearsal:
    spec = TrainSpec.model_validate({"batch_rows": batch_rows, **options})
    batches = Batches(arrays(100), batch_rows, 0)
    return rehearse(network or model(), batches, batches, ANSWERS, spec, ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 40])
def test_rows_are_those_that_each_process_gets(ranks: int) -> None:
    found, batches = rehearsed(ranks), Batches(arrays(100), 30, 0)
    for place, told in ((0, found.rows), (batches.per_epoch - 1, found.last_rows)):
        real = []
        for rank in range(ranks):
            batch = next(batches.epoch(0, place, (rank, ranks)))
            real.append(0 if batch.weight is not None and not batch.weight.any() else batch.num_rows)
        assert list(told) == real
    assert found.inputs["table.numbers"] == (max(found.rows), 4)
    assert found.outputs["y"] == (max(found.rows), 3)


def test_notes_tell_what_does_not_divide() -> None:
    assert rehearsed(2).notes == []
    assert rehearsed(4).notes == ["a step's 30 rows do not divide by 4: some processes wait for others"]
    assert rehearsed(40).notes == ["10 of 40 processes have no row in any step: raise train.batch_rows"]
    assert rehearsed(15).notes == ["the last step of an epoch has 10 rows: some processes have none in it"]
    assert shares(0, Batches(arrays(90), 30, 0), 3) == (10, 10, 10)


def test_memory_is_a_share_where_weights_are_cut() -> None:
    network = model()
    whole, doubled, cut = (rehearsed(ranks, network=network, parallel=way).memory_bytes
                           for ranks, way in ((1, "ddp"), (2, "ddp"), (2, "fsdp")))  # fmt: skip
    weights = sum(one.nbytes for one in network.parameters())
    assert whole["weights"] == whole["gradients"] == weights
    assert 2 * weights <= whole["optimizer_states"] <= 2.1 * weights
    assert doubled["rest_of_step"] < whole["rest_of_step"]
    assert doubled["buckets"] == weights
    assert cut["weights"] == -(-weights // 2)
    assert cut["gathered"] == 2 * weights  # of a network without blocks: all of it


def test_one_block_is_put_together_at_a_time() -> None:
    encoder = TEXT_ENCODERS["transformer"].model_validate({"layers": 3, "heads": 2, "dropout": 0})
    spec = ModelSpec(dim=16, encoders={"text": encoder}, heads={"y": HEADS["classes"]()})
    layout, output = TextLayout(vocab=9, max_tokens=8, weighted=False), OutputLayout("classes", 3, (1, 1, 1))
    network = build_model(spec, {"text": layout}, {"y": output})
    texts = np.random.default_rng(0).integers(1, 9, (100, 8)).astype(np.int32)
    data = replace(arrays(100), parts={"text.ids": texts})
    batches = Batches(data, 30, 0)
    found = rehearse(network, batches, batches, ANSWERS, TrainSpec(batch_rows=30, parallel="fsdp"), 2)
    block = next(one for one in network.modules() if isinstance(one, TransformerBlock))
    assert found.memory_bytes["gathered"] == 2 * sum(one.nbytes for one in block.parameters())
    assert found.inputs == {"text.ids": (15, 8)}


def test_what_cannot_be_trained_fails_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="need whole weights"):
        rehearsed(2, parallel="fsdp", l2=0.1)
    assert rehearsed(1, parallel="fsdp", l2=0.1).ranks == 1
    monkeypatch.chdir(tmp_path)
    lines = ["a,b,y", *(f"{row % 7},{row % 5},{'yes' if row % 3 else 'no'}" for row in range(200))]
    Path("rows.csv").write_text("\n".join(lines))
    Path("recipe.yaml").write_text(RECIPE)
    assert main(["train", "recipe.yaml", "--dry-run", "2", "--set", "seeds=3"]) == 2
    assert main(["train", "recipe.yaml", "--dry-run", "0"]) == 2
    assert main(["train", "recipe.yaml", "--dry-run", "2", "--set", "model.trunk={type: transformer, heads: 7}"]) == 2


def test_the_command_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["a,b,y", *(f"{row % 7},{row % 5},{'yes' if row % 3 else 'no'}" for row in range(200))]
    Path("rows.csv").write_text("\n".join(lines))
    Path("recipe.yaml").write_text(RECIPE)
    assert main(["train", "recipe.yaml", "--dry-run", "3", "--json"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "rows of a step" in shown[1]
    assert shown[1].split()[-3:] == ["11,", "11,", "10"]
    assert json.loads(shown[-1])["rows"] == [11, 11, 10]
    assert not Path("runs").exists()
