"""Tokens and their pooling: edge sizes first."""

import torch

from ceiba.layers import Dense, Mlp, TokenEmbedding, Tokens, join_tokens, one_token, pool


def test_no_row_no_token() -> None:
    assert pool(Tokens(torch.zeros(0, 3, 2), torch.zeros(0, 3) > 0)).shape == (0, 2)
    assert torch.equal(pool(Tokens(torch.zeros(2, 0, 3), torch.zeros(2, 0) > 0)), torch.zeros(2, 3))


def test_one_token_is_itself_unless_masked() -> None:
    values = torch.randn(3, 2)
    assert torch.equal(pool(one_token(values)), values)
    spoiled = values.index_fill(0, torch.tensor([1]), float("nan")).unsqueeze(1)
    masked = Tokens(spoiled, torch.tensor([[True], [False], [True]]))
    assert torch.equal(pool(masked), values * torch.tensor([[1.0], [0.0], [1.0]]))


def test_ragged_rows_are_means_of_what_counts() -> None:
    values = torch.randn(3, 4, 2)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]) > 0
    spoiled = values.masked_fill(~mask.unsqueeze(-1), float("nan"))
    found = pool(Tokens(spoiled, mask))
    torch.testing.assert_close(found, torch.stack([values[0].mean(0), values[1, 0], torch.zeros(2)]))


def test_joined_tokens_keep_order_and_mask() -> None:
    first, second = one_token(torch.ones(2, 3)), Tokens(torch.zeros(2, 2, 3), torch.tensor([[True, False]] * 2))
    joined = join_tokens([first, second])
    assert joined.values[0, :, 0].tolist() == [1, 0, 0]
    assert joined.mask[0].tolist() == [True, True, False]
    assert not joined.members


def test_padding_id_gives_zeros_and_learns_nothing() -> None:
    embedding = TokenEmbedding(5, 3)
    out = embedding(torch.tensor([[0, 2]]))
    out.sum().backward()
    assert not out[0, 0].any()
    assert not embedding.table.weight.grad[0].any()
    assert embedding.table.weight.grad[2].all()


def test_dense_holds_no_module_that_does_nothing() -> None:
    assert [type(layer).__name__ for layer in Dense(2, 3)] == ["Linear", "ReLU"]
    full = Dense(2, 3, "gelu", "rms", 0.5)
    assert [type(layer).__name__ for layer in full] == ["Linear", "RMSNorm", "GELU", "Dropout"]


def test_mlp_of_no_layer_is_the_identity() -> None:
    values = torch.randn(2, 3)
    assert torch.equal(Mlp(3, [])(values), values)
