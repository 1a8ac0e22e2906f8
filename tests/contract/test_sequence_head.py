"""The head that writes: its loss by hand, no look ahead, one by one as all at once, its search against all texts."""

import itertools

import pytest
import torch
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.heads import HEADS, OutputLayout, Sequence
from ceiba.heads.search import beam_search, penalty
from ceiba.layers import GruDecoder, Tokens

DIM, VOCAB, END, MOST = 8, 6, 2, 5


KINDS: list[dict[str, object]] = [
    {}, {"positions": "rotary"}, {"norm_first": False, "positions": "sinusoidal"},
    {"type": "sequence_gru"}, {"type": "sequence_gru", "layers": 1, "width": 12},
]  # fmt: skip
every_kind = pytest.mark.parametrize("options", KINDS)


def head(seed: int = 0, **options: object) -> Sequence:
    torch.manual_seed(seed)
    kind = str(options.get("type", "sequence"))
    usual = {"layers": 2, "heads": 2} if kind == "sequence" else {"layers": 2}
    spec = HEADS[kind](**{**usual, **options})
    built = spec.build(OutputLayout("sequence", VOCAB, end=END, max_tokens=MOST), DIM, 0)
    assert isinstance(built, Sequence)
    return built


def source(rows: int = 3, tokens: int = 4) -> Tokens:
    values = torch.randn(rows, tokens, DIM, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(tokens) < torch.arange(tokens, tokens - rows, -1)[:, None]
    return Tokens(values, mask)


TEXT = torch.tensor([[3, 4, 5, END], [4, END, 0, 0], [5, 3, END, 0]])


def test_the_loss_is_the_surprise_at_each_token_and_each_weighs_one() -> None:
    built = head(label_smoothing=0.1).eval()
    logits = built(source(), text=TEXT)
    total, weight = built.loss(logits, TEXT)
    logs = logits.detach().log_softmax(-1)
    expected = -sum(logs[row, place, TEXT[row, place]] for row, place in TEXT.nonzero().tolist())
    torch.testing.assert_close(total, expected)
    assert weight == 9
    built.train()  # what is learnt is smoothed, what is measured is not
    smooth = [-0.1 * logs[row, place].mean() for row, place in TEXT.nonzero().tolist()]
    learnt = built.loss(logits, TEXT)[0]
    torch.testing.assert_close(learnt, 0.9 * expected + sum(smooth))


@every_kind
def test_no_token_sees_those_after_it_and_padding_of_the_source_changes_nothing(options: dict[str, object]) -> None:
    built = head(**options).eval()
    before = built(source(), text=TEXT)
    other = TEXT.clone()
    other[:, 2] = 3
    torch.testing.assert_close(built(source(), text=other)[:, :3], before[:, :3])
    assert not torch.allclose(built(source(), text=other)[:, 3], before[:, 3])
    given = source()
    noise = torch.where(given.mask.unsqueeze(-1), given.values, torch.full_like(given.values, 7.0))
    torch.testing.assert_close(built(Tokens(noise, given.mask), text=TEXT), before)
    changed = given.values.clone()
    changed[:, 0] += 1
    assert not torch.allclose(built(Tokens(changed, given.mask), text=TEXT), before)


@every_kind
def test_what_is_written_is_what_the_loss_says_of_it(options: dict[str, object]) -> None:
    """The score of each text, from tokens one by one, is that of all its tokens at once."""
    for beams in (1, 3):
        built, found = talkative(beams, options)
        for row in range(3):
            ids = [int(one) for one in found[row, 1:] if one]
            text = torch.tensor([ids if len(ids) == MOST else [*ids, END]])
            given = Tokens(source().values[row : row + 1], source().mask[row : row + 1])
            logs = built(given, text=text).log_softmax(-1)[0]
            total = logs[torch.arange(text.shape[1]), text[0]].sum() / penalty(text.shape[1], 0.6)
            torch.testing.assert_close(found[row, 0], total)


def talkative(beams: int, options: dict[str, object]) -> tuple[Sequence, Tensor]:
    """A head by chance that does not end all its texts at once, and what it writes."""
    for seed in range(20):
        built = head(seed, beams=beams, length_penalty=0.6, **options).eval()
        assert built.embedding is not None
        built.requires_grad_(False)
        built.embedding.table.weight *= 3
        built.embedding.table.weight[END] = 0
        found = built.write(source())
        if int((found[:, 1:] > 0).sum(1).max()) >= 3:
            return built, found
    raise AssertionError("no text of three tokens")


def chain(rows: int, most: int, alpha: float, beams: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A search over a chain in which each token depends on the one before it, and that chain."""
    logits = 3 * torch.randn(rows, VOCAB, VOCAB, generator=torch.Generator().manual_seed(seed))
    logits[..., 0] = -1e4
    state = {"rows": torch.arange(rows).repeat_interleave(beams)}

    def step(last: Tensor) -> Tensor:
        return logits[state["rows"], last]

    def keep(kept: Tensor) -> None:
        state["rows"] = state["rows"][kept]

    found, score = beam_search(step, keep, rows, beams, END, most, alpha, torch.device("cpu"))
    return logits.log_softmax(-1), found, score


def test_the_penalty_is_its_equation() -> None:
    assert [penalty(1, 0.6), penalty(7, 1.0), penalty(19, 0.5), penalty(9, 0.0)] == [1, 2, 2, 1]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_search_finds_the_best_text_of_all(alpha: float) -> None:
    rows, most = 4, 4
    for seed in range(5):
        logs, found, score = chain(rows, most, alpha, VOCAB**3, seed)
        for row in range(rows):
            best: tuple[float, tuple[int, ...]] = (-torch.inf, ())
            for length in range(1, most + 1):
                for text in itertools.product([1, 3, 4, 5], repeat=length - 1):
                    lasts = (END,) if length < most else (1, END, 3, 4, 5)
                    for last in lasts:
                        whole = (*text, last)
                        steps = zip((END, *whole), whole, strict=False)
                        total = float(sum(logs[row, one, other] for one, other in steps)) / penalty(length, alpha)
                        best = max(best, (total, whole))
            expected = [one for one in best[1] if one != END]
            assert [one for one in found[row].tolist() if one] == expected
            assert float(score[row]) == pytest.approx(best[0], abs=1e-5)


def test_one_beam_takes_the_most_probable_token_at_every_step() -> None:
    logs, found, _ = chain(6, 8, 0.0, 1, 0)
    for row in range(6):
        last, expected = END, []
        while len(expected) < 8 and (last := int(logs[row, last].argmax())) != END:
            expected.append(last)
        assert [one for one in found[row].tolist() if one] == expected


def test_the_recurrent_decoder_is_its_equations() -> None:
    """Two tokens by hand, from states that begin with the mean of what the source holds."""
    built = head(type="sequence_gru", layers=1, width=5).eval()
    decoder, tokens = built.decoder, source(rows=2, tokens=3)
    assert isinstance(decoder, GruDecoder)
    given = torch.randn(2, 2, DIM)
    found = decoder(given, tokens)
    asks, cell = decoder.attention, decoder.cells[0]
    for row, length in enumerate((3, 2)):
        held = tokens.values[row, :length]
        state = torch.tanh(decoder.start.weight @ held.mean(0) + decoder.start.bias)
        for place in range(2):
            energy = torch.stack([
                asks.score.weight[0] @ torch.tanh(asks.state.weight @ state + asks.source(one)) for one in held
            ])  # fmt: skip
            seen = (energy.exp() / energy.exp().sum()) @ held
            below = torch.cat([given[row, place], seen])
            gates = cell.weight_ih @ below + cell.bias_ih, cell.weight_hh @ state + cell.bias_hh
            (reset, update, new), (old_reset, old_update, old) = (one.chunk(3) for one in gates)
            update = torch.sigmoid(update + old_update)
            candidate = torch.tanh(new + torch.sigmoid(reset + old_reset) * old)
            state = (1 - update) * candidate + update * state
            expected = torch.tanh(decoder.out(torch.cat([state, given[row, place], seen])))
            torch.testing.assert_close(found[row, place], expected)


def test_a_source_without_a_token_gives_an_answer() -> None:
    empty = Tokens(torch.full((1, 3, DIM), 5.0), torch.zeros(1, 3, dtype=torch.bool))
    other = Tokens(torch.zeros(1, 1, DIM), torch.zeros(1, 1, dtype=torch.bool))
    built = head(type="sequence_gru").eval()
    first, second = (built(one, text=TEXT[:1]) for one in (empty, other))
    assert first.isfinite().all()
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("kind", ["sequence", "sequence_gru"])
def test_what_it_cannot_do_is_refused(kind: str) -> None:
    with pytest.raises(RecipeError, match="ensemble"):
        HEADS[kind]().build(OutputLayout("sequence", VOCAB, end=END, max_tokens=MOST), DIM, 2)
    with pytest.raises(RecipeError, match="window"):
        head(window=3)
