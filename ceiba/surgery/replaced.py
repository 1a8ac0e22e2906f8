"""The same net with some of its parts in another form."""

import copy
from collections.abc import Callable

from torch import nn


def replaced(module: nn.Module, by: Callable[[str, nn.Module], nn.Module | None], path: str = "") -> nn.Module:
    """The net in which a part stands for each one that `by`, which is given its path, has another for; None keeps it.

    The module that was given is untouched, and shares with the new one whatever is not replaced.
    """
    found = by(path, module)
    if found is not None:
        return found
    start = f"{path}." if path else ""
    changed = {name: replaced(child, by, start + name) for name, child in module.named_children()}
    if all(child is module.get_submodule(name) for name, child in changed.items()):
        return module
    copied = copy.copy(module)
    copied._modules = {**module._modules, **changed}
    return copied
