"""Each layer against its equation, written out step by step, or against torch's own."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ceiba.layers import (
    BatchNorm1d,
    BatchNorm2d,
    CategoryEmbedding,
    EnsembleLinear,
    MemberLinear,
    PeriodicNumbers,
    PiecewiseNumbers,
    Positions,
    Recurrent,
    ResidualBlock,
    ScalarNumbers,
    SelfAttention,
    Sight,
    StochasticDepth,
    TimeConvolutions,
    TransformerBlock,
    TransformerOptions,
    WeightedBag,
    attend,
    visible,
)
from ceiba.layers.recurrence import CELLS, ElmanRnn, turned_round

close = torch.testing.assert_close


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def mask_of(lengths: list[int], width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def test_attention_is_its_equation() -> None:
    query, key, value = (torch.randn(2, 3, 5, 4) for _ in range(3))
    mask = mask_of([5, 2], 5)[:, None, None, :]
    scores = query @ key.transpose(-1, -2) / math.sqrt(4)
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1)
    close(attend(query, key, value, mask), weights @ value)
    close(attend(query, key, value), scores.softmax(-1) @ value)


def test_a_row_masked_whole_stays_finite() -> None:
    query, key, value = (torch.randn(2, 1, 3, 4, requires_grad=True) for _ in range(3))
    out = attend(query, key, value, visible(mask_of([3, 0], 3)))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in (query, key, value))


def test_causal_sight() -> None:
    seen = visible(mask_of([3, 2], 3), is_causal=True)[:, 0]
    assert seen[0].tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert seen[1].tolist() == [[True, False, False], [True, True, False], [True, True, False]]


def test_self_attention_is_torchs() -> None:
    own, other = SelfAttention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(own.query_key_value.weight)
        other.in_proj_bias.copy_(own.query_key_value.bias)
        other.out_proj.weight.copy_(own.out.weight)
        other.out_proj.bias.copy_(own.out.bias)
    values, mask = torch.randn(3, 6, 8), mask_of([6, 4, 1], 6)
    close(own(values, Sight(visible(mask))), other(values, values, values, key_padding_mask=~mask)[0])


def test_transformer_block_is_torchs() -> None:
    own = TransformerBlock(8, TransformerOptions(heads=2, feed_forward=2, dropout=0))
    other = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
    pairs = {
        "self_attn.in_proj_weight": own.attention.query_key_value.weight,
        "self_attn.in_proj_bias": own.attention.query_key_value.bias,
        "self_attn.out_proj.weight": own.attention.out.weight,
        "self_attn.out_proj.bias": own.attention.out.bias,
        "linear1.weight": own.feed_forward[0].weight,
        "linear1.bias": own.feed_forward[0].bias,
        "linear2.weight": own.feed_forward[3].weight,
        "linear2.bias": own.feed_forward[3].bias,
    }
    other.load_state_dict({name: value.detach() for name, value in pairs.items()}, strict=False)
    values = torch.randn(2, 5, 8)
    close(own(values), other(values))


def test_positions_are_added_by_place() -> None:
    positions = Positions(6, 4)
    close(positions(torch.zeros(2, 3, 4)), positions.table[:3].expand(2, -1, -1))


def step(cell: str, weights: list[Tensor], x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of a cell as its docstring has it."""
    of_input, of_state = F.linear(x, weights[0], weights[2]), F.linear(h, weights[1], weights[3])
    if cell == "rnn":
        return (of_input + of_state).tanh(), c
    if cell == "lstm":
        i, f, g, o = (of_input + of_state).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    (r, z, n), (r_h, z_h, n_h) = of_input.chunk(3, -1), of_state.chunk(3, -1)
    new = (n + (r + r_h).sigmoid() * n_h).tanh()
    update = (z + z_h).sigmoid()
    return (1 - update) * new + update * h, c


@pytest.mark.parametrize("cell", CELLS)
def test_recurrence_is_its_equation_in_both_directions(cell: str) -> None:
    net = Recurrent(cell, 3, 4, layers=1, bidirectional=True, dropout=0.0)
    lengths, values = [5, 1, 3, 0], torch.randn(4, 5, 3)
    found = net(values, mask_of(lengths, 5))
    for row, length in enumerate(lengths):
        for half, layer in enumerate((net.forwards[0], net.backwards[0])):
            h = c = torch.zeros(4)
            order = range(length) if half == 0 else reversed(range(length))
            for place in order:
                h, c = step(cell, layer.all_weights[0], values[row, place], h, c)
                close(found[row, place, 4 * half : 4 * half + 4], h)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_two_layers_are_torchs_packed_ones(cell: str) -> None:
    net = Recurrent(cell, 3, 4, layers=2, bidirectional=True, dropout=0.0)
    other = (nn.LSTM if cell == "lstm" else nn.GRU)(3, 4, 2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for suffix, own in (("", net.forwards[layer]), ("_reverse", net.backwards[layer])):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(other, f"{name}_l{layer}{suffix}").data.copy_(getattr(own, f"{name}_l0").data)
    lengths, values = [5, 1, 3], torch.randn(3, 5, 3)
    packed = nn.utils.rnn.pack_padded_sequence(values, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(other(packed)[0], batch_first=True)
    mask = mask_of(lengths, 5)
    close(net(values, mask)[mask], expected[mask])


def test_turned_round_keeps_padding_and_undoes_itself() -> None:
    order = turned_round(mask_of([3, 0, 1], 3))
    assert order.tolist() == [[2, 1, 0], [0, 1, 2], [0, 1, 2]]
    order = turned_round(mask_of([2], 4))
    assert order.tolist() == [[1, 0, 2, 3]]
    assert order.gather(1, order).tolist() == [[0, 1, 2, 3]]


def test_plain_recurrence_is_the_same_in_its_exported_form(monkeypatch: pytest.MonkeyPatch) -> None:
    net, values = ElmanRnn(3, 4), torch.randn(2, 6, 3) * 5
    eager = net(values)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    exported = net(values)
    close(exported, eager)
    assert exported[0].abs().max() > 0.9


def test_bag_has_one_meaning_in_two_forms() -> None:
    bag = WeightedBag(9, 4)
    nn.init.normal_(bag.weight)
    ids, weights = torch.tensor([[3, 5, 3], [8, 0, 0], [0, 0, 0]], dtype=torch.int32), torch.rand(3, 3)
    by_hand = torch.stack(
        [
            sum((weights[row, t] * bag.weight[ids[row, t]] for t in range(3) if ids[row, t]), torch.zeros(4))
            for row in range(3)
        ]
    )
    gradients = []
    for form in (bag, bag.gathered):
        out = form(ids, weights)
        close(out, by_hand)
        gradients.append(torch.autograd.grad((out * torch.arange(4.0)).sum(), bag.weight)[0])
    close(gradients[0], gradients[1])
    assert not gradients[0][0].any()


def piecewise(x: float, edges: list[float]) -> list[float]:
    """Gorishniy 2022, equation 1, place by place."""
    bins = len(edges) - 1
    out = []
    for t in range(1, bins + 1):
        if x < edges[t - 1] and t > 1:
            out.append(0.0)
        elif x >= edges[t] and t < bins:
            out.append(1.0)
        else:
            out.append((x - edges[t - 1]) / (edges[t] - edges[t - 1]))
    return out


def test_piecewise_encoding_is_its_equation() -> None:
    columns = [[-1.0, 0.0, 0.5, 3.0], [0.0, 2.0], []]
    numbers = PiecewiseNumbers(columns, 4)
    values = [-5.0, -1.0, -0.3, 0.0, 0.2, 0.5, 2.9, 3.0, 9.0]
    found = numbers.encode(torch.tensor(values).unsqueeze(1).expand(-1, 3))
    for row, x in enumerate(values):
        expected = [piecewise(x, columns[0]), [*piecewise(x, columns[1]), 0.0, 0.0], [x, 0.0, 0.0]]
        close(found[row], torch.tensor(expected))


def test_piecewise_vector_is_a_linear_layer_of_each_column() -> None:
    numbers, x = PiecewiseNumbers([[0.0, 1.0, 2.0], [0.0, 4.0]], 3), torch.randn(5, 2)
    codes = numbers.encode(x)
    for column in range(2):
        expected = (codes[:, column] @ numbers.weight[column] + numbers.bias[column]).relu()
        close(numbers(x)[:, column], expected)


def test_no_bins_at_all_is_the_number_itself() -> None:
    x = torch.randn(4, 2)
    close(PiecewiseNumbers([(), ()], 3).encode(x), x.unsqueeze(-1))


def test_periodic_is_its_equation() -> None:
    numbers, x = PeriodicNumbers(2, 3, frequencies=4, deviation=0.5), torch.randn(5, 2)
    for column in range(2):
        angle = 2 * math.pi * x[:, column, None] * numbers.frequency[column]
        waves = torch.cat([angle.sin(), angle.cos()], 1)
        close(numbers(x)[:, column], F.relu(waves @ numbers.weight[column] + numbers.bias[column]))


def test_scalar_is_its_equation() -> None:
    numbers, x = ScalarNumbers(2, 3), torch.randn(5, 2)
    close(numbers(x)[:, 1], x[:, 1:] * numbers.weight[1] + numbers.bias[1])


def test_categories_are_tables_of_their_own() -> None:
    embedding, codes = CategoryEmbedding((3, 1, 4), 2), torch.tensor([[2, 0, 3], [0, 0, 0]], dtype=torch.int32)
    tables = embedding.table.weight.split([3, 1, 4])
    close(embedding(codes), torch.stack([tables[column][codes[:, column]] for column in range(3)], 1))


def test_ensemble_is_its_equation() -> None:
    layer, x = EnsembleLinear(3, 4, 2, "normal"), torch.randn(5, 2, 3)
    nn.init.normal_(layer.output_scale)
    for m in range(2):
        expected = F.linear(x[:, m] * layer.input_scale[m], layer.weight) * layer.output_scale[m] + layer.bias[m]
        close(layer(x)[:, m], expected)


def test_members_have_matrices_of_their_own() -> None:
    layer, x = MemberLinear(3, 4, 2), torch.randn(5, 2, 3)
    for m in range(2):
        close(layer(x)[:, m], x[:, m] @ layer.weight[m] + layer.bias[m])


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_convolution_over_time_is_its_equation(kernel: int) -> None:
    layer = TimeConvolutions(3, 2, (kernel,))
    values, mask = torch.randn(3, 5, 3), mask_of([5, 2, 0], 5)
    weight, bias = layer.convolutions[0].weight, layer.convolutions[0].bias
    for row, length in enumerate([5, 2, 0]):
        padded = F.pad(values[row, :length], (0, 0, kernel // 2, kernel))
        answers = [
            ((padded[place : place + kernel] * weight.transpose(1, 2)).sum((1, 2)) + bias).relu()
            for place in range(length)
        ]
        expected = torch.stack(answers).amax(0) if answers else torch.zeros(2)
        close(layer(values, mask)[row], expected)


@pytest.mark.parametrize(("inputs", "stride"), [(4, 1), (4, 2), (3, 1)])
def test_residual_block_is_its_equation(inputs: int, stride: int) -> None:
    block, x = ResidualBlock(inputs, 4, stride).eval(), torch.randn(2, inputs, 5, 6)
    branch = block.branch
    hidden = F.relu(branch[1](F.conv2d(x, branch[0].weight, stride=stride, padding=1)))
    hidden = branch[4](F.conv2d(hidden, branch[3].weight, padding=1))
    same = stride == 1 and inputs == 4
    shortcut = x if same else block.shortcut[1](F.conv2d(x, block.shortcut[0].weight, stride=stride))
    close(block(x), F.relu(shortcut + hidden))


def test_stochastic_depth_drops_rows_and_keeps_the_mean() -> None:
    layer, x = StochasticDepth(0.25), torch.ones(4000, 3)
    out = layer(x)
    assert set(out[:, 0].tolist()) == {0.0, 1 / 0.75} or sorted(set(out[:, 0].tolist()))[0] == 0.0
    assert torch.equal(out[:, 0], out[:, 2])
    assert abs(out.mean().item() - 1) < 0.05
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 5), (1, 3, 4, 5)])
def test_batch_norm_is_torchs(shape: tuple[int, ...]) -> None:
    own, other = (BatchNorm1d(3), nn.BatchNorm1d(3)) if len(shape) == 2 else (BatchNorm2d(3), nn.BatchNorm2d(3))
    for values in (torch.randn(shape), torch.randn(shape) * 2 + 1):
        close(own(values), other(values))
    close(own.running_var, other.running_var)
    close(own.eval()(values), other.eval()(values))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_batch_norm_of_a_single_value_uses_the_running_figures(shape: tuple[int, ...]) -> None:
    norm = BatchNorm1d(3) if len(shape) == 2 else BatchNorm2d(3)
    norm(torch.randn(8, *shape[1:]) + 2)
    before, values = norm.running_mean.clone(), torch.randn(shape)
    close(norm(values), norm.eval()(values))
    close(norm.running_mean, before)
