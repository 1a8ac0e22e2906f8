"""Ceiba: one recipe from raw data to a large model that is trained, measured and answers.
Takes       nothing.                 Gives   the public names, each loaded on first use.
May touch   every room, by name.     Never   an import that a command does not need.
To add one  add one line to PUBLIC below."""

import sys
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

PUBLIC = {
    "train": "ceiba.studies:train",
    "evaluate": "ceiba.cli.measuring:evaluate",
    "open": "ceiba.cli.opening:open_model",
    "read": "ceiba.read:open_frame",
    "profile": "ceiba.prepare:profile",
    "Recipe": "ceiba.recipe:Recipe",
    "Client": "ceiba.serve.client:Client",
    "CeibaError": "ceiba.base.errors:CeibaError",
}
"""Public name → where it lives."""

__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604 - names of the dict above


class _Package(ModuleType):
    """`ceiba.train` is the verb, although a room of that name exists: importing the room must not hide the verb."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> object:
        if name not in PUBLIC:
            raise AttributeError(f"module 'ceiba' has no attribute '{name}'")
        module, attribute = PUBLIC[name].split(":")
        value = getattr(import_module(module), attribute)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted(__all__)


sys.modules[__name__].__class__ = _Package
