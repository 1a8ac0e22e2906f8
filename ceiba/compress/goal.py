"""What a compression must reach, as a person writes it: "latency <= 0.5x, drop <= 0.5%"."""

import re
from dataclasses import dataclass, field

from ceiba.base.errors import InputError, nearest

TERM = re.compile(r"\s*([a-z_]+)\s*(<=|>=)\s*([0-9.]+)\s*(x|%|)\s*")
RATIOS = {"latency": "<=", "p99": "<=", "size": "<=", "memory": "<=", "throughput": ">="}
"""What is compared with the original, and which way it must go."""
DROP = 0.5
"""Points of the main figure that may be lost unless told."""


@dataclass(frozen=True)
class Goal:
    """Ratios to the original, and how many points of quality may be lost."""

    ratios: dict[str, float] = field(default_factory=dict)
    drop: float = DROP

    def missed(self, ratios: dict[str, float]) -> list[str]:
        """The terms that a candidate does not reach, as a person reads them."""
        return [
            f"{name} {ratios[name]:.2f}x, wanted {RATIOS[name]} {bound:g}x"
            for name, bound in self.ratios.items()
            if not (ratios[name] <= bound if RATIOS[name] == "<=" else ratios[name] >= bound)
        ]

    def __str__(self) -> str:
        terms = [f"{name} {RATIOS[name]} {bound:g}x" for name, bound in self.ratios.items()]
        return ", ".join([*terms, f"drop <= {self.drop:g}%"])


def read_goal(text: str) -> Goal:
    """Terms between commas.

    Raises: InputError for a term that is none, or one that points the wrong way.
    """
    ratios: dict[str, float] = {}
    drop = DROP
    for term in filter(str.strip, text.split(",")):
        found = TERM.fullmatch(term)
        example = 'Write it like "latency <= 0.5x, drop <= 0.5%"'
        if found is None:
            raise InputError("A term of --goal must be a name, <= or >=, and a number", repr(term.strip()), example)
        name, sign, number, unit = found.groups()
        if name != "drop" and name not in RATIOS:
            raise InputError("A term of --goal must be known", repr(name), nearest(name, ["drop", *RATIOS]))
        if sign != RATIOS.get(name, "<=") or unit != ("%" if name == "drop" else "x"):
            raise InputError(f"The term {name} must end in {'%' if name == 'drop' else 'x'} and point the right way",
                             repr(term.strip()), example)  # fmt: skip
        if name == "drop":
            drop = float(number)
        else:
            ratios[name] = float(number)
    return Goal(ratios, drop)
