"""Tokenizers: special tokens, scripts, ways back to text, and folders as Hugging Face writes them."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers.implementations import ByteLevelBPETokenizer

from ceiba.base.errors import DataError, RecipeError
from ceiba.fields import TextSpec, TokenField, load_field
from ceiba.recipe import check_recipe, read_recipe

MIXED = "Zürich 日本 ok\n\n  Привет, मुंबई 👩🏽‍💻 [PAD] [END]"
LEARNT = ("word", "character", "byte", "bpe", "wordpiece", "unigram")


def fit(tokenizer: object, texts: list[str], **options: object) -> TokenField:
    field = TextSpec(tokenizer=tokenizer, **options).fit([pa.array(texts, pa.string())])
    assert isinstance(field, TokenField)
    return field


@pytest.mark.parametrize("kind", LEARNT)
def test_special_tokens_follow_the_first_two_and_no_text_spells_them(kind: str) -> None:
    field = fit({"type": kind, "special": ["[END]", "[MASK]"]}, [MIXED] * 9)
    assert field.special == {"end": 2, "mask": 3}
    (found,) = field.token_ids([MIXED])
    assert set(found).isdisjoint({0, 2, 3})
    assert max(found) < field.vocab


@pytest.mark.parametrize("kind", ["character", "byte", "bpe", "unigram"])
def test_a_mixed_text_comes_back_whole(kind: str) -> None:
    field = fit({"type": kind, "special": ["[END]"]}, [MIXED] * 9)
    ids = field.token_ids([MIXED])[0]
    assert field.decode([0, *ids, 2]) == MIXED
    assert field.decode([2], keep_special=True) == "[END]"


@pytest.mark.parametrize("kind", ["word", "wordpiece"])
def test_each_chinese_character_is_a_token_among_words(kind: str) -> None:
    field = fit({"type": kind}, ["我们 love 北京 and 上海"] * 9)
    assert len(field.token_ids(["北京 love"])[0]) == 3


def test_bytes_are_numbered_alike_whatever_is_learnt_from() -> None:
    first, second = fit("byte", ["abc"]), fit("byte", ["日本 xyz"] * 40)
    assert first.token_ids([MIXED]) == second.token_ids([MIXED])
    assert len(first.token_ids(["日"])[0]) == 3
    assert first.vocab == 258


def test_pieces_of_words_are_shared_between_words() -> None:
    words = ["walking talking walked talked walks talks"] * 30
    for kind in ("wordpiece", "unigram", "bpe"):
        field = fit({"type": kind, "vocab": 300 if kind == "bpe" else 40}, words)
        assert 1 not in field.token_ids(["walking"])[0]
        assert len(field.token_ids(["walking"])[0]) < len("walking")


@pytest.mark.parametrize(("lowercase", "common"), [(False, "a b A"), (True, "a b A")])
def test_where_characters_are_more_than_tokens_the_rarest_are_unknown(lowercase: bool, common: str) -> None:
    rare = [chr(ord("一") + place) for place in range(200)]
    field = fit({"type": "unigram", "vocab": 40, "lowercase": lowercase, "special": ["[END]"]}, [common] * 9 + rare)
    assert field.vocab <= 40
    assert 1 not in field.token_ids([common])[0]
    unknown = [1 in ids for ids in field.token_ids(rare)]
    assert 160 <= sum(unknown) < 200


@pytest.mark.parametrize("special", [["MASK"], ["[PAD]"], ["[A]", "[A]"], ["[A B]"]])
def test_a_special_token_must_be_one_that_texts_cannot_spell(special: list[str]) -> None:
    recipe = {
        "data": {"train": "x"},
        "outputs": {"y": {"type": "text", "tokenizer": {"type": "bpe", "special": special}}},
    }
    with pytest.raises(RecipeError, match="brackets"):
        check_recipe(recipe, {}, "recipe")


def bert_folder(folder: Path, files: str = "tokenizer.json") -> Path:
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b"]
    if files == "vocab.txt":
        (folder / files).write_text("\n".join(words))
    else:
        tokenizer = Tokenizer(models.WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        tokenizer.add_special_tokens(words[:5])
        tokenizer.enable_padding(length=99)
        tokenizer.save(str(folder / files))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"pad_token": "[PAD]", "mask_token": {"content": "[MASK]"}})
    )
    return folder


def gpt_folder(folder: Path) -> Path:
    folder.mkdir()
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(["low lower lowest"] * 20, vocab_size=270, show_progress=False)
    tokenizer.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}", "eos_token": "l"}))
    (folder / "config.json").write_text(json.dumps({"vocab_size": 300}))
    return folder


@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.txt"])
def test_a_folder_whose_padding_is_0_keeps_its_ids_and_its_frame(tmp_path: Path, files: str) -> None:
    options = {"type": "folder", "folder": str(bert_folder(tmp_path / "bert", files))}
    field = fit(options, ["a ab abb"], max_tokens=4)
    encoded = field.encode(pa.array(["a ab", "a b a b a b", "", None]))["ids"]
    assert [row.tolist() for row in encoded.take([0]).values[None]] == [[2, 5, 5, 3]]
    assert encoded.lengths.tolist() == [4, 4, 0, 0]
    assert encoded.take([1]).values.tolist() == [2, 5, 6, 3], "a cut text keeps its frame"
    assert (field.shift, field.vocab, field.special["mask"], field.special["class"]) == (0, 8, 4, 2)
    bare = fit({**options, "template": False}, ["a ab abb"], max_tokens=4)
    assert bare.encode(pa.array(["a b"]))["ids"].values.tolist() == [5, 6]


def test_a_folder_without_padding_has_its_ids_moved_up_so_that_0_is_padding(tmp_path: Path) -> None:
    folder = gpt_folder(tmp_path / "gpt")
    own = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    field = fit({"type": "folder", "folder": str(folder)}, ["lower"], max_tokens=50)
    ids = field.encode(pa.array(["lower 日本!"]))["ids"].values
    assert ids.tolist() == [id + 1 for id in own.encode("lower 日本!").ids]
    assert field.decode(ids) == "lower 日本!"
    assert field.vocab == 301, "the network's ids and padding"
    assert field.chat_template == "{{ messages }}"
    again = load_field(field.to_json(), field.files())
    assert (again, again.to_json()) == (field, field.to_json())


def test_the_folder_is_found_beside_the_recipe_and_not_asked_for_again(tmp_path: Path) -> None:
    bert_folder(tmp_path / "bert")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "data: {train: x.csv}\noutputs: {y: number}\n"
        "inputs: {t: {type: text, tokenizer: {type: folder, folder: bert}}}\n"
    )
    tokenizer = read_recipe(recipe).inputs["t"].field.tokenizer
    assert Path(tokenizer.folder) == tmp_path / "bert"
    assert "folder: ../bert" in read_recipe(recipe).to_yaml(tmp_path / "run")


def test_what_is_no_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bad = bert_folder(tmp_path / "bad")
    (bad / "tokenizer.json").write_text("{}")
    for folder, error in (("absent", RecipeError), ("empty", RecipeError), ("bad", DataError)):
        with pytest.raises(error, match=folder):
            fit({"type": "folder", "folder": str(tmp_path / folder)}, ["a"])
