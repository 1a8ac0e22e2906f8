"""`ceiba export`: a bundle → what another runtime runs, held against the original before it is written."""

import time
from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.bundle import Bundle, open_bundle
from ceiba.cli import resolve
from ceiba.cli.opening import bundle_folder
from ceiba.cli.words import finish, words

TARGETS = {
    "gguf": "ceiba.export:export_gguf",
    "huggingface": "ceiba.export:export_huggingface",
    "onnx": "ceiba.export:export_onnx",
    "peft": "ceiba.export:export_peft",
    "torch": "ceiba.export:export_torch",
}
"""Target → the function `(bundle, out) -> figures` that writes it, imported only when asked for."""
WEIGHTS = ("f32", "f16", "q8_0")


def main(arguments: list[str]) -> int:
    """Export a bundle to one target and print how far its answers are from the original's."""
    parser = words(
        "export", "Turn a bundle into what another runtime runs; it is written only if it answers as the original does."
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle or the folder of a run")
    parser.add_argument("--to", choices=sorted(TARGETS), default="onnx", help="the target (default: onnx)")
    parser.add_argument("--out", metavar="DIR", help="where it goes (default: beside the bundle, named by the target)")
    parser.add_argument("--weights", choices=WEIGHTS, help="number format of the weights in a GGUF file (default: f16)")
    given = parser.parse_args(arguments)
    if given.weights is not None and given.to != "gguf":
        raise InputError("--weights is for --to gguf", given.to, "Leave it out")
    began = time.monotonic()
    bundle = open_bundle(bundle_folder(given.bundle))
    out = Path(given.out) if given.out else beside(bundle, given.to)
    if out.exists():
        raise InputError(f"{out} must not exist", "something of that name", "Name another folder with --out")
    more = {} if given.weights is None else {"weights": given.weights}
    figures = resolve(TARGETS[given.to])(bundle, out, **more)
    for output, error in figures.get("worst", {}).items():
        print(f"{output}: largest relative error {error:.1e} in {figures['cases']} runs of other sizes")
    if figures.get("real_rows") == 0:
        print("Note: the training data are no longer where the recipe says; random rows alone were compared")
    print(f"Exported: {out}")
    return finish(given.json, {**figures, "seconds": time.monotonic() - began})


def beside(bundle: Bundle, name: str) -> Path:
    """Where the result goes unless told: in the run's folder, or beside the bundle."""
    folder = bundle.folder
    return folder.with_name(name) if folder.name == "bundle" else folder.with_name(f"{folder.name}-{name}")
