"""Generate: a language model and the beginning of a text → its continuation, token by token.
Takes       a Model, its text field, prompts, options.   Gives   Texts, or streams of their pieces.
May touch   model, surgery, layers, fields, predict, bundle, base.   Never   training, reports, a server's protocol.
To add one  a rule of sampling: sampling.py and a line in options.py; a way of decoding: generate/<name>.py."""

from ceiba.generate.adapters import Adapter
from ceiba.generate.engine import Engine, Stream
from ceiba.generate.generator import Generator, open_generator
from ceiba.generate.options import GenerateOptions
from ceiba.generate.text import Generated, Piece

__all__ = ["Adapter", "Engine", "GenerateOptions", "Generated", "Generator", "Piece", "Stream", "open_generator"]
