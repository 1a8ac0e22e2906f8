"""The head that restores: its loss by hand, what its decoder sees, and that all of the network learns from it."""

import pytest
import torch
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.fields import TextLayout
from ceiba.heads import HEADS, OutputLayout
from ceiba.model import Model, ModelSpec, build_model

VOCAB, END, FIRST, DIM = 14, 2, 11, 8
ENCODER = {"kind": "text", "type": "transformer", "layers": 1, "heads": 2, "dropout": 0}
HEAD = {"type": "denoise", "layers": 2, "heads": 2, "dropout": 0}
LEFT = torch.tensor([[5, 11, 6, 12, 7], [11, 9, 0, 0, 0], [4, 0, 0, 0, 0]])
TOLD = torch.tensor([[11, 3, 4, 12, 8, 13], [11, 5, 12, 0, 0, 0], [0, 0, 0, 0, 0, 0]])


def build(encoder: object = ENCODER, **head: object) -> Model:
    spec = ModelSpec(dim=DIM, encoders={"text": encoder}, heads={"text": {**HEAD, **head}})
    output = OutputLayout("text", VOCAB, end=END, max_tokens=6)
    return build_model(spec, {"text": TextLayout(VOCAB, 8, False)}, {"text": output})


def inputs(left: Tensor = LEFT, told: Tensor = TOLD) -> dict[str, Tensor]:
    return {"text.ids": left, "text.teacher": told}


@pytest.mark.parametrize("encoder", [ENCODER, {"kind": "text", "type": "lstm", "width": 6}])
def test_the_loss_is_the_mean_surprise_at_what_was_left_out(encoder: object) -> None:
    model = build(encoder).eval()
    logs = model(inputs())["text"].log_softmax(-1)
    loss, sums = model.loss(inputs(), {"text": TOLD})
    each = [-logs[row, place, TOLD[row, place]] for row, place in TOLD.nonzero().tolist()]
    torch.testing.assert_close(loss, torch.stack(each).mean())
    assert sums["text"][1] == 9
    found = model.answers(inputs())["text"]
    torch.testing.assert_close(found[:, 0], torch.stack([sum(each[:6]), sum(each[6:]), torch.tensor(0.0)]))  # type: ignore[arg-type]
    assert found[:, 1].tolist() == [6, 3, 0]
    assert logs.exp()[..., 0].max() == 0, "padding is never answered"
    loss.backward()
    assert [name for name, one in model.named_parameters() if one.grad is None or not one.grad.any()] == []


def test_a_token_is_told_from_those_before_it_and_from_all_that_is_left() -> None:
    model = build(positions="rotary").eval()
    before = model(inputs())["text"]
    later, earlier = TOLD.clone(), TOLD.clone()
    later[0, 3:] = 6
    torch.testing.assert_close(model(inputs(told=later))["text"][0, :4], before[0, :4])
    earlier[0, 1] = 6
    assert not torch.allclose(model(inputs(told=earlier))["text"][0, 2], before[0, 2])
    seen = LEFT.clone()
    seen[0, 4] = 9  # the last token that is left tells of the first one that is not
    assert not torch.allclose(model(inputs(seen))["text"][0, 0], before[0, 0])
    wide = torch.nn.functional.pad(LEFT, (0, 3))
    torch.testing.assert_close(model(inputs(wide))["text"], before)


def test_one_table_serves_the_encoder_the_decoder_and_the_answer() -> None:
    names = dict(build().named_parameters())
    assert [name for name, one in names.items() if one.shape == (VOCAB, DIM)] == [
        "encoders.0_text.embedding.table.weight"
    ]
    written = HEADS["sequence"](layers=2, heads=2, table="input").build(
        OutputLayout("sequence", VOCAB, end=END, max_tokens=6), DIM, 0
    )
    own = {name.removeprefix("heads.0_text."): one.shape for name, one in names.items() if name.startswith("heads.")}
    assert own == {name: one.shape for name, one in written.named_parameters()}, "as the head that writes has them"


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(RecipeError, match="ensemble"):
        HEADS["denoise"]().build(OutputLayout("text", VOCAB, end=END, max_tokens=6), DIM, 2)
    with pytest.raises(RecipeError, match="denoise has neither window"):
        build(window=3)
    with pytest.raises(ValueError, match="input"):
        HEADS["denoise"](table="own")
    for wrong in ({"rate": 0.0}, {"rate": 1.0}, {"span": 0.5}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HEADS["denoise"](**wrong)
