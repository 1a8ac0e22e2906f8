"""Packages that only some work needs."""

import importlib
from types import ModuleType

from ceiba.base.errors import MissingPackage


def require(module: str, extra: str, to: str) -> ModuleType:
    """Import a third-party module, or say which extra of Ceiba installs it.

    Raises: MissingPackage naming what was attempted and the command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise
        package = module.split(".")[0]
        raise MissingPackage(
            f"To {to}, the package '{package}' is needed, which is not installed",
            None,
            f"Run: pip install 'ceiba[{extra}]'",
        ) from error
