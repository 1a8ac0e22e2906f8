"""Requests from many threads, streams, errors and closing."""

import gc
import threading

import pytest

from ceiba.base.errors import CeibaError, InputError
from ceiba.generate import Generated, Generator

PROMPTS = ["to be", "the", "日本", "n", "question. that is", "or not"]


def test_a_stream_gives_the_text_that_generate_gives(generator: Generator) -> None:
    options = {"max_tokens": 20, "temperature": 1.0, "seed": 3}
    whole = generator.generate("to be", **options)
    assert isinstance(whole, Generated)
    streamed = list(generator.stream("to be", **options))
    assert "".join(piece.text for piece in streamed) == whole.text
    assert [token.id for piece in streamed for token in piece.tokens] == whole.ids
    assert [piece.finish for piece in streamed[:-1]] == [None] * (len(streamed) - 1)
    assert streamed[-1].finish == whole.finish == "length"
    with generator.engine() as engine:
        assert engine.submit("to be", options).result() == whole


def test_many_threads_get_each_their_own_text(generator: Generator) -> None:
    found: dict[int, Generated] = {}
    with generator.engine() as engine:

        def ask(place: int) -> None:
            options = {"max_tokens": 5 + place, "temperature": 1.0, "seed": place}
            found[place] = engine.submit(PROMPTS[place % len(PROMPTS)], options).result()

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert engine.num_active == engine.num_waiting == 0
    for place in range(12):
        alone = generator.generate(PROMPTS[place % len(PROMPTS)], max_tokens=5 + place, temperature=1.0, seed=place)
        assert found[place] == alone


def test_leaving_a_stream_cancels_its_request(generator: Generator) -> None:
    with generator.engine() as engine:
        stream = engine.submit("to be", {"max_tokens": 1_000_000, "when_full": "slide"})
        for _ in stream:
            break
        assert engine.submit("the", {"max_tokens": 3}).result().finish == "length"
        assert stream.request.finish == "cancelled"


def test_wrong_requests_are_refused_before_they_join(generator: Generator) -> None:
    with generator.engine() as engine:
        for prompt, options in (("a", {"temperature": -1}), ([999_999], {}), ("word " * 100, {}), ("", {})):
            with pytest.raises(InputError):
                engine.submit(prompt, options)


def test_an_error_reaches_those_who_wait_and_the_engine_goes_on(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with generator.engine() as engine:
        decoder = engine._batch.decoder
        step = decoder.step

        def fail(ids: object) -> None:
            raise RuntimeError("the machine is on fire")

        monkeypatch.setattr(decoder, "step", fail)
        with pytest.raises(RuntimeError, match="on fire"):
            engine.submit("to be", {"max_tokens": 5}).result()
        monkeypatch.setattr(decoder, "step", step)
        assert engine.submit("to be", {"max_tokens": 5}).result() == generator.generate("to be", max_tokens=5)


def test_a_closed_engine_ends_what_it_was_writing_and_takes_nothing_more(generator: Generator) -> None:
    engine = generator.engine()
    stream = engine.submit("to be", {"max_tokens": 1_000_000, "when_full": "slide"})
    engine.close()
    with pytest.raises(CeibaError, match="closed"):
        stream.result()
    with pytest.raises(CeibaError, match="open"):
        engine.submit("a", {})


def test_an_engine_that_nobody_holds_ends_after_its_texts(generator: Generator) -> None:
    engine = generator.engine()
    thread = engine._thread
    stream = engine.submit("to be", {"max_tokens": 5})
    del engine
    gc.collect()
    assert stream.result().finish == "length"
    del stream
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_a_full_queue_refuses(generator: Generator) -> None:
    with generator.engine(max_waiting=0) as engine, pytest.raises(CeibaError, match="wait"):
        engine.submit("a", {})


def test_nothing_is_written_where_nothing_is_asked(generator: Generator) -> None:
    found = generator.generate(["to be", "the"], max_tokens=0)
    assert [(one.text, one.finish, one.prompt_tokens) for one in found] == [("", "length", found[0].prompt_tokens),
        ("", "length", found[1].prompt_tokens)]  # fmt: skip
    assert generator.generate([]) == []
