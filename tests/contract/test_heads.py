"""Every head: shapes, gradients, missing targets, weights, members, seeds, JSON."""

import pytest
import torch
from networks import DIM, ROWS
from pydantic import TypeAdapter
from torch import Tensor

from ceiba.answers import ANSWERS
from ceiba.base.errors import RecipeError
from ceiba.base.spec import one_of
from ceiba.heads import HEADS, Head, OutputLayout
from ceiba.layers import Tokens

OUTPUTS = {
    "regression": OutputLayout("number", mean=2.0, std=1.5),
    "binary": OutputLayout("binary", 2, (30, 10)),
    "classes": OutputLayout("classes", 3, (10, 20, 30)),
    "labels": OutputLayout("labels", 4, (1, 2, 3, 4)),
}
TOKEN_HEADS = ("next_token", "masked", "denoise", "tags", "span", "sequence", "sequence_gru", "preference")
"""Heads with a loss at every token, which have tests of their own."""
ROW_HEADS = [name for name in HEADS if name not in TOKEN_HEADS]
VARIANTS = [
    ("regression", {"loss": "mse"}),
    ("regression", {"loss": "mae"}),
    ("regression", {"loss": "huber"}),
    ("regression", {"loss": "quantile", "quantile": 0.9}),
    ("regression", {"loss": "poisson"}),
    ("binary", {}),
    ("binary", {"class_weights": "balanced", "label_smoothing": 0.1}),
    ("binary", {"focal": 2.0}),
    ("classes", {}),
    ("classes", {"focal": 0.5, "label_smoothing": 0.1}),
    ("classes", {"class_weights": "balanced", "label_smoothing": 0.1}),
    ("labels", {}),
    ("labels", {"label_weights": (1.0, 2.0, 3.0, 4.0)}),
]
SHAPES = {"regression": (), "binary": (), "classes": (3,), "labels": (4,)}


def build(name: str, members: int = 0, seed: int = 0, **knobs: object) -> Head:
    torch.manual_seed(seed)
    return HEADS[name](**knobs).build(OUTPUTS[name], DIM, members)


def targets(name: str, rows: int = ROWS) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if name == "regression":
        return torch.randn(rows, generator=generator)
    if name == "labels":
        return torch.randint(0, 2, (rows, 4), generator=generator).float()
    return torch.randint(0, OUTPUTS[name].classes, (rows,), generator=generator)


def missing(target: Tensor, row: int) -> Tensor:
    gone = target.clone()
    gone[row] = float("nan") if gone.is_floating_point() else -1
    return gone


def logits_of(name: str, members: int = 0, rows: int = ROWS, dtype: torch.dtype = torch.float32) -> Tensor:
    shape = (rows, *((members,) if members else ()), *SHAPES[name])
    return torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=dtype) * 2


def test_every_head_is_tried() -> None:
    assert {name for name, _ in VARIANTS} == set(ROW_HEADS) == set(OUTPUTS)


@pytest.mark.parametrize("name", ROW_HEADS)
@pytest.mark.parametrize("members", [0, 3])
@pytest.mark.parametrize("rows", [1, ROWS])
def test_logits_loss_and_answer_shapes(name: str, members: int, rows: int) -> None:
    head = build(name, members)
    values = torch.randn(rows, members or 4, DIM)
    logits = head(Tokens(values, torch.ones(values.shape[:2]) > 0, members > 0))
    assert logits.shape == (rows, *((members,) if members else ()), *SHAPES[name])
    total, weight = head.loss(logits, targets(name, rows))
    assert total.shape == weight.shape == ()
    assert weight == rows
    assert head.combine(logits).shape == (rows, *SHAPES[name])
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())


@pytest.mark.parametrize("name", ROW_HEADS)
def test_names_of_answers(name: str) -> None:
    head = build(name)
    assert head.answer in ANSWERS
    assert head.answer == OUTPUTS[name].kind


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
def test_a_missing_target_changes_nothing_but_the_weight(name: str, knobs: dict[str, object]) -> None:
    head, logits, target = build(name, **knobs), logits_of(name).requires_grad_(), targets(name)
    total, weight = head.loss(logits, missing(target, 2))
    total.backward()
    kept = [0, 1, 3, 4]
    expected, expected_weight = head.loss(logits[kept], target[kept])
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(weight, expected_weight)
    assert logits.grad is not None
    assert not logits.grad[2].any()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
@pytest.mark.parametrize("members", [0, 2])
def test_to_know_that_all_targets_are_there_changes_no_loss(name: str, knobs: dict[str, object], members: int) -> None:
    head, logits, target = build(name, members, **knobs), logits_of(name, members), targets(name)
    for weight in (None, torch.rand(ROWS)):
        for share in (None, torch.rand(ROWS)):
            plain, known = (head.loss(logits, target, weight, share, is_known=given) for given in (False, True))
            torch.testing.assert_close(known, plain)


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
def test_no_known_target_gives_zero_and_no_gradient(name: str, knobs: dict[str, object]) -> None:
    head, logits, target = build(name, **knobs), logits_of(name, rows=1).requires_grad_(), targets(name, 1)
    total, weight = head.loss(logits, missing(target, 0))
    total.backward()
    assert total == weight == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
def test_a_row_weight_of_two_is_the_row_twice(name: str, knobs: dict[str, object]) -> None:
    head, logits, target = build(name, **knobs), logits_of(name), targets(name)
    weighted = head.loss(logits, target, torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0]))
    twice = [0, 1, 1, 2, 4]
    torch.testing.assert_close(weighted, head.loss(logits[twice], target[twice]))


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
def test_shares_of_one_target_add_up_to_the_whole(name: str, knobs: dict[str, object]) -> None:
    head, logits, target = build(name, **knobs), logits_of(name), targets(name)
    share = torch.rand(ROWS)
    first, weight = head.loss(logits, target, None, share)
    second, _ = head.loss(logits, target, None, 1 - share)
    torch.testing.assert_close((first + second, weight), head.loss(logits, target))


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
def test_the_loss_of_members_is_the_mean_of_their_losses(name: str, knobs: dict[str, object]) -> None:
    many, one = build(name, 3, **knobs), build(name, **knobs)
    logits, target = logits_of(name, 3), targets(name)
    each = torch.stack([one.loss(logits[:, member], target)[0] for member in range(3)])
    torch.testing.assert_close(many.loss(logits, target)[0], each.mean())


@pytest.mark.parametrize(("name", "knobs"), VARIANTS)
@pytest.mark.parametrize("members", [0, 2])
def test_gradient_of_the_loss(name: str, knobs: dict[str, object], members: int) -> None:
    head, target = build(name, members, **knobs), targets(name)
    logits = logits_of(name, members, dtype=torch.float64).requires_grad_()
    weight = torch.rand(ROWS, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: head.loss(z, missing(target, 1), weight)[0], (logits,))


@pytest.mark.parametrize(("name", "knobs"), [variant for variant in VARIANTS if "poisson" not in variant[1].values()])
def test_extreme_logits_stay_finite(name: str, knobs: dict[str, object]) -> None:
    for members in (0, 2):
        head, logits = build(name, members, **knobs), logits_of(name, members) * 1e4
        logits.requires_grad_()
        total, _ = head.loss(logits, targets(name))
        total.backward()
        assert total.isfinite()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert head.combine(logits).isfinite().all()


@pytest.mark.parametrize("name", ROW_HEADS)
def test_half_precision_logits_are_summed_wide(name: str) -> None:
    head, target = build(name), targets(name)
    total, _ = head.loss(logits_of(name).bfloat16(), target)
    assert total.dtype == torch.float32


@pytest.mark.parametrize("name", ROW_HEADS)
def test_spec_json_spec(name: str) -> None:
    adapter = TypeAdapter(one_of(HEADS))
    for variant, knobs in VARIANTS:
        if variant == name:
            spec = HEADS[name](**knobs)
            assert adapter.validate_json(adapter.dump_json(spec)) == spec


@pytest.mark.parametrize("weights", [(1.0, 2.0), (1.0, 2.0, -1.0), ()])
def test_class_weights_that_do_not_fit_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(RecipeError, match="class_weights must be 3 numbers from 0 up"):
        build("classes", class_weights=weights)


def test_balance_needs_counts() -> None:
    with pytest.raises(RecipeError, match="balanced needs 3 counts"):
        HEADS["classes"](class_weights="balanced").build(OutputLayout("classes", 3), DIM, 0)


def test_balance_of_a_class_never_seen_is_finite() -> None:
    head = HEADS["classes"](class_weights="balanced").build(OutputLayout("classes", 3, (4, 0, 8)), DIM, 0)
    assert head.weights.isfinite().all()


@pytest.mark.parametrize("classes", [1, 3])
def test_binary_is_for_two_classes(classes: int) -> None:
    with pytest.raises(RecipeError, match="binary needs two classes"):
        HEADS["binary"]().build(OutputLayout("binary", classes), DIM, 0)


@pytest.mark.parametrize(
    ("layout", "rule"),
    [
        (OutputLayout("number", mean=1.0, low=-2.0), "counts from 0 up, not all 0. Got -2.0"),
        (OutputLayout("number", mean=0.0), "counts from 0 up, not all 0"),
        (OutputLayout("number", mean=1.0, log=True), "a target without log"),
    ],
)
def test_poisson_is_for_counts(layout: OutputLayout, rule: str) -> None:
    with pytest.raises(RecipeError, match=rule):
        HEADS["regression"](loss="poisson").build(layout, DIM, 0)
