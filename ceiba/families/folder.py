"""A folder as Hugging Face writes it, or a revision on its hub: config.json and safetensors, nothing that runs."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ceiba.base.errors import DataError, InputError, RecipeError
from ceiba.base.optional import require

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
WANTED = ["*.json", "*.safetensors", "vocab.txt", "merges.txt", "README.md", "LICENSE*", "*.jinja"]
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")
MOST_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class Folder:
    """A pre-trained network on disk."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json."""
        return read_json(self.path / CONFIG)

    @cached_property
    def files(self) -> dict[str, Path]:
        """Name of each weight → the file that holds it."""
        if (self.path / WEIGHTS).is_file():
            with opened(self.path / WEIGHTS) as file:
                return dict.fromkeys(file.keys(), self.path / WEIGHTS)
        if (self.path / INDEX).is_file():
            return {
                name: self.path / Path(file).name for name, file in read_json(self.path / INDEX)["weight_map"].items()
            }
        pickles = [name for name in PICKLES if (self.path / name).exists()]
        raise InputError(
            f"{self.path} must hold {WEIGHTS}",
            f"{pickles[0]}, which is code when it is read" if pickles else "no weights",
            "In Python: AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER) writes safetensors",
        )  # fmt: skip

    def read(self, name: str, prefixes: tuple[str, ...] = ("",)) -> Tensor:
        """One weight, whose name may have one of several beginnings.

        Raises: DataError if the folder has none of that name.
        """
        for prefix in prefixes:
            if (file := self.files.get(prefix + name)) is not None:
                with opened(file) as weights:
                    found: Tensor = weights.get_tensor(prefix + name)
                    return found
        raise DataError(f"{self.path} must hold the weight {name}", "none of that name", "Download it again")

    @cached_property
    def licence(self) -> str | None:
        """What the folder's card (README.md) states."""
        card = self.path / "README.md"
        if not card.is_file():
            return None
        found = re.search(r"^license:\s*(\S+)\s*$", card.read_text(encoding="utf-8", errors="replace")[:20_000], re.M)
        return found[1] if found else None


def opened(path: Path) -> Any:
    """An open safetensors file. Raises: DataError if it is none, or is missing."""
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} must be a safetensors file", str(error), "Download it again") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises: DataError if there is none."""
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise DataError(f"{path} must be small", f"{path.stat().st_size:,} bytes", "Download it again")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} must be a readable file", error.strerror, "Check the folder") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} must be JSON", "something else", "Download it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} must be a JSON object", type(value).__name__, "Download it again")
    return value


def open_folder(source: str | Path) -> Folder:
    """A folder, or `owner/name@revision` on the hub, whose files are then fetched once and kept in its own cache.

    Raises: InputError for neither, a name without a revision, or a hub that cannot be reached.
    """
    path = Path(source)
    if path.is_dir():
        return Folder(path)
    name = str(source)
    if path.exists() or not HUB_NAME.fullmatch(name):
        raise RecipeError(
            "from must be a bundle, a folder with config.json, or owner/name@commit on the hub", name, "Check the path"
        )
    repository, _, revision = name.partition("@")
    if not COMMIT.fullmatch(revision):
        raise RecipeError(
            f"No folder {name} is here, and a name on the hub must have its commit, so that it stays the same", name,
            f"Write {repository}@ and the 40 digits of the commit",
        )  # fmt: skip
    hub = require("huggingface_hub", "hf", "fetch a model from the hub")
    try:
        return Folder(Path(hub.snapshot_download(repository, revision=revision, allow_patterns=WANTED)))
    except Exception as error:  # the library's many kinds, and those of its HTTP client
        why = str(error).strip().splitlines()[0][:200] or type(error).__name__
        raise InputError(
            f"{name} must be on the hub, and the hub within reach", why,
            "Fetch it elsewhere, copy its folder here and name the folder",
        ) from error  # fmt: skip
