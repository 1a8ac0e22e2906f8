"""A language model that writes: prompts in, texts out."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

from ceiba.base.errors import BundleError, InputError, listed
from ceiba.bundle import Bundle
from ceiba.fields import Fields
from ceiba.fields.tokens import TokenField
from ceiba.generate.adapters import Adapter, Voice, voice_of
from ceiba.generate.batch import Batch
from ceiba.generate.beam import write_best
from ceiba.generate.chat import check_messages, plain_prompt
from ceiba.generate.constrain import JsonConstraint, Vocabulary
from ceiba.generate.decoder import Decoder, open_decoder
from ceiba.generate.engine import Engine
from ceiba.generate.options import GenerateOptions, read_options
from ceiba.generate.request import Request
from ceiba.generate.speculate import Speculation
from ceiba.generate.text import Generated, Piece
from ceiba.generate.weights import WeightForm, prepare_weights
from ceiba.layers import Positions
from ceiba.model import Model, open_model

MAX_ROWS = 16
ReadAdapters = Callable[[Model, TokenField], Mapping[str, Adapter]]
"""What reads adapters that were learnt beside a model of some tokens."""


class Generator:
    """A model, the field that cuts and joins its text, how many texts it writes at once, the form of its weights.

    `notes` tells what was measured of the weights, and what was decided. With a draft, a small model of the same
    tokens, texts are written one after another, each faster. Beside the one model stand adapters by name; each text
    is written by the one that it asks for, or by the model alone.

    Raises: InputError for a draft with other tokens.
    """

    def __init__(
        self,
        model: Model,
        output: str,
        field: TokenField,
        max_rows: int = MAX_ROWS,
        weights: WeightForm = "plain",
        draft: "Generator | None" = None,
        adapters: Mapping[str, Adapter] | None = None,
    ):
        self.field: TokenField = field
        if draft is not None and (draft.field.vocab, draft.field.trained) != (field.vocab, field.trained):
            raise InputError("a draft model must have the same tokens", None, "Train both with one tokenizer")
        self.draft = draft
        prepared = prepare_weights(model, output, weights, max_rows)
        self.model, self.weights, self.notes = prepared.model, prepared.form, prepared.notes
        self.output, self.max_rows = output, max_rows
        self.context = context_of(model, field)
        like = next(model.parameters()).detach()
        self.adapters = {name: one.like(like) for name, one in (adapters or {}).items()}
        self.voices: dict[str | None, Voice] = {None: voice_of(field)}
        for name, one in self.adapters.items():
            self.voices[name] = self.voices[None] if one.field is field else voice_of(one.field)

    def voice(self, adapter: str | None) -> Voice:
        """How texts of an adapter begin, end and are laid out; None: of the model alone.

        Raises: InputError for an adapter that is not there.
        """
        if adapter not in self.voices:
            known = f"Use one of: {listed(self.adapters)}" if self.adapters else "Open the model with it"
            raise InputError("an adapter must be there under that name", f"'{adapter}'"[:80], known)
        return self.voices[adapter]

    def read(self, prompt: str | Sequence[int], options: GenerateOptions) -> list[int]:
        """The tokens of a prompt; without any, the token that begins a text.

        Raises: InputError for ids that are not the tokenizer's, no token at all, or more than the context holds.
        """
        start = self.voice(options.adapter).start
        ids = self.field.token_ids([prompt])[0] if isinstance(prompt, str) else [int(id) for id in prompt]
        if wrong := [id for id in ids if not 0 < id < self.field.vocab]:
            raise InputError(f"the ids of a prompt must be from 1 to {self.field.vocab - 1}", wrong[0])
        if not ids and start is None:
            raise InputError("a prompt must hold a token", repr(prompt), "Begin the text")
        if len(ids) > self.context and options.when_full == "stop":
            raise InputError(
                f"a prompt must fit the context of {self.context} tokens", f"{len(ids)} tokens",
                "Shorten it, or use when_full: slide",
            )  # fmt: skip
        return ids or [int(start or 0)]

    def prepare(self, prompt: Any, options: Any, deliver: Any) -> Request:
        """A request for a batch of this model.

        Raises: InputError as `read` and `read_options` do.
        """
        chosen = read_options(options)
        schema, end = chosen.json_schema, self.voice(chosen.adapter).end
        constraint = None if schema is None else JsonConstraint(schema, self.vocabulary)
        if constraint is not None:
            end = self.vocabulary.end
        return Request(self.read(prompt, chosen), chosen, self.field.decode, end, deliver, constraint)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens as a form needs them; made when it is first asked for."""
        return Vocabulary(self.field)

    def batch(self) -> Batch | Speculation:
        """An empty batch."""
        if self.draft is not None:
            return Speculation(self.decoder(1), self.draft.decoder(1))
        return Batch(self.decoder(self.max_rows))

    def decoder(self, max_rows: int) -> Decoder:
        """The model's decoder, without rows."""
        pairs = {name: one.pairs for name, one in self.adapters.items()}
        return open_decoder(self.model, self.output, self.context, max_rows, pairs)

    def engine(self, max_waiting: int = 1024) -> Engine:
        """A thread that writes for many at once."""
        return Engine(self, max_waiting)

    def count(self, prompt: str | list[int]) -> int:
        """The tokens of a prompt."""
        return len(self.field.token_ids([prompt])[0] if isinstance(prompt, str) else prompt)

    def chat(self, messages: Sequence[Mapping[str, str]], adapter: str | None = None) -> str | list[int]:
        """Messages {"role", "content"} as the prompt that an answer continues: by the template that came with the
        tokenizer, or that the adapter learnt; else as a play.

        Raises: InputError for messages that are wrong, or that the template refuses; for an unknown adapter.
        """
        checked, template = check_messages(messages), self.voice(adapter).template
        return plain_prompt(checked) if template is None else template.ids(checked)

    @overload
    def generate(self, prompt: str, **options: Any) -> Generated: ...
    @overload
    def generate(self, prompt: Sequence[str], **options: Any) -> list[Generated]: ...
    def generate(self, prompt: str | Sequence[str], **options: Any) -> Generated | list[Generated]:
        """Continue one prompt or several; the options are those of GenerateOptions.

        Raises: InputError for a prompt or options that are wrong.
        """
        prompts, chosen = [prompt] if isinstance(prompt, str) else list(prompt), read_options(options)
        found = self.generate_each(prompts, [chosen] * len(prompts))
        return found[0] if isinstance(prompt, str) else found

    def generate_each(
        self, prompts: Sequence[str | Sequence[int]], options: Sequence[GenerateOptions]
    ) -> list[Generated]:
        """Continue prompts, texts or ids, each with options of its own.

        Raises: InputError for a prompt that is wrong.
        """
        pairs = zip(prompts, options, strict=True)
        requests = [self.prepare(prompt, one, _ignore) for prompt, one in pairs]
        batch = self.batch()
        for request in requests:
            if request.options.beams == 1 or request.options.max_tokens == 0:
                batch.add(request)
            else:
                write_best(self.decoder(request.options.beams), request)
        while batch.step():
            pass
        return [request.result() for request in requests]

    def stream(self, prompt: str | Sequence[int], **options: Any) -> Iterator[Piece]:
        """The pieces of a continuation, each as soon as it is written.

        Raises: InputError for a prompt or options that are wrong.
        """
        pieces: deque[Any] = deque()
        batch = self.batch()
        batch.add(_one_by_one(self.prepare(prompt, options, pieces.append)))
        is_busy = True
        while is_busy or pieces:
            if pieces:
                yield pieces.popleft()
            else:
                is_busy = batch.step()


def _one_by_one(request: Request) -> Request:
    """Raises: InputError for a request whose text is not written from left to right."""
    if request.options.beams > 1:
        raise InputError(
            "a search over beams gives its text at the end", f"{request.options.beams} beams", "Use beams: 1"
        )
    return request


def _ignore(piece: Piece | BaseException) -> None:
    """The text is taken as a whole."""


def context_of(model: Model, field: TokenField) -> int:
    """Tokens that a text may hold: the places that were learnt, else the length of the rows in training."""
    places = [module.table.shape[0] for module in model.modules() if isinstance(module, Positions)]
    return min(places) if places else field.max_tokens


def open_generator(
    bundle: Bundle,
    max_rows: int = MAX_ROWS,
    weights: WeightForm = "auto",
    draft: Generator | None = None,
    adapters: ReadAdapters | None = None,
) -> Generator:
    """A bundle's language model, its weights in a form; `auto`: the one that the bundle was compressed to, else the
    faster one of float32's, measured now.

    `adapters` reads those that stand beside it.

    Raises: BundleError if it holds none; what reading the adapters raises.
    """
    model = open_model(bundle)
    if weights == "auto" and (form := bundle.meta.get("compressed", {}).get("by")) in ("int8", "int4"):
        weights = form
    fields = Fields.from_json(bundle.fields_json, bundle.field_files())
    for name in model.head_slots:
        field = fields.inputs.get(name)
        if model.head(name).shifts and isinstance(field, TokenField):
            beside = None if adapters is None else adapters(model, field)
            return Generator(model, name, field, max_rows, weights, draft, beside)
    raise BundleError(f"{bundle.folder} must hold a language model", "no next_token head", "Train one")
