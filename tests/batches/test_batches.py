"""Batches and augmentation: the same for the same row address, whatever the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ceiba.batches import AUGMENTATIONS, AugmentSpec, Batches, gather
from ceiba.batches.augment import OFF, augment
from ceiba.fields import Ragged
from ceiba.prepare import Arrays

EVERYTHING = {
    "flip": True, "crop": 2, "rotate": 20.0, "color": 0.3, "erase": 0.5, "token_dropout": 0.3, "noise": 0.1,
}  # fmt: skip


def arrays(num_rows: int = 20) -> Arrays:
    random = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(random.integers(0, 9, num_rows))]).astype(np.int64)
    return Arrays(
        folder=Path(),
        num_rows=num_rows,
        parts={
            "table.numbers": random.normal(size=(num_rows, 3)).astype(np.float32),
            "text.ids": Ragged(random.integers(2, 99, offsets[-1]).astype(np.int32), offsets),
            "photo.pixels": random.integers(0, 256, (num_rows, 8, 10, 3)).astype(np.uint8),
        },
        targets={"y": random.integers(0, 2, num_rows)},
        weight=None,
        rows=np.arange(num_rows) * 7 + 3,
    )


def test_rows_are_gathered_and_padded_with_zeros() -> None:
    data = arrays()
    batch = gather(data, np.array([4, 0]))
    ids = data.parts["text.ids"]
    assert isinstance(ids, Ragged)
    assert batch.inputs["text.ids"].shape == (2, max(1, ids.lengths[[0, 4]].max()))
    start, end = ids.offsets[4], ids.offsets[5]
    assert batch.inputs["text.ids"][0, : end - start].tolist() == ids.values[start:end].tolist()
    assert (batch.inputs["text.ids"][0, end - start :] == 0).all()
    assert batch.rows.tolist() == [31, 3]
    assert batch.targets["y"].tolist() == data.targets["y"][[4, 0]].tolist()


def test_an_epoch_may_begin_anywhere() -> None:
    batches = Batches(arrays(), 6, seed=1, augment=AugmentSpec(**EVERYTHING))  # type: ignore[arg-type]
    whole, rest = list(batches.epoch(2)), list(batches.epoch(2, start=2))
    assert len(whole) == batches.per_epoch == 4
    assert len(rest) == 2
    for expected, found in zip(whole[2:], rest, strict=True):
        assert (expected.rows == found.rows).all()
        for name, part in expected.inputs.items():
            assert torch.equal(part, found.inputs[name])


def test_a_row_is_changed_the_same_way_in_any_batch() -> None:
    data, spec = arrays(), AugmentSpec(**EVERYTHING)  # type: ignore[arg-type]
    together = augment(gather(data, np.arange(20)), spec, 5, 1)
    for row in (0, 7, 19):
        alone = augment(gather(data, np.array([row])), spec, 5, 1)
        for name, part in alone.inputs.items():
            width = part.shape[1]
            assert torch.equal(part[0], together.inputs[name][row][:width]), name


@pytest.mark.parametrize("change", ["flip", "crop", "rotate", "color", "erase", "token_dropout", "noise"])
def test_each_change_changes_its_own_part_and_no_other(change: str) -> None:
    data, spec = arrays(), AugmentSpec(**{change: EVERYTHING[change]})  # type: ignore[arg-type]
    before = gather(data, np.arange(20))
    after = augment(before, spec, 0, 0)
    again, other = augment(before, spec, 0, 0), augment(before, spec, 0, 1)
    part = {"token_dropout": "text.ids", "noise": "table.numbers"}.get(change, "photo.pixels")
    for name, value in before.inputs.items():
        assert torch.equal(value, after.inputs[name]) == (name != part), name
        assert value.dtype == after.inputs[name].dtype
        assert value.shape == after.inputs[name].shape
    assert torch.equal(after.inputs[part], again.inputs[part])
    assert not torch.equal(after.inputs[part], other.inputs[part])


def test_off_is_free() -> None:
    batch = gather(arrays(), np.arange(3))
    assert augment(batch, OFF, 0, 0) is batch


def picture() -> torch.Tensor:
    pixels = torch.zeros(1, 5, 5, 1, dtype=torch.uint8)
    pixels[0, 1, 0, 0] = 200
    return pixels


def test_flip_mirrors_left_to_right() -> None:
    flipped = AUGMENTATIONS["flip"](picture(), torch.tensor([[0.1, 0, 0, 0]]), AugmentSpec(flip=True))
    assert flipped[0, 1, 4, 0] == 200
    assert flipped.sum() == 200


def test_crop_shifts_and_fills_with_zeros() -> None:
    spec = AugmentSpec(crop=1)
    shifted = AUGMENTATIONS["crop"](picture(), torch.tensor([[0.0, 0.0, 0, 0]]), spec)
    assert shifted[0, 2, 1, 0] == 200
    gone = AUGMENTATIONS["crop"](picture(), torch.tensor([[0.5, 0.99, 0, 0]]), spec)
    assert gone.sum() == 0


def test_rotate_by_half_a_turn_turns_half_around() -> None:
    turned = AUGMENTATIONS["rotate"](picture(), torch.tensor([[1.0, 0, 0, 0]]), AugmentSpec(rotate=180))
    assert turned[0, 3, 4, 0] == 200


def test_tokens_are_dropped_at_the_asked_rate_and_padding_stays() -> None:
    data = arrays(2000)
    before = gather(data, np.arange(2000))
    after = augment(before, AugmentSpec(token_dropout=0.3), 0, 0).inputs["text.ids"]
    ids = before.inputs["text.ids"]
    assert (after[ids == 0] == 0).all()
    assert abs((after[ids != 0] == 1).float().mean() - 0.3) < 0.02


def test_noise_is_normal() -> None:
    before = gather(arrays(5000), np.arange(5000))
    noise = augment(before, AugmentSpec(noise=0.5), 0, 0).inputs["table.numbers"] - before.inputs["table.numbers"]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 0.5) < 0.02
    assert abs((noise.abs() < 0.5).float().mean() - 0.683) < 0.02


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_blended_rows_carry_their_partner_and_share(kind: str) -> None:
    before = gather(arrays(), np.arange(20))
    after = augment(before, AugmentSpec(**{kind: 1.0}), 0, 0)  # type: ignore[arg-type]
    assert after.mix is not None
    partner = torch.tensor([19, *range(19)])
    assert torch.equal(after.mix.targets["y"], before.targets["y"][partner])
    assert ((after.mix.share >= 0) & (after.mix.share <= 1)).all()
    own, other = before.inputs["photo.pixels"], before.inputs["photo.pixels"][partner]
    found = after.inputs["photo.pixels"]
    if kind == "mixup":
        share = after.mix.share[:, None, None, None]
        expected = (share * own + (1 - share) * other).round().to(torch.uint8)
        assert torch.equal(found, expected)
    else:
        from_other = (found == other).all(-1) & ~(found == own).all(-1)
        assert torch.allclose(from_other.float().mean((1, 2)), 1 - after.mix.share, atol=0.03)
