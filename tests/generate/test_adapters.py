"""Adapters beside one model: each text is that of its own merged model, whatever else is written at the same time."""

import copy
import dataclasses
from collections.abc import Callable, Mapping

import pytest
import torch

from ceiba.base.errors import InputError
from ceiba.fields import TokenField
from ceiba.generate import Adapter, GenerateOptions, Generator
from ceiba.generate.decoder import RereadingDecoder, open_decoder
from ceiba.model import Model
from ceiba.surgery import LoraOptions, add_lora, lora_layers, merge_lora
from ceiba.surgery.adapters import Adapted, AdaptedLinear, Pairs, thin_pair
from ceiba.surgery.packed import FORMS, pack

Make = Callable[..., Model]
LEARNT = {
    "thin": {"rank": 2, "alpha": 4, "targets": ("query", "value")},
    "wide": {"rank": 7, "alpha": 7, "targets": ("query_key_value", "out", "up", "down")},
    "last": {"rank": 3, "alpha": 3, "targets": ("down",)},
}
PROMPTS = ["to be", "the rest", "that is", "or", "silence to", "question"]
ROWS = [None, "thin", "wide", None, "last", "thin"]


def learnt(model: Model, name: str, seed: int) -> Model:
    """A copy with LoRA matrices that change much."""
    found = add_lora(copy.deepcopy(model), LoraOptions.model_validate(LEARNT[name]))
    torch.manual_seed(seed)
    with torch.no_grad():
        for _, layer in lora_layers(found):
            for matrix in layer.up.values():
                matrix.normal_(std=0.4)
    assert isinstance(found, Model)
    return found.eval()


def pairs_of(edited: Model) -> Pairs:
    return {
        path: thin_pair(layer.outputs, layer.parts, layer.scale, dict(layer.down.items()), dict(layer.up.items()))
        for path, layer in lora_layers(edited)
    }


def several(model: Model) -> dict[str, Model]:
    return {name: learnt(model, name, seed) for seed, name in enumerate(LEARNT)}


def writing(model: Model, field: TokenField, edited: Mapping[str, Model] | None = None, **more: object) -> Generator:
    adapters = {name: Adapter(pairs_of(one), field) for name, one in (edited or {}).items()}
    return Generator(model, "text", field, max_rows=4, adapters=adapters, **more)  # type: ignore[arg-type]


def options(kind: str, adapter: str | None, seed: int = 0) -> GenerateOptions:
    more = {"greedy": {}, "drawn": {"temperature": 1.0}, "slide": {"when_full": "slide", "max_tokens": 90}}[kind]
    return GenerateOptions.model_validate({"max_tokens": 12 + 4 * seed, "seed": seed, "adapter": adapter, **more})


@pytest.mark.parametrize("kind", ["greedy", "drawn", "slide"])
@pytest.mark.parametrize("trunk", [{}, {"positions": "rotary", "activation": "swiglu", "kv_heads": 2}])
def test_a_row_is_written_as_its_merged_model_writes_it(
    kind: str, trunk: dict[str, object], model: Callable[..., Model], field: TokenField
) -> None:
    base = model(field.vocab, **trunk)
    edited = several(base)
    together = writing(base, field, edited)
    asked = [options(kind, name, seed) for seed, name in enumerate(ROWS)]
    found = together.generate_each(PROMPTS, asked)  # six rows in room for four: they join and leave
    merged = {None: base} | {name: merge_lora(copy.deepcopy(one)) for name, one in edited.items()}
    alone = {name: writing(one, field) for name, one in merged.items()}  # type: ignore[arg-type]
    for prompt, name, one, row in zip(PROMPTS, ROWS, asked, found, strict=True):
        own = one.model_copy(update={"adapter": None})
        assert row.ids == alone[name].generate_each([prompt], [own])[0].ids, (prompt, name)
    texts = {name: together.generate("to be", max_tokens=20, adapter=name).text for name in (None, *LEARNT)}
    assert len(set(texts.values())) == 4, "each has an effect of its own"


@torch.inference_mode()
@pytest.mark.parametrize("form", [None, *FORMS])
def test_rows_without_an_adapter_are_the_same_bit_by_bit(form: str | None, model: Make) -> None:
    plain = model()
    base = plain if form is None else pack(plain, form)
    assert isinstance(base, Model)
    alone = open_decoder(base, "text", 64, 4)
    mixed = open_decoder(base, "text", 64, 4, {name: pairs_of(one) for name, one in several(plain).items()})
    prompts = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    before, after = alone.admit(prompts), mixed.admit(prompts, [None, "wide", None])
    for _ in range(3):
        assert torch.equal(before[0], after[0])
        assert torch.equal(before[2], after[2])
        assert not torch.allclose(before[1], after[1], atol=0.1)
        before, after = alone.step([[3], [4], [5]])[:, 0], mixed.step([[3], [4], [5]])[:, 0]
    for one in (alone, mixed):
        one.keep([2])
    assert torch.equal(alone.step([[1]]), mixed.step([[1]]))


@torch.inference_mode()
@pytest.mark.parametrize("form", FORMS)
def test_a_packed_base_answers_as_it_does_with_one_adapter_built_in(form: str, model: Make) -> None:
    plain = model()
    edited = several(plain)
    base = pack(plain, form)
    assert isinstance(base, Model)
    mixed = open_decoder(base, "text", 64, 4, {name: pairs_of(one) for name, one in edited.items()})
    names = ["last", "wide", "thin"]
    prompts = [[1, 2, 3], [4, 5, 6, 7], [8]]
    found = [mixed.admit(prompts, names), mixed.step([[3], [4], [5]])[:, 0]]
    for row, name in enumerate(names):
        own = open_decoder(pack(edited[name], form), "text", 64, 1)  # type: ignore[arg-type]
        expected = [own.admit([prompts[row]])[0], own.step([[3 + row]])[0, 0]]
        for one, other in zip(found, expected, strict=True):
            error = (one[row, 1:] - other[1:]).std() / other[1:].std()
            assert error < (1e-5 if form == "packed" else 0.03), (name, float(error))  # a step of rounding may tip


def test_all_share_one_copy_of_the_weights(model: Callable[..., Model], field: TokenField) -> None:
    base = model(field.vocab)
    generator = writing(base, field, several(base))
    one, other = generator.decoder(2), generator.decoder(2)
    for decoder in (one, other):
        own = dict(decoder.model.named_parameters())
        assert len(own) == len(list(base.parameters()))
        for name, parameter in base.named_parameters():
            layer, _, kind = name.rpartition(".")
            held = own.get(name, own.get(f"{layer}.base.{kind}"))
            assert held is parameter, name
    assert not any(isinstance(part, AdaptedLinear) for part in base.modules()), "the model itself stays as it is"
    one.adapted.choose(["thin"])
    assert other.adapted.rows == (), "a batch does not choose for another"


def test_what_overflows_in_one_row_stays_there() -> None:
    linear = torch.nn.Linear(4, 4)
    pair = (torch.full((2, 4), 3e38), torch.ones(4, 2))
    adapted = Adapted(linear, {"loud": {"": pair}})
    adapted.choose(["loud", None])
    values = torch.full((2, 1, 4), 10.0)
    found = adapted.module(values)
    assert not found[0].isfinite().any()
    assert torch.equal(found[1], linear(values)[1])


def test_a_model_that_reads_whole_rows_again(
    model: Callable[..., Model], field: TokenField, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = model(field.vocab)
    generator = writing(base, field, several(base))
    asked = [options("greedy", name, seed) for seed, name in enumerate(ROWS)]
    expected = [one.ids for one in generator.generate_each(PROMPTS, asked)]
    monkeypatch.setattr("ceiba.generate.decoder._keeps_keys", lambda model: False)
    assert isinstance(generator.decoder(1), RereadingDecoder)
    assert [one.ids for one in generator.generate_each(PROMPTS, asked)] == expected


def test_a_search_and_a_draft_write_by_the_adapter(model: Callable[..., Model], field: TokenField) -> None:
    base = model(field.vocab)
    edited = several(base)
    merged = writing(merge_lora(copy.deepcopy(edited["wide"])), field)  # type: ignore[arg-type]
    together = writing(base, field, edited)
    asked = {"max_tokens": 12, "beams": 3}
    assert together.generate("to be", adapter="wide", **asked).ids == merged.generate("to be", **asked).ids
    draft = writing(model(field.vocab, layers=1, seed=1), field)
    helped = writing(base, field, edited, draft=draft)
    found = helped.generate("to be", adapter="wide", max_tokens=20)
    assert found.ids == merged.generate("to be", max_tokens=20).ids


def test_a_text_ends_where_its_adapter_learnt_to_end(model: Callable[..., Model], field: TokenField) -> None:
    base = model(field.vocab)
    plain = writing(base, field, several(base))
    ids = plain.generate("to be", adapter="wide", max_tokens=20).ids
    own = dataclasses.replace(field, special={**field.special, "turn": ids[5]})
    adapters = {"wide": Adapter(plain.adapters["wide"].pairs, own), "thin": plain.adapters["thin"]}
    found = Generator(base, "text", field, adapters=adapters)
    ended = found.generate("to be", adapter="wide", max_tokens=20)
    assert (ended.ids, ended.finish) == (ids[: ids.index(ids[5])], "stop")
    assert found.generate("to be", adapter="thin", max_tokens=20) == plain.generate(
        "to be", adapter="thin", max_tokens=20
    )


def test_an_engine_and_its_view_of_one_adapter(model: Callable[..., Model], field: TokenField) -> None:
    base = model(field.vocab)
    generator = writing(base, field, several(base))
    with generator.engine() as engine:
        streams = {name: engine.submit("to be", {"adapter": name, "max_tokens": 20}) for name in (None, *LEARNT)}
        for name, stream in streams.items():
            assert stream.result() == generator.generate("to be", adapter=name, max_tokens=20)
        wide = engine.by("wide")
        assert wide.submit("to be", {"max_tokens": 20}).result() == streams["wide"].request.result()
        assert wide.count("to be") == engine.count("to be")
        assert wide.chat([{"role": "user", "content": "a"}]) == engine.chat([{"role": "user", "content": "a"}])
        with pytest.raises(InputError, match=r"adapter must be there under that name. Got 'loud'. Use one of: thin"):
            engine.submit("to be", {"adapter": "loud"})
    with pytest.raises(InputError, match="Open the model with it"):
        writing(base, field).generate("to be", adapter="thin")
