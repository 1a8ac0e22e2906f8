"""Which versions of a model answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Route:
    """Which versions of a name answer."""

    stable: int
    canary: int | None = None
    share: float = 0.0
    """Part of the requests that the canary answers, of those that name no version."""
    labels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Mapping[str, Any], old: "Route") -> Self:
        """A route from what an administrator asked for; labels that are not named stay."""
        return cls(
            int(value.get("stable", old.stable)),
            None if value.get("canary") is None else int(value["canary"]),
            float(value.get("share", 0.0)),
            {str(name): int(version) for name, version in value.get("labels", old.labels).items()},
        )

    @property
    def newest(self) -> int:
        return max(self.reaches())

    def reaches(self) -> list[int]:
        """Every version that some request can reach."""
        canary = [] if self.canary is None else [self.canary]
        return sorted({self.stable, *canary, *self.labels.values()})

    def labeled(self, label: str) -> int | None:
        """The version of a label; stable and canary are always labels."""
        own = {"stable": self.stable, "canary": self.canary}
        return self.labels.get(label, own.get(label))
