"""The folder of a run: `bundle/`, `checkpoints/`, `log.jsonl`, `events/`."""

from itertools import count
from pathlib import Path

from ceiba.base.errors import InputError


def run_folder(title: str, out: str | Path | None, resume: bool) -> Path:
    """Where a run goes: `out`, or the first free of runs/TITLE, runs/TITLE-2, ...

    Raises: InputError for a folder that holds a bundle or, without `resume`, a checkpoint; for what is no folder.
    """
    if out is None:
        if resume:
            raise InputError("--resume needs the folder of the run", "no --out", "Add --out DIR")
        names = (Path("runs") / (title if place == 1 else f"{title}-{place}") for place in count(1))
        return next(path for path in names if not path.exists())
    folder = Path(out)
    for path in (folder, *folder.parents):
        if not path.is_dir() and (path.exists() or path.is_symlink()):
            raise InputError(
                f"{path} must be a folder or absent", "a file" if path.exists() else "a link to nothing",
                "Name another folder with --out",
            )  # fmt: skip
    if (folder / "bundle").exists():
        raise InputError(f"{folder} must not hold a finished run", "a bundle", "Name another folder with --out")
    if not resume and any((folder / "checkpoints").glob("step-*")):
        raise InputError(
            f"{folder} holds checkpoints", "no --resume", "Add --resume, or name another folder with --out"
        )
    return folder
