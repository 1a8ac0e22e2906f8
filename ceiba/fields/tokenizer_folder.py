"""A tokenizer from a folder as Hugging Face writes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer
from tokenizers.implementations.byte_level_bpe import ByteLevelBPETokenizer

from ceiba.base.errors import DataError, RecipeError

ROLES = {
    "bos_token": "begin",
    "eos_token": "end",
    "mask_token": "mask",
    "cls_token": "class",
    "sep_token": "separator",
    "pad_token": "padding",
    "unk_token": "unknown",
}
"""Key of tokenizer_config.json and special_tokens_map.json → what the token is for."""
DEFAULT_ROLES = {"[MASK]": "mask", "[CLS]": "class", "[SEP]": "separator", "[PAD]": "padding", "<|endoftext|>": "end"}
"""What well-known tokens are for, where no file says it."""
MOST_BYTES = 256 << 20
MOST_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True)
class Found:
    """What a folder holds: the tokenizer as JSON, its special tokens by role, how many ids its network has, and a chat
    template, which is code of somebody else's and is not run here."""

    tokenizer: str
    special: dict[str, str]
    vocab: int
    template: str | None
    most_tokens: int | None
    """The longest row that it was made for, in tokens."""


def read_folder(folder: Path) -> Found:
    """Read the tokenizer of a folder.

    Raises: RecipeError without such a folder, or without a tokenizer in it; DataError for a damaged one.
    """
    if not folder.is_dir():
        raise RecipeError(f"{folder} must be a folder with a tokenizer", "no such folder", "Correct tokenizer.folder")
    config = {**_json(folder / "special_tokens_map.json"), **_json(folder / "tokenizer_config.json")}
    try:
        tokenizer = _tokenizer(folder, config)
    except RecipeError:
        raise
    except Exception as error:  # the library raises plain Exceptions
        problem = str(error).splitlines()[0][:200]
        raise DataError(f"{folder} must hold a tokenizer in one piece", problem, "Download it again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = tokenizer.get_vocab(with_added_tokens=True)
    named = {role: _content(config.get(key)) for key, role in ROLES.items()}
    known = {role: token for role, token in named.items() if token in ids}
    special = {role: token for token, role in DEFAULT_ROLES.items() if token in ids} | known
    network = _json(folder / "config.json").get("vocab_size")
    vocab = max([max(ids.values()) + 1, *([network] if isinstance(network, int) else [])])
    most = config.get("model_max_length")
    return Found(tokenizer.to_str(), special, vocab, _template(folder, config), most if isinstance(most, int) else None)


def _tokenizer(folder: Path, config: Mapping[str, Any]) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_str(_text(folder / "tokenizer.json", MOST_BYTES))
    if (folder / "vocab.txt").is_file():
        lowercase = bool(config.get("do_lower_case", True))
        return Tokenizer.from_str(BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lowercase).to_str())
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        files = str(folder / "vocab.json"), str(folder / "merges.txt")
        return Tokenizer.from_str(ByteLevelBPETokenizer(*files).to_str())
    do = "In Python: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes tokenizer.json"
    raise RecipeError(f"{folder} must hold tokenizer.json, vocab.txt, or vocab.json and merges.txt", "none of them", do)


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _text(file, MOST_TEMPLATE_BYTES)
    found = config.get("chat_template")
    if isinstance(found, list):  # several by name; the plain one is called default
        found = next((one.get("template") for one in found if one.get("name") == "default"), None)
    return found if isinstance(found, str) and len(found) <= MOST_TEMPLATE_BYTES else None


def _content(value: object) -> str | None:
    """A token, written plainly or as an object."""
    found = value.get("content") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else None


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(_text(path, MOST_BYTES))
    except ValueError as error:
        raise DataError(f"{path} must be JSON", str(error), "Download it again") from error
    return found if isinstance(found, dict) else {}


def _text(path: Path, most_bytes: int) -> str:
    size = path.stat().st_size
    if size > most_bytes:
        raise DataError(f"{path} must not exceed {most_bytes:,} bytes", f"{size:,}", "Use another folder")
    return path.read_text(encoding="utf-8")
