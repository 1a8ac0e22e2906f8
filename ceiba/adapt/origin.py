"""Where a model begins: a bundle, or a pre-trained network in a folder or on the hub."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from ceiba.base.errors import RecipeError
from ceiba.base.files import MANIFEST
from ceiba.bundle import Bundle, open_bundle
from ceiba.encoders import Pretrained
from ceiba.families import (
    FAMILIES,
    Adapter,
    Folder,
    Network,
    foreign_encoder,
    foreign_network_weights,
    image_options,
    network_of,
    open_folder,
    own_weights,
    read_adapter,
)
from ceiba.fields import Field, Fields, TokenField
from ceiba.fields.tokenizer_folder import read_folder
from ceiba.fields.tokenizers import FolderSpec
from ceiba.fields.tokens import folder_tokens
from ceiba.heads import DECODER_OPTIONS
from ceiba.layers import FOREIGN, Transformer, foreign_width
from ceiba.model import Model, open_model
from ceiba.surgery import merge_lora


@dataclass(frozen=True)
class Origin:
    """What another model has that a new one may take; `name` is how the recipe calls it."""

    name: str
    more: tuple[str, ...]
    """Tokens that the new model has beside the origin's."""

    @property
    def dim(self) -> int:
        """Width of its tokens."""
        raise NotImplementedError

    @property
    def any_width(self) -> bool:
        """Whether a model of another width may begin with it."""
        return False

    @property
    def network(self) -> dict[str, Any]:
        """Options by key of `model`: text, table, image, trunk; those it has none of are absent."""
        raise NotImplementedError

    @property
    def tokenizer(self) -> dict[str, Any] | None:
        """The tokenizer of its texts, as a recipe says it; None where its own fields are taken."""
        return None

    @property
    def tokens(self) -> TokenField | None:
        """Its own texts as tokens, without new ones; None where it has none."""
        return None

    @property
    def image(self) -> dict[str, Any] | None:
        """Size and mode of the images that it takes, as a recipe says them; None where any will do."""
        return None

    @property
    def is_tied(self) -> bool | None:
        """Whether its head of tokens reads the token vectors; None where it has no such head."""
        return None

    @property
    def decoder(self) -> dict[str, Any]:
        """Options of the decoder that writes its texts, and no others; none where it has no such decoder."""
        return {}

    @property
    def fields(self) -> dict[str, Field]:
        """What it learnt about columns, by name."""
        return {}

    @property
    def text(self) -> TokenField | None:
        """The one text that it reads as tokens, if it has fields of its own."""
        return None

    @property
    def language(self) -> TokenField | None:
        """The text that it goes on with, if it is a language model with fields of its own."""
        return None

    @property
    def parents(self) -> list[Bundle]:
        """The bundles it is."""
        return []

    def weights(self, model: Model) -> dict[str, Tensor]:
        """The model's own names → weights, of all parts that are built alike."""
        raise NotImplementedError

    def adapter(self, folder: str) -> Adapter:
        """An adapter of peft's that was learnt beside this network.

        Raises: RecipeError if it is no network of a family.
        """
        raise RecipeError("adapt.adapter must stand beside a Hugging Face folder", self.name, "Name its base in from")

    @property
    def note(self) -> str:
        """What a report says of it."""
        raise NotImplementedError


def open_origin(source: str | Path, more: tuple[str, ...] = ()) -> Origin:
    """A bundle, a run, a folder with config.json, or `owner/name@commit` on the hub; with further tokens.

    Raises: InputError and its kinds for anything else.
    """
    path = Path(source)
    if any((folder / MANIFEST).is_file() for folder in (path, path / "bundle")):
        return BundleOrigin(str(source), more, open_bundle(path))
    folder = open_folder(source)
    kind = ForeignOrigin if folder.config.get("model_type") in FOREIGN else FolderOrigin
    return kind(str(source), more, folder)


@dataclass(frozen=True)
class FolderOrigin(Origin):
    """A pre-trained network of the Hugging Face world."""

    folder: Folder

    @cached_property
    def described(self) -> Network:
        """Its config.json in Ceiba's words."""
        return network_of(self.folder)

    @property
    def dim(self) -> int:
        return self.described.dim

    @property
    def network(self) -> dict[str, Any]:
        trunk = {} if self.described.trunk is None else {"trunk": self.described.trunk}
        return {"text": self.described.encoder | self._separator(), **trunk}

    def _separator(self) -> dict[str, int]:
        """The id that ends a segment, where segments have vectors of their own."""
        if self.described.segments < 2:
            return {}
        found = read_folder(self.folder.path)
        ids = Tokenizer.from_str(found.tokenizer).get_vocab()
        if "separator" not in found.special:
            return {}
        shift = 0 if ids.get(found.special.get("padding", "")) == 0 else 1
        return {"separator": ids[found.special["separator"]] + shift}

    @property
    def tokenizer(self) -> dict[str, Any]:
        return {"type": "folder", "folder": str(self.folder.path), **({"more": self.more} if self.more else {})}

    @property
    def tokens(self) -> TokenField:
        return folder_tokens(FolderSpec(folder=str(self.folder.path)))[0]

    @property
    def is_tied(self) -> bool | None:
        return None if self.described.trunk is None else self.described.is_tied

    def weights(self, model: Model) -> dict[str, Tensor]:
        family, network, state = FAMILIES[self.described.family], self.described, model.state_dict()
        places = [("encoder.", f"encoders.{slot}.") for slot in text_slots(model)]
        if network.trunk is not None and blocks_of(model.trunk) == network.trunk["layers"]:
            places.append(("trunk.", "trunk."))
        if not network.is_tied:
            places += [("head.", f"heads.{slot}.") for slot in model.head_slots.values()]
        found: dict[str, Tensor] = {}
        for part, own in places:
            named = {part + name.removeprefix(own): value for name, value in state.items() if name.startswith(own)}
            table = family.weights(network)
            if part == "head." and {one.own for one in table if one.own.startswith(part)} != set(named):
                continue
            taken = own_weights(
                table, named, lambda name: self.folder.read(name, (family.prefix, "")), str(self.folder.path)
            )
            found |= {own + name.removeprefix(part): value for name, value in taken.items()}
        return found

    def adapter(self, folder: str) -> Adapter:
        return read_adapter(Path(folder), FAMILIES[self.described.family], self.described)

    @property
    def note(self) -> str:
        return note_of(self.folder, self.name, self.described.family)


@dataclass(frozen=True)
class ForeignOrigin(Origin):
    """A pre-trained network that the package transformers builds, as an encoder."""

    folder: Folder

    @property
    def dim(self) -> int:
        return foreign_width(self.folder.config)

    @property
    def any_width(self) -> bool:
        return True

    @property
    def network(self) -> dict[str, Any]:
        return {FOREIGN[self.folder.config["model_type"]].kind: foreign_encoder(self.folder)}

    @property
    def tokenizer(self) -> dict[str, Any] | None:
        return None if self.image is not None else {"type": "folder", "folder": str(self.folder.path)}

    @property
    def image(self) -> dict[str, Any] | None:
        return image_options(self.folder)

    def weights(self, model: Model) -> dict[str, Tensor]:
        slots = [slot for slot in dict.fromkeys(model.slots.values()) if isinstance(model.encoders[slot], Pretrained)]
        taken = foreign_network_weights(self.folder) if slots else {}
        return {f"encoders.{slot}.net.{name}": value for slot in slots for name, value in taken.items()}

    @property
    def note(self) -> str:
        return note_of(self.folder, self.name, self.folder.config["model_type"])


@dataclass(frozen=True)
class BundleOrigin(Origin):
    """A bundle that Ceiba wrote."""

    bundle: Bundle

    @cached_property
    def model(self) -> Model:
        """Its model, with all edits merged into plain weights."""
        model = open_model(self.bundle)
        merge_lora(model)
        return model

    @property
    def dim(self) -> int:
        return int(self.bundle.model["spec"]["dim"])

    @property
    def network(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for encoder in self.bundle.model["spec"]["encoders"].values():
            found.setdefault(encoder["kind"], {name: value for name, value in encoder.items() if name != "kind"})
        return {**found, "trunk": self.bundle.model["spec"]["trunk"]}

    @cached_property
    def fields(self) -> dict[str, Field]:
        fields = Fields.from_json(self.bundle.fields_json, self.bundle.field_files())
        known = {**fields.inputs, **fields.outputs}
        return {
            name: one.with_tokens(self.more) if isinstance(one, TokenField) and self.more else one
            for name, one in known.items()
        }

    @property
    def decoder(self) -> dict[str, Any]:
        heads = [one for one in self.bundle.model["spec"]["heads"].values() if set(DECODER_OPTIONS) <= set(one)]
        return {name: heads[0][name] for name in DECODER_OPTIONS} if len(heads) == 1 else {}

    @property
    def text(self) -> TokenField | None:
        known = (self.fields.get(name) for name in self.bundle.model["spec"]["encoders"])
        texts = [one for one in known if isinstance(one, TokenField) and one.kind == TokenField.kind]
        return texts[0] if len(texts) == 1 else None

    @property
    def tokens(self) -> TokenField | None:
        fields = Fields.from_json(self.bundle.fields_json, self.bundle.field_files())
        return next((one for one in fields.inputs.values() if isinstance(one, TokenField)), None)

    @property
    def language(self) -> TokenField | None:
        texts = (self.fields[name] for name in self.model.head_slots if self.model.head(name).shifts)
        return next((one for one in texts if isinstance(one, TokenField)), None)

    @property
    def is_tied(self) -> bool | None:
        heads = self.bundle.model["spec"]["heads"].values()
        return next((bool(head["tied"]) for head in heads if "tied" in head), None)

    @property
    def parents(self) -> list[Bundle]:
        return [self.bundle]

    def weights(self, model: Model) -> dict[str, Tensor]:
        mine = self.model.state_dict()
        found: dict[str, Tensor] = {}
        for own, theirs in self._places(model):
            own_names = {
                name.removeprefix(own): value for name, value in model.state_dict().items() if name.startswith(own)
            }
            named = {name.removeprefix(theirs): value for name, value in mine.items() if name.startswith(theirs)}
            if {name: value.shape for name, value in own_names.items()} == {n: v.shape for n, v in named.items()}:
                found |= {own + name: value for name, value in named.items()}
        return found

    def _places(self, model: Model) -> list[tuple[str, str]]:
        """(prefix in the model, prefix in the bundle's) of parts that mean the same."""
        slots = self.model.slots
        places = [
            (f"encoders.{slot}.", f"encoders.{slots[name]}.") for name, slot in model.slots.items() if name in slots
        ]
        texts = text_slots(self.model)
        if len(texts) == 1:  # whatever the column is called
            places += [(f"encoders.{slot}.", f"encoders.{texts[0]}.") for slot in text_slots(model)]
        heads = self.model.head_slots
        places += [
            (f"heads.{slot}.", f"heads.{heads[name]}.")
            for name, slot in model.head_slots.items()
            if name in heads and model.outputs[name] == self.model.outputs[name]
        ]
        if len(theirs_write := writers_of(self.model)) == 1:  # whatever is written, and whatever for
            places += [
                (f"heads.{model.head_slots[name]}.{part}.", f"heads.{heads[theirs_write[0]]}.{part}.")
                for name in writers_of(model)
                for part in ("decoder", "positions")
            ]
        if (own := language_head(model)) and (theirs := language_head(self.model)):
            places.append((f"heads.{model.head_slots[own]}.", f"heads.{heads[theirs]}."))
        return [*places, ("trunk.", "trunk.")]

    @property
    def note(self) -> str:
        return f"The model began with the bundle {self.bundle.identity[:12]}."


def language_head(model: Model) -> str | None:
    """The target of a language model, whatever it is called and however it is taught."""
    return next((name for name in model.head_slots if model.head(name).shifts), None)


def writers_of(model: Model) -> list[str]:
    """The targets that a decoder writes."""
    return [name for name in model.head_slots if model.head(name).writes]


def note_of(folder: Folder, name: str, family: str) -> str:
    """What a report says of a folder."""
    licence = f"licence: {folder.licence}" if folder.licence else "its folder states no licence"
    return f"The model began with {folder.path.name or name} ({family}; {licence})."


def text_slots(model: Model) -> list[str]:
    """The slots of encoders that have token vectors."""
    return [
        slot for slot in dict.fromkeys(model.slots.values()) if getattr(model.encoders[slot], "table", None) is not None
    ]


def blocks_of(part: Any) -> int:
    """Transformer blocks of a trunk."""
    net = getattr(part, "transformer", None)
    return len(net.blocks) if isinstance(net, Transformer) else 0
