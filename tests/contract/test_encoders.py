"""Every encoder of every kind: shapes, gradients, padding, rows on their own, seeds, JSON."""

import pytest
import torch
from networks import CASES, DIM, IMAGE, KNOBS, ROWS, TABLE, TEXT, layout_of, parts_of, widened
from pydantic import TypeAdapter

from ceiba.base.errors import RecipeError
from ceiba.base.spec import one_of
from ceiba.encoders import ENCODERS, Encoder
from ceiba.fields import ImageLayout, TableLayout, TextLayout
from ceiba.layers import pool


def build(kind: str, name: str, layout: object = None, seed: int = 0, **knobs: object) -> Encoder:
    torch.manual_seed(seed)
    return ENCODERS[kind][name](**KNOBS.get((kind, name), {}), **knobs).build(layout or layout_of(kind, name), DIM)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_gives_tokens_as_wide_as_the_model(kind: str, name: str) -> None:
    encoder = build(kind, name)
    for rows in (1, ROWS):
        values, mask, members, _ = encoder(parts_of(layout_of(kind, name), rows))
        assert values.shape[0] == mask.shape[0] == rows
        assert values.shape[1] == mask.shape[1]
        assert values.shape[2] == DIM
        assert members == (encoder.members > 0)
        assert not members or values.shape[1] == encoder.members


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_gradient_reaches_every_parameter(kind: str, name: str) -> None:
    encoder = build(kind, name)
    with torch.no_grad():  # what starts at zero passes nothing down at first
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    values, mask, *_ = encoder(parts_of(layout_of(kind, name), rows=40))
    (values * mask.unsqueeze(-1) * torch.randn_like(values)).sum().backward()
    without = [
        name for name, parameter in encoder.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize("name", ENCODERS["text"])
def test_padding_has_no_influence(name: str) -> None:
    encoder = build("text", name).eval()
    parts = parts_of(layout_of("text", name), tokens=7)
    short, long = encoder(parts), encoder(widened(parts, 4))
    torch.testing.assert_close(pool(long), pool(short))
    if short.values.shape[1] == 7:
        assert not long.mask[:, 7:].any()
        torch.testing.assert_close(long.values[:, :7][short.mask], short.values[short.mask])


@pytest.mark.parametrize("name", ENCODERS["text"])
def test_an_empty_text_is_like_another_and_finite(name: str) -> None:
    encoder = build("text", name).eval()
    parts = {part: torch.zeros_like(value) for part, value in parts_of(layout_of("text", name), 3, 1).items()}
    pooled = pool(encoder(parts))
    assert pooled.isfinite().all()
    torch.testing.assert_close(pooled[0], pooled[2])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_row_alone_equals_itself_among_others(kind: str, name: str) -> None:
    encoder = build(kind, name).eval()
    parts = parts_of(layout_of(kind, name))
    together = encoder(parts)
    for row in range(ROWS):
        alone = encoder({part: value[row : row + 1] for part, value in parts.items()})
        torch.testing.assert_close(alone.values[alone.mask], together.values[row : row + 1][alone.mask])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_same_seed_same_bits(kind: str, name: str) -> None:
    first, again, other = build(kind, name), build(kind, name), build(kind, name, seed=1)
    weights = first.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in again.state_dict().items())
    assert any(not torch.equal(value, weights[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_spec_json_spec(kind: str, name: str) -> None:
    spec = ENCODERS[kind][name](**KNOBS.get((kind, name), {}))
    adapter = TypeAdapter(one_of(ENCODERS[kind]))
    assert adapter.validate_json(adapter.dump_json(spec)) == spec
    if (kind, name) not in KNOBS:
        assert adapter.validate_python(name) == spec


@pytest.mark.parametrize("name", ENCODERS["table"])
@pytest.mark.parametrize("columns", ["numbers", "codes"])
def test_table_of_one_column_reads_no_absent_part(name: str, columns: str) -> None:
    numbers = columns == "numbers"
    layout = TableLayout(("a",), int(numbers), () if numbers else (3,), ((),) if numbers else ())
    encoder = build("table", name, layout)
    part = torch.randn(4, 1) if numbers else torch.tensor([[0], [1], [2], [2]], dtype=torch.int32)
    assert encoder({columns: part}).values.shape[0] == 4


@pytest.mark.parametrize("name", ENCODERS["table"])
def test_table_without_columns_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="needs at least one column"):
        build("table", name, TableLayout((), 0, (), ()))


OWN_IMAGES = [name for name in ENCODERS["image"] if ("image", name) not in KNOBS]
"""Encoders that read images of any size and number of channels."""


@pytest.mark.parametrize("name", OWN_IMAGES)
@pytest.mark.parametrize("size", [(1, 1), (2, 5)])
def test_smallest_images(name: str, size: tuple[int, int]) -> None:
    layout = ImageLayout(*size, 1, (0.0,), (1.0,))
    assert build("image", name, layout).eval()(parts_of(layout, 2)).values.shape[::2] == (2, DIM)


def test_a_network_of_colors_refuses_grey_images() -> None:
    with pytest.raises(RecipeError, match="images of 3 channels"):
        build("image", "transformers", ImageLayout(9, 9, 1, (0.0,), (1.0,)))


def test_image_is_standardized_by_channel() -> None:
    pixels = build("image", "cnn").pixels(parts_of(IMAGE)["pixels"])
    raw = parts_of(IMAGE)["pixels"].permute(0, 3, 1, 2).float()
    torch.testing.assert_close(pixels[:, 0], (raw[:, 0] - 10) / 5)
    torch.testing.assert_close(pixels[:, 1], raw[:, 1] - 20)  # a channel without deviation is only centered


@pytest.mark.parametrize("numbers", ["scalar", "piecewise", "periodic"])
@pytest.mark.parametrize("name", ["mlp", "tokens", "tabm"])
def test_number_embeddings(name: str, numbers: str) -> None:
    encoder = build("table", name, numbers=numbers)
    assert encoder(parts_of(TABLE)).values.isfinite().all()


def test_piecewise_without_bins_takes_the_number_as_it_is() -> None:
    encoder = build("table", "mlp", TableLayout(("a",), 1, (), ((),)), numbers="piecewise")
    numbers = torch.tensor([[-1e4], [0.0], [1e4]])
    torch.testing.assert_close(encoder.features.numbers.encode(numbers), numbers.unsqueeze(-1))


@pytest.mark.parametrize(("kind", "name"), [("table", "tokens"), ("text", "transformer"), ("image", "vit")])
def test_heads_that_do_not_divide_dim_are_refused(kind: str, name: str) -> None:
    with pytest.raises(RecipeError, match=r"heads must divide dim \(16\)\. Got 3\. Use one of 1, 2"):
        build(kind, name, heads=3)


@pytest.mark.parametrize("name", sorted(set(ENCODERS["text"]) - {"bag"}))
def test_n_grams_are_for_the_bag_alone(name: str) -> None:
    with pytest.raises(RecipeError, match="reading order"):
        build("text", name, TextLayout(30, 12, weighted=True))


def test_the_bag_needs_weights() -> None:
    with pytest.raises(RecipeError, match="weighted n-grams"):
        build("text", "bag", TEXT)


@pytest.mark.parametrize(
    ("kind", "name", "knobs"),
    [(kind, name, {}) for kind, name in CASES if kind != "image" or name in OWN_IMAGES]
    + [("table", "mlp", {"norm": "batch"})],
)
def test_a_last_batch_of_one_row_can_be_learnt_from(kind: str, name: str, knobs: dict[str, object]) -> None:
    layout = ImageLayout(3, 3, 1, (0.0,), (1.0,)) if kind == "image" else layout_of(kind, name)
    encoder = build(kind, name, layout, **knobs).train()
    values = encoder(parts_of(layout, 1)).values
    values.sum().backward()
    assert values.isfinite().all()
