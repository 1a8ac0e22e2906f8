"""The model: {group: encoder} → trunk → {target: head}; built from its spec, saved, and opened as a backend."""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, field_serializer, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ceiba.base.errors import BundleError, RecipeError, listed
from ceiba.base.spec import Spec, one_of
from ceiba.bundle import Bundle, weight_files_of
from ceiba.encoders import ENCODERS, Encoder
from ceiba.fields import BESIDE, FEATURES, REFERENCE, TARGETS, TEACHER, Fields, Layout
from ceiba.heads import HEADS, Head, OutputLayout, Preference, Sequence, TokenHead
from ceiba.layers import Memory, StochasticDepth, Tokens, one_token, pool
from ceiba.predict import EMBEDDING
from ceiba.surgery import apply_edits, widened
from ceiba.trunks import TRUNKS, NoneSpec, Trunk

ENCODER_TYPES: dict[str, TypeAdapter[Spec]] = {kind: TypeAdapter(one_of(specs)) for kind, specs in ENCODERS.items()}

LEAST_WEIGHT = 1e-30
"""Below every sum of weights but zero."""
MOST_HEADER_BYTES = 1024
"""In the header of a file of weights, for each tensor: its name, kind, shape and place."""


class ModelSpec(Spec):
    """The network, whole: with the layouts of its inputs and outputs it determines every parameter's shape."""

    dim: int = Field(128, ge=1)
    """Width of every token."""
    encoders: dict[str, Any] = Field(default_factory=dict)
    """Group → its encoder's spec; as JSON with a further key `kind` (table, text or image)."""
    shared: dict[str, str] = Field(default_factory=dict)
    """Group → the group whose encoder it uses."""
    trunk: one_of(TRUNKS, "none") = NoneSpec()  # type: ignore[valid-type]
    """What mixes the tokens of all groups."""
    group_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of rows from which a whole group is dropped while training, each group by itself; for several groups."""
    heads: dict[str, one_of(HEADS)]  # type: ignore[valid-type]
    """Target → its head's spec."""
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Target → weight of its loss; 1 where none is given."""

    @field_validator("encoders", mode="before")
    @classmethod
    def read_encoders(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        """Plain values with a `kind` → specs; specs stay as they are."""
        return {name: given if isinstance(given, Spec) else _read_encoder(given) for name, given in value.items()}

    @field_serializer("encoders")
    def write_encoders(self, value: dict[str, Spec]) -> dict[str, Any]:
        """Specs → plain values with a `kind`."""
        return {name: {"kind": kind_of(spec), **spec.model_dump(mode="json")} for name, spec in value.items()}

    @model_validator(mode="after")
    def names_agree(self) -> "ModelSpec":
        """What names a group or a target must name one that is there."""
        own = self.encoders
        if wrong := [name for name, owner in self.shared.items() if owner not in own or name in own]:
            raise ValueError(f"a shared encoder must belong to another group. Got {listed(wrong)}")
        if wrong := sorted(set(self.weights) - set(self.heads)):
            raise ValueError(f"weights must name targets. Got {listed(wrong)}")
        return self


def _read_encoder(value: Mapping[str, Any]) -> Spec:
    kind = value.get("kind")
    if kind not in ENCODER_TYPES:
        raise ValueError(f"an encoder's kind must be one of {listed(ENCODER_TYPES)}. Got {kind!r}")
    return ENCODER_TYPES[kind].validate_python({name: option for name, option in value.items() if name != "kind"})


def kind_of(spec: Spec) -> str:
    """The catalog that an encoder's spec stands in: table, text or image."""
    return next(kind for kind, catalog in ENCODERS.items() if type(spec) in catalog.values())


class Model(nn.Module):
    """Tensors by part name → logits by target. Groups and targets keep the order of the spec."""

    def __init__(self, spec: ModelSpec, layouts: Mapping[str, Layout], outputs: Mapping[str, OutputLayout]):
        super().__init__()
        self.spec, self.outputs = spec, dict(outputs)
        self.edits: list[dict[str, Any]] = []
        """What was changed after it was built, in order, for a bundle to keep."""
        self.lr_factors: dict[str, float] = {}
        """Beginning of parameters' names → what their learning rate is multiplied with; others have 1."""
        self.groups = (*spec.encoders, *spec.shared)
        self.slots = {name: _slot(place, name) for place, name in enumerate(spec.encoders)}
        self.slots |= {name: self.slots[owner] for name, owner in spec.shared.items()}
        encoders = {name: _build_encoder(spec, name, layouts[name]) for name in spec.encoders}
        self.encoders = nn.ModuleDict({self.slots[name]: encoder for name, encoder in encoders.items()})
        self.group_dropout = StochasticDepth(spec.group_dropout if len(self.groups) > 1 else 0.0)
        self.members = max((encoder.members for encoder in encoders.values()), default=0)
        self.trunk: Trunk = _at("model.trunk", lambda: spec.trunk.build(spec.dim, self.groups, self.members))
        self.head_slots = {name: _slot(place, name) for place, name in enumerate(spec.heads)}
        self.heads = nn.ModuleDict()
        for name, head in spec.heads.items():
            self.heads[self.head_slots[name]] = _build_head(name, head, outputs[name], self.trunk.dim, self.members)
            if self.head(name).per_token and len(self.groups) > 1:
                got = f"inputs {listed(self.groups)}"
                raise RecipeError(f"The head of '{name}' answers for each token of one input", got, "Keep one input")
            if self.head(name).shifts:
                self._look_back_only(name)
            if self.head(name).tied:
                self._table(name)  # tells at once if there is none

    def _look_back_only(self, name: str) -> None:
        """Raises: RecipeError if tokens know of those after them, which a language model would copy."""
        for part, place in ((self.trunk, "model.trunk"), *((one, "model.text") for one in self.encoders.values())):
            if not part.is_causal:
                do = "Use causal: true, or bidirectional: false"
                raise RecipeError(f"{place} must not look ahead for the head of '{name}'", "one that does", do)

    def head(self, name: str) -> Head:
        """The head of one target."""
        found = self.heads[self.head_slots[name]]
        assert isinstance(found, Head)
        return found

    def tokens(self, inputs: Mapping[str, Tensor], memory: Memory | None = None) -> Tokens:
        """What every head reads; with a memory, of new tokens of texts whose earlier tokens it knows."""
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in self.groups}
        for name, tensor in inputs.items():
            group, part = name.rsplit(".", 1)
            if part not in BESIDE:
                parts[group][part] = tensor
        if memory is not None:
            parts = {name: {**one, "positions": memory.positions} for name, one in parts.items()}
        encoded = {name: self._group(self._encoded(name, parts[name])) for name in self.groups}
        mixed: Tokens = self.trunk(encoded) if memory is None else self.trunk(encoded, memory)
        return mixed

    def _encoded(self, name: str, parts: dict[str, Tensor]) -> Tokens:
        kept, encoder = parts.get(FEATURES), self.encoders[self.slots[name]]
        return encoder(parts) if kept is None else encoder.after(one_token(kept))  # type: ignore[no-any-return, operator]

    def _group(self, tokens: Tokens) -> Tokens:
        """A group's tokens, which a row may lack while training, so that it learns to answer by the other groups too.

        Source: Neverova et al. 2015, "ModDrop: adaptive multi-modal gesture recognition", section 4.
        """
        return tokens if self.group_dropout.share == 0 else tokens._replace(values=self.group_dropout(tokens.values))

    def logits(
        self, name: str, tokens: Tokens, inputs: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "batch ..."]:
        """What one head makes of tokens; a tied head also reads the vectors of the token ids it answers with, one that
        quotes the places of the tokens, one that writes the true texts."""
        head, given = self.head(name), inputs or {}
        table = self._table(name) if head.tied else None
        if head.writes:
            taught: Tensor = head(tokens, table, given[f"{name}.{TEACHER}"])
            return taught
        if isinstance(head, Preference) and (answers := given.get(f"{name}.{TARGETS}")) is not None:
            return head.compare(tokens, table, answers, given.get(f"{name}.{REFERENCE}"))
        if head.quotes:
            places: Tensor = head(tokens, given[f"{self.groups[0]}.places"])
            return places
        found: Tensor = head(tokens) if table is None else head(tokens, table)
        return found

    def _table(self, name: str) -> Float[Tensor, "vocab dim"]:
        """The token vectors of the input that a target is read from: the one of its name, or the only one with any."""
        tables = {group: self.encoders[slot].table for group, slot in self.slots.items()}
        tables = {group: table for group, table in tables.items() if table is not None}
        found = tables.get(name, next(iter(tables.values()), None) if len(tables) == 1 else None)
        if found is None:
            raise RecipeError(
                f"The head of '{name}' is tied to the token vectors of one input",
                f"inputs with token vectors: {listed(tables)}",
                "Use tied: false",
            )
        assert isinstance(found, Tensor)
        return found

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits by target, (batch, member, ...) for an ensemble."""
        tokens = self.tokens(inputs)
        return {name: self.logits(name, tokens, inputs) for name in self.head_slots}

    def score(
        self,
        logits: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        row_weight: Float[Tensor, "batch"] | None = None,
        share: Float[Tensor, "batch"] | None = None,
        totals: Mapping[str, Tensor] | None = None,
        known: Collection[str] = (),
    ) -> tuple[Float[Tensor, ""], dict[str, tuple[Tensor, Tensor]]]:
        """Σ over targets of weight · mean loss, and (sum, weight sum) of each target for an exact mean elsewhere.

        `totals` are weight sums over more than these rows, where they are a part of a step: the parts' losses then add
        up to the step's. `known` are targets that no row lacks.
        """
        sums = {
            name: self.head(name).loss(logits[name], targets[name], row_weight, share, name in known)
            for name in self.head_slots
        }
        means = []
        for name, (loss, weight) in sums.items():
            # No known target: the sum is zero, and must stay so.
            mean = loss / (weight if totals is None else totals[name]).clamp(min=LEAST_WEIGHT)
            factor = self.spec.weights.get(name, 1.0)
            means.append(mean if factor == 1 else factor * mean)
        return means[0] if len(means) == 1 else torch.stack(means).sum(), sums

    def target_weights(
        self, targets: Mapping[str, Tensor], row_weight: Float[Tensor, "batch"] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """The weight sum of each target, known before any forward pass."""
        return {name: self.head(name).row_weights(targets[name], row_weight).sum() for name in self.head_slots}

    def loss(
        self,
        inputs: dict[str, Tensor],
        targets: Mapping[str, Tensor],
        row_weight: Float[Tensor, "batch"] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, tuple[Tensor, Tensor]]]:
        """Forward and `score` in one."""
        return self.score(self(inputs), targets, row_weight)

    def combine(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits whose probabilities are the mean over the members of an ensemble; otherwise the same."""
        return {name: self.head(name).combine(value) for name, value in logits.items()}

    def answers(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is served: forward and `combine` in one; of a text that predicts itself, how probable each row is; of a
        text that is written, its tokens."""
        name = next((name for name in self.head_slots if self.head(name).shifts or self.head(name).masks), None)
        if name is None:
            tokens = self.tokens(inputs)
            return {one: self._answer(one, tokens, inputs) for one in self.head_slots}
        ids, head = inputs[f"{name}.ids"], self.head(name)
        assert isinstance(head, TokenHead)
        if (told := inputs.get(f"{name}.{TEACHER if head.writes else TARGETS}")) is not None:
            return {name: head.figures(self(inputs)[name], told)}
        return {name: head.figures(self({f"{name}.ids": ids[:, :-1]})[name], ids[:, 1:])}

    def _answer(self, name: str, tokens: Tokens, inputs: Mapping[str, Tensor]) -> Tensor:
        head = self.head(name)
        if isinstance(head, Sequence):
            return head.write(tokens, self._table(name) if head.tied else None)
        return head.combine(self.logits(name, tokens, inputs))

    @property
    def num_parameters(self) -> int:
        """Numbers that can be trained, in all."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def num_trained(self) -> int:
        """Those of them that are not frozen."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def to_json(self) -> dict[str, Any]:
        """What a bundle keeps of the model beside its weights."""
        outputs = {name: asdict(output) for name, output in self.outputs.items()}
        return {"spec": self.spec.model_dump(mode="json"), "outputs": outputs}


def _slot(place: int, name: str) -> str:
    """A name that a module may have, for a column that may be called anything: a place and the readable rest."""
    return f"{place}_{re.sub(r'[^0-9A-Za-z]+', '_', name)}"


def _at(place: str, build: Any) -> Any:
    """Call a builder; a rule that it finds broken is told with its place."""
    try:
        return build()
    except RecipeError as error:
        raise error.at(f"{place}:") from error


def _build_encoder(spec: ModelSpec, name: str, layout: Layout) -> Encoder:
    encoder, kind = spec.encoders[name], layout.kind
    if kind_of(encoder) != kind:
        raise RecipeError(
            f"The encoder of '{name}' must be for {kind}", encoder.type, f"Use one of: {listed(ENCODERS[kind])}"
        )
    built: Encoder = _at(f"encoder of '{name}'", lambda: encoder.build(layout, spec.dim))
    return built


def _build_head(name: str, spec: Any, output: OutputLayout, dim: int, members: int) -> Head:
    built: Head = _at(f"head of '{name}'", lambda: spec.build(output, dim, members))
    if built.answer != output.kind:
        raise RecipeError(f"The head of '{name}' must answer {output.kind}", spec.type, "Leave the head out")
    return built


def build_model(
    spec: ModelSpec, layouts: Mapping[str, Layout], outputs: Mapping[str, OutputLayout], seed: int = 0
) -> Model:
    """A model with weights drawn from `seed` alone; torch's own generator is left as it was.

    Raises: RecipeError if the parts do not fit together or the layouts.
    """
    if missing := sorted(set(spec.encoders) - set(layouts)):
        raise RecipeError("Every encoder must read an input", listed(missing), f"The inputs are {listed(layouts)}")
    if missing := sorted(set(layouts) - set(spec.encoders) - set(spec.shared)):
        raise RecipeError("Every input must have an encoder", f"none for {listed(missing)}", "Add one")
    if set(spec.heads) != set(outputs):
        raise RecipeError("Every output must have one head", listed(spec.heads), f"The outputs are {listed(outputs)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Model(spec, layouts, outputs)


def save_weights(model: nn.Module) -> bytes:
    """All parameters and kept buffers as safetensors."""
    return save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()})


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a model with saved weights.

    Raises: BundleError if names or shapes are not the model's, a weight is no number, or the file is no safetensors
    file.
    """
    own = model.state_dict()
    try:
        weights: dict[str, Tensor] = {}
        for part in weight_files_of(path):
            with part.open("rb") as file:
                header_bytes = int.from_bytes(file.read(8), "little")
            if MOST_HEADER_BYTES * (len(own) + 1) < header_bytes < part.stat().st_size:
                raise BundleError(
                    f"{part} must hold the model's tensors and no others", "many more", "Use its own recipe"
                )
            weights |= load_file(part)
        weights = widened(weights)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise BundleError(f"{path} must be a safetensors file", str(error), "Use an undamaged copy") from error
    if wrong := sorted(set(own) ^ set(weights)):
        raise BundleError(f"{path} must hold the model's tensors and no others", listed(wrong), "Use its own recipe")
    if wrong := [name for name, value in own.items() if value.shape != weights[name].shape]:
        raise BundleError(f"{path} must hold tensors of the model's shapes", listed(wrong), "Use its own recipe")
    # Constants of layers may be endless on purpose: they are so in a new model too.
    broken = [name for name, value in weights.items() if not value.isfinite().all() and own[name].isfinite().all()]
    if broken:
        raise BundleError(f"{path} must hold numbers", f"others in {listed(broken)}", "Use an undamaged copy")
    model.load_state_dict(weights)


class TorchBackend:
    """A model as a callable from arrays to arrays, for a Predictor."""

    def __init__(self, model: Model):
        self.model = model.eval()

    @torch.inference_mode()
    def __call__(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        device = next(self.model.parameters()).device
        tensors = {name: _tensor(array).to(device) for name, array in inputs.items()}
        return {name: logits.float().cpu().numpy() for name, logits in self.model.answers(tensors).items()}

    @torch.inference_mode()
    def embed(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """The vector that the heads read of each row: its tokens' mean."""
        device = next(self.model.parameters()).device
        tokens = self.model.tokens({name: _tensor(array).to(device) for name, array in inputs.items()})
        return {EMBEDDING: (tokens.values.mean(1) if tokens.members else pool(tokens)).float().cpu().numpy()}


def _tensor(array: NDArray[np.generic]) -> Tensor:
    """An array as a tensor, without a copy where the memory may be written (torch warns of read-only memory)."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def open_model(bundle: Bundle) -> Model:
    """The model of a bundle, with its weights.

    Raises: BundleError if the bundle holds edits or weights that this function cannot rebuild.
    """
    layouts = Fields.from_json(bundle.fields_json, bundle.field_files()).layouts()
    told = bundle.model["outputs"]
    outputs = {name: OutputLayout(**one | {"counts": tuple(one["counts"])}) for name, one in told.items()}
    model = build_model(ModelSpec.model_validate(bundle.model["spec"]), layouts, outputs)
    apply_edits(model, bundle.edits)
    model.edits = bundle.edits
    load_weights(model, bundle.weights_path)
    return model.eval()


def open_backend(bundle: Bundle) -> TorchBackend:
    """A bundle served through torch."""
    return TorchBackend(open_model(bundle))
