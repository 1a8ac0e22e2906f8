"""Networks that transformers builds, as encoders: random checkpoints answer here as they do there."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn

import ceiba
from ceiba.base.errors import DataError, RecipeError
from ceiba.bundle import open_bundle
from ceiba.encoders import ENCODERS
from ceiba.encoders.image_pixels import Pixels
from ceiba.encoders.pretrained import ImagePretrained, TextPretrained
from ceiba.encoders.text_transformer import TextTransformerSpec
from ceiba.fields import TAUGHT, ImageLayout, TextLayout
from ceiba.model import Model, open_model
from ceiba.prepare import Arrays
from ceiba.run import Run
from ceiba.train.features import identity_of, parts_of

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # its own
SIDE, WORDS = 16, ["team", "wins", "game", "bank", "stock", "price", "oil", "cup"]
STILL = {"steps": 1, "batch_rows": 8, "threads": 1, "optimizer": {"lr": 1e-12}}
"""Training that changes nothing that can be seen."""


def saved(kind: str, folder: Path) -> Any:
    """A random network in a folder, its norms not where they start, and what it is without heads."""
    torch.manual_seed(0)
    if kind == "t5":
        config = transformers.T5Config(
            vocab_size=14, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
        )
        model, part = transformers.T5ForConditionalGeneration(config), "encoder"
    elif kind == "vit":
        config = transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=24,
            image_size=SIDE,
            patch_size=4,
        )
        model, part = transformers.ViTForImageClassification(config), "vit"
    elif kind == "efficientnet":
        config = transformers.EfficientNetConfig(
            image_size=SIDE,
            width_coefficient=0.1,
            depth_coefficient=0.1,
            hidden_dim=128,
            strides=[1, 2, 1, 1, 1, 1, 1],
            num_block_repeats=[1] * 7,
            hidden_act="relu6",
        )
        model, part = transformers.EfficientNetForImageClassification(config), "efficientnet"
    else:
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        model, part = transformers.ResNetForImageClassification(config), "resnet"
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value) if "running" in name else 0.1 * torch.randn_like(value))
    model.save_pretrained(folder)
    if kind == "t5":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.train_from_iterator(
            [" ".join(WORDS)], trainers.WordLevelTrainer(special_tokens=["<pad>", "</s>", "<unk>"])
        )
        tokenizer.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "eos_token": "</s>"}))
    else:
        told = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25], "size": {"height": SIDE, "width": SIDE}}
        (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return getattr(model.eval(), part)


def rows(kind: str) -> dict[str, list[Any]]:
    random = np.random.default_rng(0)
    labels = ["a", "b"] * 20
    if kind == "t5":
        return {"x": [" ".join(random.choice(WORDS, 1 + row % 4)) for row in range(40)], "label": labels}
    pixels = random.integers(0, 256, (40, SIDE, SIDE, 3), dtype=np.uint8)
    files = []
    for one in pixels:
        buffer = io.BytesIO()
        Image.fromarray(one).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return {"x": files, "label": labels}


def trained(kind: str, folder: Path, out: Path, adapt: str, **train: Any) -> Run:
    column = "text" if kind == "t5" else "image"
    recipe = {
        "from": str(folder), "adapt": adapt, "data": {"train": rows(kind)}, "inputs": {"x": column},
        "outputs": {"label": "category"}, "train": {**STILL, **train},
    }  # fmt: skip
    run = ceiba.train(recipe, out=out)
    assert isinstance(run, Run)
    return run


def inputs_of(kind: str, run: Run) -> dict[str, torch.Tensor]:
    table = pa.table(rows(kind))
    encoded = ceiba.open(run.folder).encode(table.slice(0, 6).combine_chunks().to_batches()[0])
    return {name: torch.from_numpy(part.pad() if kind == "t5" else np.asarray(part)) for name, part in encoded.items()}


@pytest.mark.parametrize("kind", ["t5", "vit", "resnet", "efficientnet"])
def test_a_random_checkpoint_gives_the_same_tokens(kind: str, tmp_path: Path) -> None:
    other = saved(kind, tmp_path / "folder")
    run = trained(kind, tmp_path / "folder", tmp_path / "run", "frozen")
    (tmp_path / "folder").rename(tmp_path / "elsewhere")  # the bundle needs it no more
    model, parts = open_model(open_bundle(run.folder)), inputs_of(kind, run)
    with torch.inference_mode():
        found = model.tokens(parts)
        if kind == "t5":
            ids = parts["x.ids"].long()
            assert (ids[:, 1:] == 1).any(1).all()  # each ends with </s>
            expected = other(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
        else:
            pixels = parts["x.pixels"].permute(0, 3, 1, 2) / 255
            mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]))
            expected = other(pixel_values=(pixels - mean) / std).last_hidden_state
            expected = expected.flatten(2).transpose(1, 2) if expected.ndim == 4 else expected
    mask = found.mask.unsqueeze(-1)
    torch.testing.assert_close(found.values * mask, expected * mask, rtol=1e-5, atol=1e-5)
    assert run.report["cost"]["trained_parameters"] == 2 * found.values.shape[-1] + 2
    assert "began with folder" in " ".join(run.report["notes"])


def passes(run: Run) -> torch.Tensor:
    """The weights of all that is trained."""
    state = open_model(run.bundle).state_dict()
    return torch.cat([one.flatten() for name, one in state.items() if name.startswith("heads.") or "narrow" in name])


@pytest.mark.parametrize("kind", ["t5", "resnet"])
def test_what_is_not_trained_is_computed_once_and_the_same_is_learnt(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(kind, tmp_path / "folder")
    count: list[int] = []
    kind_of_encoder = TextPretrained if kind == "t5" else ImagePretrained
    body = kind_of_encoder.body

    def counted(self: Any, parts: Any) -> Any:
        count.append(len(next(iter(parts.values()))))
        return body(self, parts)

    monkeypatch.setattr(kind_of_encoder, "body", counted)
    # Texts of different lengths are trained on in another order where they are only vectors.
    still = {"steps": 12, "optimizer": {"lr": 1e-12 if kind == "t5" else 0.01}}
    told: dict[str, Any] = {"precision": "fp32", **still}
    once = trained(kind, tmp_path / "folder", tmp_path / "once", "frozen", **told)
    assert sum(count) < 2 * 40  # once to be trained on or held back, and some of them to be measured on
    monkeypatch.setattr("ceiba.run.with_features", lambda model, arrays, spec: arrays)
    each = trained(kind, tmp_path / "folder", tmp_path / "each", "frozen", **told)
    torch.testing.assert_close(passes(once), passes(each), rtol=1e-4, atol=1e-5)
    assert once.report["history"][-1]["valid_loss"] == pytest.approx(each.report["history"][-1]["valid_loss"], rel=1e-4)


def test_what_was_computed_is_taken_again_for_the_same_network_alone() -> None:
    told = TextTransformerSpec(dropout=0.1)
    names = [
        identity_of(Pixels(ImageLayout(SIDE, SIDE, 3, mean, (1.0,) * 3)), told) for mean in ((0.0,) * 3, (1.0,) * 3)
    ]
    layer = nn.Linear(2, 2)
    before = identity_of(layer, told)
    assert identity_of(layer, told.model_copy(update={"dropout": 0.0})) == before
    names.append(identity_of(layer, told.model_copy(update={"heads": 2})))  # of which no weight tells
    with torch.no_grad():
        layer.bias[1] += 1e-6
    assert len({*names, before, identity_of(layer, told)}) == 5


@pytest.mark.parametrize(("kind", "options", "is_settled"), [
    ("text", {"type": "cnn", "dropout": 0.0}, True),
    ("text", {"type": "cnn", "dropout": 0.3}, False),
    ("text", {"type": "transformer", "layers": 1, "dropout": 0.0, "attention_dropout": 0.1}, False),
    ("image", {"type": "resnet"}, False),  # its norms keep figures of what they see
])  # fmt: skip
def test_an_own_encoder_is_settled_where_nothing_of_it_is_trained_or_left_to_chance(
    kind: str, options: dict[str, Any], is_settled: bool
) -> None:
    layout = TextLayout(20, 8, False) if kind == "text" else ImageLayout(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3)
    encoder = ENCODERS[kind][options["type"]].model_validate(options).build(layout, 16)  # type: ignore[attr-defined]
    assert not encoder.is_settled
    encoder.requires_grad_(False)
    assert encoder.is_settled == is_settled


def test_a_part_of_an_output_that_is_called_as_a_group_is_not_the_groups() -> None:
    arrays = Arrays(
        Path(), 1, {"table.numbers": np.zeros(1), f"table.{TAUGHT}": np.zeros(1)}, {}, None, np.zeros(1, int)
    )
    assert parts_of(arrays, "table") == ["numbers"]


@pytest.mark.parametrize("more", [{"augment": {"flip": True}}, {"adapt": "full"}])
def test_what_changes_from_epoch_to_epoch_is_not_computed_once(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved("resnet", tmp_path / "folder")
    monkeypatch.setattr(sys.modules["ceiba.train.features"], "with_parts", None)  # is not asked
    trained("resnet", tmp_path / "folder", tmp_path / "run", **{"adapt": "frozen", **more})


def test_tokens_that_a_trunk_reads_one_by_one_are_not_averaged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved("resnet", tmp_path / "folder")
    monkeypatch.setattr(sys.modules["ceiba.train.features"], "with_parts", None)  # is not asked
    recipe = {
        "from": str(tmp_path / "folder"), "adapt": "frozen", "data": {"train": rows("resnet")},
        "inputs": {"x": "image"}, "outputs": {"label": "category"}, "train": STILL,
        "model": {"trunk": {"type": "transformer", "layers": 1, "heads": 2}},
    }  # fmt: skip
    assert isinstance(ceiba.train(recipe, out=tmp_path / "run"), Run)


def test_a_model_may_be_narrower_and_drop_features_while_training(tmp_path: Path) -> None:
    other = saved("resnet", tmp_path / "folder")
    encoder = {"type": "transformers", "dropout": 0.5}
    recipe = {
        "from": str(tmp_path / "folder"), "adapt": "frozen", "data": {"train": rows("resnet")},
        "inputs": {"x": {"type": "image", "encoder": encoder}}, "outputs": {"label": "category"}, "model": {"dim": 4},
        "train": STILL,
    }  # fmt: skip
    run = ceiba.train(recipe, out=tmp_path / "run")
    assert isinstance(run, Run)
    assert run.report["cost"]["trained_parameters"] == 16 * 4 + 4 * 2 + 2
    model, parts = open_model(run.bundle), inputs_of("resnet", run)
    (own,) = model.encoders.values()
    assert isinstance(own, ImagePretrained)
    assert own.dropout.share == 0.5
    body = own.body(parts := {"pixels": parts["x.pixels"]})
    torch.testing.assert_close(own(parts).values, body.values @ own.narrow.weight.T)
    own.net.requires_grad_(False)
    own.train()
    assert not other.training
    assert own.dropout.training
    assert not own.net.training
    one, two = own(parts).values, own(parts).values
    assert not torch.equal(one, two)
    # A feature is dropped from all places of a row alike: the mean of what comes of them is what comes of their mean.
    own.narrow = torch.nn.Identity()
    kept = own(parts).values / body.values  # no number where the body gives 0
    low, high = kept.nan_to_num(torch.inf).amin(1), kept.nan_to_num(-torch.inf).amax(1)
    assert set(high[low == high].tolist()) == {0.0, 2.0}
    assert (low[low != high].isinf()).all()


def test_an_encoder_without_its_config_needs_from(tmp_path: Path) -> None:
    encoder = {"type": "transformers"}
    recipe = {"data": {"train": rows("resnet")}, "inputs": {"x": {"type": "image", "encoder": encoder}},
              "outputs": {"label": "category"}}  # fmt: skip
    with pytest.raises(RecipeError, match="Name its folder in from"):
        ceiba.train(recipe, out=tmp_path / "run")


def changed(kind: str, folder: Path, model: Model) -> set[str]:
    fresh = open_model(trained(kind, folder, folder.parent / "fresh", "frozen", optimizer={"lr": 1e-12}).bundle)
    before = fresh.state_dict()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("adapt", ["frozen", "full"])
def test_what_is_frozen_stays_as_it_is_its_running_figures_too(adapt: str, tmp_path: Path) -> None:
    saved("resnet", tmp_path / "folder")
    run = trained("resnet", tmp_path / "folder", tmp_path / "run", adapt, steps=8, optimizer={"lr": 0.01})
    moved = changed("resnet", tmp_path / "folder", open_model(run.bundle))
    assert {name.split(".")[0] for name in moved} == ({"heads"} if adapt == "frozen" else {"heads", "encoders"})
    assert any("running_mean" in name for name in moved) == (adapt == "full")


def test_an_empty_text_is_a_row_and_others_do_not_see_its_padding(tmp_path: Path) -> None:
    saved("t5", tmp_path / "folder")
    run = trained("t5", tmp_path / "folder", tmp_path / "run", "full")
    predictor = ceiba.open(run.folder)
    several = predictor.predict([{"x": ""}, {"x": "oil"}, {"x": "team wins cup game"}])
    alone = predictor.predict({"x": "oil"})
    assert several[1]["label_probability"] == pytest.approx(alone["label_probability"], abs=1e-6)
    assert 0 < several[0]["label_probability"] < 1
    assert predictor.embed([{"x": "oil"}]).shape == (1, 16)


def test_another_network_or_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    saved("vit", tmp_path / "folder")
    path = tmp_path / "folder" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "intermediate_size": 40}))
    with pytest.raises(DataError, match="others for"):
        trained("vit", tmp_path / "folder", tmp_path / "run", "full")
    path.write_text(json.dumps({**config, "model_type": "swin"}))
    with pytest.raises(RecipeError, match="family that Ceiba's layers have"):
        trained("vit", tmp_path / "folder", tmp_path / "run", "full")
