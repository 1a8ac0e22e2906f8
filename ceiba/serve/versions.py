"""Which versions of which models there are, and which of them answer."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ceiba.base.errors import InputError, listed
from ceiba.base.files import MANIFEST
from ceiba.serve.routes import Route

RUN_BUNDLE = "bundle"
Mark = tuple[int, int, int]


class Versions:
    """A folder of versions (1, 2, ...) is looked at again and again; of any other folder, the one bundle is version 1,
    and a bundle that took its place the next version, once the server is told to look."""

    def __init__(self, models: Mapping[str, Path], canary_share: float):
        """Raises: InputError for a folder that holds no bundle."""
        self.models, self.canary_share = dict(models), canary_share
        self.paths: dict[str, dict[int, Path]] = {name: versions_in(path) for name, path in models.items()}
        self.routes = {name: Route(max(paths)) for name, paths in self.paths.items()}
        self.states: dict[str, dict[int, tuple[str, str]]] = {
            name: {route.stable: ("AVAILABLE", "")} for name, route in self.routes.items()
        }
        self.marks = {
            (name, version): _mark(path) for name, paths in self.paths.items() for version, path in paths.items()
        }
        self.looked, self.look_at_all = 0.0, False

    def held(self) -> Iterator[tuple[str, int, Path]]:
        """Every version that a route reaches, and where it lies."""
        for name, route in self.routes.items():
            for version in route.reaches():
                yield name, version, self.paths[name][version]

    def is_due(self, now: float, poll_s: float) -> bool:
        if now - self.looked < poll_s:
            return False
        self.looked = now
        return True

    def found(self) -> list[tuple[str, int]]:
        """The newest versions that have not been tried yet."""
        new = []
        for name, folder in self.models.items():
            if is_versioned(folder):
                paths = versions_in(folder)
                self.paths[name] |= {
                    version: path for version, path in paths.items() if version not in self.paths[name]
                }
                newest = max(paths, default=0)
                mark = _mark(paths[newest]) if newest else None
                if newest > self.routes[name].newest and mark is not None and self.marks.get((name, newest)) != mark:
                    self.marks[name, newest] = mark
                    new.append((name, newest))
            elif self.look_at_all and (path := bundle_in(folder)) is not None:
                newest = max(self.paths[name])
                if _mark(path) != self.marks[name, newest]:
                    self.paths[name][newest + 1] = path
                    self.marks[name, newest + 1] = _mark(path)
                    new.append((name, newest + 1))
        self.look_at_all = False
        return new

    def begin(self, name: str, version: int) -> Path:
        """A version is being loaded."""
        self.states[name][version] = ("LOADING", "")
        return self.paths[name][version]

    def failed(self, name: str, version: int, message: str) -> None:
        """A version could not be loaded; what answered before goes on."""
        self.states[name][version] = ("END", message)

    def available(self, name: str, version: int) -> None:
        self.states[name][version] = ("AVAILABLE", "")

    def came(self, name: str, version: int) -> None:
        """A new version takes over, or becomes the canary."""
        old = self.routes[name]
        self.available(name, version)
        if self.canary_share:
            self.set_route(
                name, {"stable": old.stable, "canary": version, "share": self.canary_share, "labels": dict(old.labels)}
            )
        else:
            self.set_route(name, {"stable": version, "labels": dict(old.labels)})

    def needed(self, name: str, route: Mapping[str, Any]) -> list[int]:
        """The versions that a route asks for and that are not loaded.

        Raises: InputError for a model or a version that is not there.
        """
        if name not in self.routes:
            raise InputError("a model must be served under that name", None, f"Use one of: {listed(self.routes)}")
        wanted = Route.of(route, self.routes[name]).reaches()
        if absent := [version for version in wanted if version not in self.paths[name]]:
            known = listed(sorted(self.paths[name]))
            raise InputError("a version must be there", listed(absent), f"Use one of: {known}")
        loaded = self.routes[name].reaches()
        return [version for version in wanted if version not in loaded]

    def set_route(self, name: str, route: Mapping[str, Any]) -> None:
        """From now on these versions answer."""
        self.routes[name] = found = Route.of(route, self.routes[name])
        for version, (state, _) in list(self.states[name].items()):
            if state == "AVAILABLE" and version not in found.reaches():
                self.states[name][version] = ("END", "")

    def shown(self) -> dict[str, Any]:
        """For an administrator."""
        return {
            name: {
                **asdict(route),
                "versions": [
                    {"version": version, "state": self.states[name].get(version, ("UNKNOWN", ""))[0]}
                    for version in sorted(self.paths[name])
                ],
            }
            for name, route in self.routes.items()
        }

    def to_json(self) -> dict[str, Any]:
        """For the workers."""
        return {
            "routes": {name: asdict(route) for name, route in self.routes.items()},
            "states": {
                name: {str(one): state for one, state in states.items()} for name, states in self.states.items()
            },
            "held": {name: route.reaches() for name, route in self.routes.items()},
            "default": next(iter(self.models)),
        }


def bundle_in(folder: Path) -> Path | None:
    """The bundle of a folder, which is one or is the folder of a run."""
    for path in (folder, folder / RUN_BUNDLE):
        if (path / MANIFEST).is_file():
            return path
    return None


def is_versioned(folder: Path) -> bool:
    return bundle_in(folder) is None


def versions_in(folder: Path) -> dict[int, Path]:
    """Version → bundle.

    Raises: InputError for a folder without a bundle.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder} must be a bundle, a run, or a folder of versions", "no such folder", "Check the name"
        )
    if (path := bundle_in(folder)) is not None:
        return {1: path}
    found = {int(one.name): one for one in folder.iterdir() if one.name.isdecimal() and (one / MANIFEST).is_file()}
    if not found:
        raise InputError(f"{folder} must be a bundle, a run, or a folder of versions", "none of them", "Check the name")
    return found


def _mark(path: Path) -> Mark | None:
    """What changes when another bundle takes a bundle's place."""
    try:
        found = (path / MANIFEST).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
