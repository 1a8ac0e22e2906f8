"""The linear chain against sums and maxima over all ways to tag a row, written out."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor

from ceiba.answers import TagsAnswer
from ceiba.answers.tags import viterbi
from ceiba.heads import OutputLayout, TagsSpec
from ceiba.layers import LinearChain

LABELS, LENGTHS = 3, (4, 1, 3)


def example() -> tuple[LinearChain, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    chain = LinearChain(LABELS)
    for parameter in chain.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    emissions = torch.randn(len(LENGTHS), max(LENGTHS), LABELS, generator=generator) * 2
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return chain, emissions, mask


def plain_score(chain: LinearChain, emissions: Tensor, tags: tuple[int, ...]) -> float:
    total = chain.start[tags[0]] + chain.end[tags[-1]]
    total = total + sum(emissions[place, tag] for place, tag in enumerate(tags))
    return float((total + sum(chain.transition[first, second] for first, second in pairwise(tags))).detach())


def test_the_forward_algorithm_sums_over_all_ways() -> None:
    chain, emissions, mask = example()
    found = chain.log_total(emissions, mask)
    for row, length in enumerate(LENGTHS):
        scores = [plain_score(chain, emissions[row], tags) for tags in product(range(LABELS), repeat=length)]
        torch.testing.assert_close(found[row], torch.tensor(scores).logsumexp(0))


def test_the_score_of_tags_is_their_sum() -> None:
    chain, emissions, mask = example()
    tags = torch.randint(0, LABELS, mask.shape, generator=torch.Generator().manual_seed(1))
    found = chain.score(emissions, tags, mask)
    for row, length in enumerate(LENGTHS):
        assert found[row].item() == pytest.approx(
            plain_score(chain, emissions[row], tuple(tags[row, :length].tolist())), rel=1e-5
        )


def test_viterbi_finds_the_best_of_all_ways() -> None:
    chain, emissions, mask = example()
    parts = [one.detach().double().numpy() for one in (chain.transition, chain.start, chain.end)]
    found = viterbi(emissions.double().numpy(), mask.numpy(), *parts)
    for row, length in enumerate(LENGTHS):
        ways = product(range(LABELS), repeat=length)
        best = max(ways, key=lambda tags: plain_score(chain, emissions[row], tags))
        assert tuple(found[row, :length]) == best


def test_the_loss_is_the_surprise_at_the_tags_and_leaves_rows_without_a_known_tag_out() -> None:
    chain, emissions, mask = example()
    head = TagsSpec().build(OutputLayout("tags", LABELS), 8, 0)
    head.chain = chain
    target = (torch.randint(0, LABELS, mask.shape) + 1) * mask
    total, weight = head.loss(emissions, target)
    assert weight == sum(LENGTHS)
    likely = [
        chain.log_total(emissions, mask)[row]
        - plain_score(chain, emissions[row], tuple((target[row, :length] - 1).tolist()))
        for row, length in enumerate(LENGTHS)
    ]
    torch.testing.assert_close(total, torch.stack(likely).sum())
    target[0, 1] = 0
    total, weight = head.loss(emissions, target)
    assert weight == sum(LENGTHS[1:])
    torch.testing.assert_close(total, torch.stack(likely[1:]).sum())
    none, nothing = head.loss(emissions, torch.zeros_like(target))
    assert none == nothing == 0


def test_without_a_chain_each_token_stands_for_itself() -> None:
    _, emissions, mask = example()
    head = TagsSpec(crf=False).build(OutputLayout("tags", LABELS), 8, 0)
    target = (torch.randint(0, LABELS, mask.shape) + 1) * mask
    total, weight = head.loss(emissions, target)
    expected = torch.nn.functional.cross_entropy(emissions[mask], target[mask] - 1, reduction="sum")
    torch.testing.assert_close(total, expected)
    assert weight == mask.sum()


def test_the_answer_knows_the_chain_that_was_learnt() -> None:
    chain, emissions, mask = example()
    head = TagsSpec().build(OutputLayout("tags", LABELS), 8, 0)
    head.chain = chain
    answer = head.settle(TagsAnswer(("a", "b", "c")))
    logits = emissions.masked_fill(~mask.unsqueeze(-1), -1e4).numpy()
    chosen = answer.scores(logits)
    parts = [one.detach().double().numpy() for one in (chain.transition, chain.start, chain.end)]
    expected = viterbi(logits.astype(np.float64), mask.numpy(), *parts)
    assert (chosen == np.where(mask.numpy(), expected, -1)).all()
