"""Every trunk: shapes, gradients, masked tokens, members, seeds, JSON."""

import pytest
import torch
from networks import DIM, ROWS
from pydantic import TypeAdapter

from ceiba.base.errors import RecipeError
from ceiba.base.spec import one_of
from ceiba.layers import Tokens, pool
from ceiba.trunks import TRUNKS, Trunk


def build(name: str, groups: tuple[str, ...] = ("a", "b"), members: int = 0, seed: int = 0, **knobs: object) -> Trunk:
    torch.manual_seed(seed)
    return TRUNKS[name](**knobs).build(DIM, groups, members)


def tokens(rows: int, count: int, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, count, generator=generator) < 0.6
    mask[0] = True
    return Tokens(torch.randn(rows, count, DIM, generator=generator), mask)


def two_groups(rows: int = ROWS) -> dict[str, Tokens]:
    return {"a": tokens(rows, 4), "b": tokens(rows, 1, seed=1)}


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("rows", [1, ROWS])
def test_gives_tokens_of_its_dim(name: str, rows: int) -> None:
    for groups in (two_groups(rows), {"a": tokens(rows, 4)}):
        trunk = build(name, tuple(groups))
        values, mask, members, _ = trunk(groups)
        assert values.shape == (*mask.shape, trunk.dim)
        assert not members


@pytest.mark.parametrize("name", TRUNKS)
def test_gradient_reaches_every_parameter(name: str) -> None:
    knobs = [{"pool": "first"}, {"pool": "mean"}] if name == "transformer" else [{}]
    for knob in knobs:
        trunk = build(name, **knob)
        groups = two_groups(40)
        groups["a"].values.requires_grad_()
        out = pool(trunk(groups))
        (out * torch.randn_like(out)).sum().backward()
        assert [
            n for n, parameter in trunk.named_parameters() if parameter.grad is None or not parameter.grad.any()
        ] == []


@pytest.mark.parametrize("name", TRUNKS)
def test_masked_tokens_have_no_influence(name: str) -> None:
    trunk, groups = build(name).eval(), two_groups()
    other = {
        group: Tokens(torch.where(part.mask.unsqueeze(-1), part.values, 7.0), part.mask)
        for group, part in groups.items()
    }
    torch.testing.assert_close(pool(trunk(other)), pool(trunk(groups)))


@pytest.mark.parametrize("name", TRUNKS)
def test_a_row_alone_equals_itself_among_others(name: str) -> None:
    trunk, groups = build(name).eval(), two_groups()
    together = pool(trunk(groups))
    for row in range(ROWS):
        alone = {key: Tokens(part.values[row : row + 1], part.mask[row : row + 1]) for key, part in groups.items()}
        torch.testing.assert_close(pool(trunk(alone)), together[row : row + 1])


@pytest.mark.parametrize("name", sorted(set(TRUNKS) - {"transformer"}))
def test_members_stay_apart_and_each_gets_the_other_groups(name: str) -> None:
    trunk = build(name, members=3).eval()
    members = tokens(ROWS, 3)._replace(members=True, mask=torch.ones(ROWS, 3, dtype=torch.bool))
    other = tokens(ROWS, 4, seed=2)
    out = trunk({"a": members, "b": other})
    assert out.members
    assert out.values.shape == (ROWS, 3, trunk.dim)
    changed = members.values.clone()
    changed[:, 0] += 1
    again = trunk({"a": members._replace(values=changed), "b": other})
    assert torch.equal(again.values[:, 1:], out.values[:, 1:])
    assert not torch.equal(again.values[:, 0], out.values[:, 0])
    moved = trunk({"a": members, "b": other._replace(values=other.values + 1)})
    assert (moved.values != out.values).any(-1).all()


def test_transformer_refuses_members() -> None:
    with pytest.raises(RecipeError, match="members of an ensemble"):
        build("transformer", members=3)


def test_causal_refuses_a_first_token() -> None:
    with pytest.raises(RecipeError, match="pool: first"):
        build("transformer", causal=True, pool="first")


def test_causal_tokens_do_not_see_what_comes_after() -> None:
    trunk, part = build("transformer", ("a",), causal=True).eval(), tokens(2, 5)._replace(mask=torch.ones(2, 5) > 0)
    later = part.values.clone()
    later[:, 3:] = later[:, 3:].flip(-1)
    before, after = trunk({"a": part}).values, trunk({"a": part._replace(values=later)}).values
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3:], before[:, 3:])


def test_first_token_alone_is_read() -> None:
    assert build("transformer", pool="first")(two_groups()).values.shape == (ROWS, 1, DIM)


@pytest.mark.parametrize("name", TRUNKS)
def test_same_seed_same_bits(name: str) -> None:
    first, again = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(value, first[key]) for key, value in again.items())


@pytest.mark.parametrize("name", TRUNKS)
def test_spec_json_spec(name: str) -> None:
    adapter = TypeAdapter(one_of(TRUNKS))
    spec = TRUNKS[name]()
    assert adapter.validate_json(adapter.dump_json(spec)) == spec
