"""Which waiting requests share a batch."""

import asyncio
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from serving import table_bundle, text_bundle

from ceiba.bundle import open_bundle
from ceiba.predict import Predictor, open_onnx
from ceiba.serve.batcher import OPEN_TURNS, QUIET_TURNS, Batcher
from ceiba.serve.intake import Intake
from ceiba.serve.refusal import Refusal
from ceiba.serve.settings import Batching

FOREVER = 1e12


@pytest.fixture(autouse=True)
def in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are computed one after another: in threads, the later of two may begin first."""
    monkeypatch.setattr("ceiba.serve.batcher.INLINE_S", float("inf"))


def batcher(folder: Any, rows: int) -> Batcher:
    bundle = open_bundle(folder)
    intake = Intake(Predictor.from_bundle(bundle, open_onnx(bundle, 1)))
    return Batcher(intake, Batching(rows=rows), 1000, lambda rows, seconds: None, lambda batch: None)


async def batches(
    one: Batcher, asked: list[list[dict[str, Any]]], kinds: list[str] | None = None
) -> list[pa.RecordBatch]:
    """The batches that requests are computed in, asked all at once; each must get its own answer."""
    seen: list[pa.RecordBatch] = []
    one.look = seen.append
    one.batch_s = 0.0
    alone = one.intake.predictor
    taken = [one.intake.rows(rows) for rows in asked]
    if kinds is not None:
        taken = [replace(rows, kinds=(kind,)) for rows, kind in zip(taken, kinds, strict=True)]
    futures = [one.submit(rows, FOREVER, lambda: False) for rows in taken]
    answers = await asyncio.gather(*futures)
    for rows, found in zip(asked, answers, strict=True):
        assert found == alone.predict(rows)
    assert one.waiting_rows == 0
    return seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_texts_of_like_length_share_a_batch_and_the_oldest_goes_first(tmp_path: Any) -> None:
    one = batcher(text_bundle(tmp_path / "text"), 2)
    texts = ["a b c a b c", "a", "b", "a b c a b", "c", "a b c a b c a"]
    seen = asyncio.run(batches(one, [[{"text": text}] for text in texts]))
    found = [batch.column("text").to_pylist() for batch in seen]
    assert found[0] == ["a b c a b c", "a b c a b"]
    assert found[1:] == [["a", "b"], ["c", "a b c a b c a"]]


def test_rows_of_a_table_are_taken_as_they_came(tmp_path: Any) -> None:
    one = batcher(table_bundle(tmp_path / "table"), 3)
    asked = [[{"area": float(place), "city": "Rome"}] * count for place, count in enumerate([1, 2, 3, 2, 1, 1])]
    seen = asyncio.run(batches(one, asked))
    assert [batch.column("area").to_pylist() for batch in seen] == [[0, 1, 1], [2, 2, 2], [3, 3, 4], [5]]


def test_requests_whose_columns_are_of_other_types_share_no_batch(tmp_path: Any) -> None:
    one = batcher(table_bundle(tmp_path / "table"), 3)
    asked = [[{"area": float(place), "city": "Rome"}] for place in range(4)]
    seen = asyncio.run(batches(one, asked, ["numbers", "words", "numbers", "words"]))
    assert [batch.column("area").to_pylist() for batch in seen] == [[0, 2], [1, 3]]


def test_rows_that_come_in_the_next_turns_share_a_batch_where_it_is_computed_in_the_loop(tmp_path: Any) -> None:
    one = batcher(table_bundle(tmp_path / "table"), 8)
    row = dict(zip(one.intake.names, (1.0, "Rome"), strict=False))

    async def come(turns: int) -> list[int]:
        seen: list[int] = []
        one.look = lambda batch: seen.append(batch.num_rows)
        futures = []
        for _ in range(3):
            futures.append(one.submit(one.intake.rows([row]), FOREVER, lambda: False))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.gather(*futures)
        return seen

    one.batch_s = 0.0
    assert asyncio.run(come(1)) == [3]
    one.batch_s = 0.0
    assert asyncio.run(come(QUIET_TURNS + 2)) == [1, 1, 1]  # nobody waits for more than a few turns


def test_the_loop_has_a_turn_between_two_batches_that_are_computed_in_it(tmp_path: Any) -> None:
    one = batcher(table_bundle(tmp_path / "table"), 2)
    row = dict(zip(one.intake.names, (1.0, "Rome"), strict=False))
    told: list[str] = []

    async def ask(name: str) -> None:
        await one.submit(one.intake.rows([row]), FOREVER, lambda: False)
        told.append(name)

    async def several() -> None:
        one.look = lambda batch: told.append("batch")
        one.batch_s = 0.0
        await asyncio.gather(*map(ask, "abcd"))

    asyncio.run(several())
    assert told == ["batch", "a", "b", "batch", "c", "d"]


def test_on_one_core_slower_batches_are_computed_in_the_loop(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("ceiba.serve.batcher.usable_cores", lambda: 1)
    alone = batcher(table_bundle(tmp_path / "table"), 2)
    monkeypatch.setattr("ceiba.serve.batcher.usable_cores", lambda: 2)
    several = batcher(tmp_path / "table", 2)
    alone.batch_s = several.batch_s = 0.05
    assert (alone.is_inline, several.is_inline) == (True, False)


def test_before_a_slow_batch_in_the_loop_new_connections_have_their_turns(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("ceiba.serve.batcher.usable_cores", lambda: 1)
    one = batcher(table_bundle(tmp_path / "table"), 1)  # so that one row is a full batch
    row = dict(zip(one.intake.names, (1.0, "Rome"), strict=False))

    async def turns(batch_s: float) -> int:
        one.batch_s, count = batch_s, 0
        future = one.submit(one.intake.rows([row]), FOREVER, lambda: False)
        while not future.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns(0.05)) > OPEN_TURNS
    assert asyncio.run(turns(0.001)) < 4


def test_an_answer_that_is_no_finite_number_is_refused_and_its_neighbors_are_not(tmp_path: Any) -> None:
    one = batcher(table_bundle(tmp_path / "homes", shift=3e38), 3)
    one.batch_s = 0.0

    async def ask() -> list[Any]:
        rows = [one.intake.rows([{"area": area, "city": "Rome"}]) for area in (1.0, 3e38, 2.0)]
        waiting = [one.submit(row, FOREVER, lambda: False) for row in rows]
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert first[0]["price"] == third[0]["price"] == pytest.approx(3e38)
    assert isinstance(second, Refusal)
    assert second.status == 500


def test_what_is_remembered_of_the_columns_that_clients_send_is_bounded(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ceiba.serve.intake.MOST_KNOWN", 2)
    join = {"type": "join", "columns": {"text": ["title", "body"]}}
    intake = batcher(text_bundle(tmp_path / "news", join), 3).intake
    for row in ({"text": "a"}, {"text": "a", "title": "b"}, {"text": "a", "body": "b"}, {"title": "a", "body": "b"}):
        assert len(intake.rows([row])) == 1
        assert len(intake._known) <= 2


def test_a_refusal_is_made_anew_for_each_client(tmp_path: Any) -> None:
    intake = batcher(table_bundle(tmp_path / "homes"), 3).intake
    told = []
    for name in ("ciy", "town", "town"):
        with pytest.raises(Refusal, match="must have the column 'city'") as found:
            intake.rows([{"area": 1.0, name: "Rome"}])
        told.append(found.value)
    assert "ciy" in told[0].message
    assert "ciy" not in told[1].message  # what another client wrote
    assert len({id(one) for one in told}) == 3  # or its traceback would grow, and hold every row that was refused
