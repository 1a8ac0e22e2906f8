"""The assembled model: names, sharing, seeds, saving, losses, backends."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from networks import IMAGE, NGRAMS, TABLE, TEXT, parts_of
from pydantic import ValidationError
from torch import Tensor

from ceiba.base.errors import BundleError, RecipeError
from ceiba.bundle import Bundle, open_bundle, write_bundle
from ceiba.encoders import ENCODERS
from ceiba.fields import FIELDS, Fields, Layout
from ceiba.heads import HEADS, Head, OutputLayout
from ceiba.layers import Tokens
from ceiba.model import Model, ModelSpec, TorchBackend, build_model, load_weights, open_backend, save_weights
from ceiba.trunks import TRUNKS

TEXTS, TABLES, IMAGES = ENCODERS["text"], ENCODERS["table"], ENCODERS["image"]
LAYOUTS: dict[str, Layout] = {"table": TABLE, "a.b": TEXT, "keys": IMAGE, "评论": TEXT, "grams": NGRAMS}
OUTPUTS = {"forward": OutputLayout("classes", 3), "y 1": OutputLayout("number"), "z": OutputLayout("labels", 2)}
SPEC = ModelSpec(
    dim=16,
    encoders={"table": TABLES["tabm"](), "a.b": TEXTS["cnn"](), "keys": IMAGES["cnn"](), "grams": TEXTS["bag"]()},
    shared={"评论": "a.b"},
    trunk="mlp",
    heads={"forward": "classes", "y 1": {"type": "regression", "loss": "huber"}, "z": "labels"},
    weights={"y 1": 0.5},
)


def inputs_of(layouts: dict[str, Layout] = LAYOUTS, rows: int = 4) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": value
        for place, (name, layout) in enumerate(layouts.items())
        for part, value in parts_of(layout, rows, seed=place).items()
    }


def targets_of(rows: int = 4) -> dict[str, Tensor]:
    return {
        "forward": torch.arange(rows) % 3,
        "y 1": torch.linspace(-1, 1, rows),
        "z": (torch.arange(2 * rows).reshape(rows, 2) % 3 == 0).float(),
    }


def small(encoder: str = "mlp", head: str = "classes", seed: int = 0, **knobs: object) -> Model:
    spec = ModelSpec(dim=16, encoders={"table": TABLES[encoder](**knobs)}, heads={"y": HEADS[head]()})
    outputs = {"y": OutputLayout("classes", 3) if head == "classes" else OutputLayout("number")}
    return build_model(spec, {"table": TABLE}, outputs, seed)


def test_any_names_any_number_of_groups_and_targets() -> None:
    model = build_model(SPEC, LAYOUTS, OUTPUTS, 0)
    for rows in (1, 4):
        logits = model(inputs_of(rows=rows))
        assert {name: tuple(value.shape) for name, value in logits.items()} == {
            "forward": (rows, 16, 3),
            "y 1": (rows, 16),
            "z": (rows, 16, 2),
        }
        answers = model.eval().answers(inputs_of(rows=rows))
        assert [tuple(value.shape) for value in answers.values()] == [(rows, 3), (rows,), (rows, 2)]
        model.train()


def test_shared_encoder_is_one_and_reads_both() -> None:
    model = build_model(SPEC, LAYOUTS, OUTPUTS, 0)
    assert len(model.encoders) == 4
    assert model.slots["评论"] == model.slots["a.b"]
    model.eval()
    inputs = inputs_of()
    other = {**inputs, "评论.ids": inputs["评论.ids"].flip(0)}
    assert not torch.equal(model(other)["y 1"], model(inputs)["y 1"])


def test_loss_is_the_weighted_sum_of_the_mean_losses() -> None:
    model = build_model(SPEC, LAYOUTS, OUTPUTS, 0).eval()
    inputs, targets = inputs_of(), targets_of()
    total, sums = model.loss(inputs, targets)
    means = {name: loss / weight for name, (loss, weight) in sums.items()}
    torch.testing.assert_close(total, means["forward"] + 0.5 * means["y 1"] + means["z"])
    again, _ = model.score(model(inputs), targets, torch.ones(4))
    torch.testing.assert_close(again, total)


def test_a_batch_without_any_known_target_costs_nothing() -> None:
    model = build_model(SPEC, LAYOUTS, OUTPUTS, 0)
    nan = float("nan")
    targets = {"forward": torch.full((4,), -1), "y 1": torch.full((4,), nan), "z": torch.full((4, 2), nan)}
    total, _ = model.loss(inputs_of(), targets)
    total.backward()
    assert total == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_gradient_reaches_every_parameter() -> None:
    model = build_model(SPEC, LAYOUTS, OUTPUTS, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.loss(inputs_of(rows=60), targets_of(60))[0].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_spec_json_spec() -> None:
    again = ModelSpec.model_validate_json(SPEC.model_dump_json())
    assert again == SPEC
    assert type(again.encoders["keys"]) is IMAGES["cnn"]
    assert type(again.encoders["a.b"]) is TEXTS["cnn"]


def test_the_seed_decides_the_bits_and_torchs_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, again, other = (build_model(SPEC, LAYOUTS, OUTPUTS, seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert any(not torch.equal(other[name], value) for name, value in first.items())


def test_saved_and_loaded_answers_alike(tmp_path: Path) -> None:
    model, other = build_model(SPEC, LAYOUTS, OUTPUTS, 0), build_model(SPEC, LAYOUTS, OUTPUTS, 1)
    model.loss(inputs_of(), targets_of())  # moves the running means of batch norm
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save_weights(model))
    assert save_weights(model) == path.read_bytes()
    load_weights(other, path)
    expected, found = model.eval().answers(inputs_of()), other.eval().answers(inputs_of())
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_channels_last_weights_are_saved(tmp_path: Path) -> None:
    model = build_model(SPEC, LAYOUTS, OUTPUTS, 0).to(memory_format=torch.channels_last)
    (tmp_path / "w").write_bytes(save_weights(model))
    load_weights(build_model(SPEC, LAYOUTS, OUTPUTS, 1), tmp_path / "w")


@pytest.mark.parametrize(
    ("model", "rule"),
    [(lambda: small("tokens"), "the model's tensors and no others"), (lambda: small(width=8), "of the model's shapes")],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, model: object, rule: str) -> None:
    (tmp_path / "w").write_bytes(save_weights(small()))
    with pytest.raises(BundleError, match=rule):
        load_weights(model(), tmp_path / "w")


def test_a_damaged_weights_file_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"nonsense" * 10, save_weights(small())[:-5]):
        (tmp_path / "w").write_bytes(data)
        with pytest.raises(BundleError, match="must be a safetensors file"):
            load_weights(small(), tmp_path / "w")
    with pytest.raises(BundleError, match="must be a safetensors file"):
        load_weights(small(), tmp_path / "absent")


def test_backend_answers_arrays_and_accepts_read_only_memory() -> None:
    backend = TorchBackend(build_model(SPEC, LAYOUTS, OUTPUTS, 0))
    arrays = {name: value.numpy() for name, value in inputs_of().items()}
    for array in arrays.values():
        array.setflags(write=False)
    answers = backend(arrays)
    assert {name: answer.shape for name, answer in answers.items()} == {"forward": (4, 3), "y 1": (4,), "z": (4, 2)}
    assert all(answer.dtype == np.float32 for answer in answers.values())
    again = backend(arrays)
    assert all(np.array_equal(again[name], answer) for name, answer in answers.items())


def test_members_answer_with_their_mean_probability() -> None:
    model = small("tabm").eval()
    inputs = inputs_of({"table": TABLE})
    each = model(inputs)["y"].softmax(-1).mean(1)
    torch.testing.assert_close(model.answers(inputs)["y"].exp(), each)


def test_two_members_groups_cannot_be() -> None:
    assert small("tabm").members == 16
    assert small("mlp").members == 0


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"encoders": {"table": TABLES["tabm"]()}, "trunk": "transformer"}, "model.trunk: transformer must not mix"),
        ({"encoders": {"table": TABLES["tokens"](heads=5)}}, "encoder of 'table': heads must divide dim"),
        ({"encoders": {"table": TEXTS["cnn"]()}}, "encoder of 'table' must be for table"),
        ({"encoders": {}}, "Every input must have an encoder"),
        ({"encoders": {"table": TABLES["mlp"](), "tabel": TEXTS["cnn"]()}}, "Every encoder must read an input"),
        ({"heads": {"y": "regression"}}, "The head of 'y' must answer classes"),
        ({"heads": {"x": "classes"}}, "Every output must have one head"),
        (
            {"heads": {"y": {"type": "classes", "class_weights": [1, 2]}}},
            "head of 'y': class_weights must be 3 numbers",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], rule: str) -> None:
    values: dict[str, object] = {"dim": 16, "encoders": {"table": TABLES["mlp"]()}, "heads": {"y": "classes"}}
    with pytest.raises(RecipeError, match=rule):
        build_model(ModelSpec(**(values | change)), {"table": TABLE}, {"y": OutputLayout("classes", 3)}, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"shared": {"a": "b"}},
        {"weights": {"x": 1.0}},
        {"weights": {"y": -1.0}},
        {"dim": 0},
        {"encoders": {"t": {"type": "cnn"}}},
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelSpec(**({"heads": {"y": "classes"}} | change))


def test_number_of_parameters() -> None:
    head = 16 * 3 + 3
    assert small("linear").num_parameters == 12 * 16 + (2 + 2 * 16) * 16 + 16 + head


def bundled(folder: Path, edits: list[dict[str, object]]) -> tuple[Model, Fields, Bundle]:
    rows = pa.record_batch({"size": [1.0, 2.5, None], "color": ["red", "blue", "red"], "y": ["a", "b", "c"]})
    kinds = {"size": "number", "color": "category", "y": "category"}
    fitted = {name: FIELDS[kind]().fit([rows.column(name)]) for name, kind in kinds.items()}
    fields = Fields({name: fitted[name] for name in ("size", "color")}, {"y": fitted["y"]})
    spec = ModelSpec(dim=16, encoders={"table": TABLES["tabm"]()}, heads={"y": {"type": "classes", "dropout": 0.5}})
    model = build_model(spec, fields.layouts(), {"y": OutputLayout("classes", 3, (1, 1, 1))}, 5)
    path = write_bundle(
        folder / "bundle",
        kind="model",
        model=model.to_json(),
        answers={},
        fields_json=fields.to_json(),
        field_files=fields.files(),
        recipe_yaml="",
        weights=save_weights(model),
        edits=edits,
    )
    return model, fields, open_bundle(path)


def test_a_bundle_opens_as_the_model_that_was_written(tmp_path: Path) -> None:
    model, fields, bundle = bundled(tmp_path, [])
    rows = pa.record_batch({"size": [0.0, None], "color": ["blue", "never seen"]})
    encoded = {name: np.asarray(part) for name, part in fields.encode(rows).items()}
    backend = open_backend(bundle)
    assert backend.model.spec == model.spec
    assert backend.model.outputs == model.outputs
    assert np.array_equal(backend(encoded)["y"], TorchBackend(model)(encoded)["y"])


def test_a_bundle_with_an_unknown_edit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="must be known"):
        open_backend(bundled(tmp_path, [{"type": "sorcery"}])[2])


def test_a_tied_head_reads_the_token_vectors_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Head, "tied", True)
    read = {}

    def forward(self: Head, tokens: Tokens, table: Tensor) -> Tensor:
        read["table"] = table
        return tokens.values @ table.T

    monkeypatch.setattr(HEADS["classes"]().build(OUTPUTS["forward"], 16, 0).__class__, "forward", forward)
    encoders = {"a": TEXTS["transformer"](layers=0), "b": TEXTS["lstm"]()}
    spec = ModelSpec(dim=16, encoders=encoders, trunk={"type": "transformer", "causal": True}, heads={"b": "classes"})
    outputs = {"b": OutputLayout("classes", 30)}
    model = build_model(spec, {"a": TEXT, "b": TEXT}, outputs)
    assert model(inputs_of({"a": TEXT, "b": TEXT}))["b"].shape[-1] == 30
    assert read["table"] is model.encoders["1_b"].table  # of its own name
    one = ModelSpec(dim=16, encoders={"table": TABLES["tabm"]()}, heads={"b": "classes"})
    with pytest.raises(RecipeError, match="tied to the token vectors of one input"):
        build_model(one, {"table": TABLE}, outputs)


def test_a_row_may_lack_a_whole_group_while_training() -> None:
    spec = SPEC.model_copy(update={"group_dropout": 0.5, "trunk": TRUNKS["none"]()})
    model = build_model(spec, LAYOUTS, OUTPUTS, 0)
    torch.manual_seed(0)
    seen = model.train().group_dropout(torch.ones(64, 3, 16))
    assert sorted(set(seen.mean((1, 2)).tolist())) == [0.0, 2.0]
    seen = model.tokens(inputs_of(rows=64)).values[..., :16]
    whole = model.eval().tokens(inputs_of(rows=64)).values[..., :16]
    lacking = (seen == 0).all(-1).all(1)  # of the table, the first group
    assert 0.2 < lacking.float().mean().item() < 0.8
    assert not (whole == 0).all(-1).any()
    alone = spec.model_copy(update={"encoders": {"table": TABLES["mlp"]()}, "shared": {}})
    assert build_model(alone, {"table": TABLE}, OUTPUTS, 0).group_dropout.share == 0
