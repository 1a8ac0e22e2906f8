"""The error tree. Every message reads: where and rule. Got. Do.

CeibaError                  exit code 1
├── InputError              exit code 2: what the user gave is wrong
│   ├── RecipeError         a key, a value or a combination of them in a recipe
│   ├── DataError           a file, a row, a column or an image
│   └── BundleError         a bundle that is damaged, unknown or unfit for what is asked
├── MissingPackage          exit code 2: an optional package is not installed
├── Followed                exit code 0: a process of many whose part is done
└── Stopped                 exit code 130 or 143: a signal ended the work after saving
"""

import difflib
from collections.abc import Iterable

MOST_NAMES = 5


class CeibaError(Exception):
    """Base of all errors that Ceiba raises on purpose: one line, three short sentences."""

    exit_code = 1

    def __init__(self, rule: str, got: object = None, do: str | None = None):
        self.rule, self.got, self.do = rule, got, do
        parts = [rule.rstrip(".")]
        if got is not None:
            parts.append(f"Got {got}".rstrip("."))
        if do:
            parts.append(do.rstrip("."))
        super().__init__(" ".join(part if part.endswith("?") else part + "." for part in parts))

    def __reduce__(self) -> tuple[type["CeibaError"], tuple[object, ...], dict[str, object]]:
        """How another process makes the same error."""
        return type(self), (self.rule, self.got, self.do), vars(self)

    def at(self, where: str) -> "CeibaError":
        """The same error with its place in front; called once, at the border that knows the place."""
        return type(self)(f"{where} {self.rule}", self.got, self.do)


class InputError(CeibaError):
    """What the user gave is wrong."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe breaks a rule."""


class DataError(InputError):
    """Data break a rule."""


class BundleError(InputError):
    """A bundle breaks a rule."""


class MissingPackage(CeibaError):
    """An optional package is needed and absent."""

    exit_code = 2


class Followed(CeibaError):
    """Not an error: this process took part in a training that another one leads, and has no more to do."""

    exit_code = 0


class Stopped(CeibaError):
    """A signal ended the work after everything was saved."""

    def __init__(self, rule: str, got: object = None, do: str | None = None, exit_code: int = 143):
        super().__init__(rule, got, do)
        self.exit_code = exit_code


def listed(names: Iterable[object]) -> str:
    """At most five names, then how many more."""
    all_names = [str(name) for name in names]
    shown = ", ".join(all_names[:MOST_NAMES])
    rest = len(all_names) - MOST_NAMES
    return f"{shown} and {rest} more" if rest > 0 else shown


def nearest(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: the nearest right one, or the list of them."""
    choices = list(known)
    folded = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(str(name).casefold(), list(folded), n=1, cutoff=0.6)
    return f"Did you mean '{folded[close[0]]}'?" if close else f"Use one of: {listed(choices)}"
