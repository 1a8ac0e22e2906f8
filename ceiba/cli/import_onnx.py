"""`ceiba import`: an ONNX file of any framework → a bundle that is evaluated, compressed and served like any other."""

from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.cli import resolve
from ceiba.cli.words import finish, words


def main(arguments: list[str]) -> int:
    """Import a file and print what it reads and answers."""
    parser = words("import", "Turn an ONNX file into a bundle; what it reads and answers becomes columns.")
    parser.add_argument("model", metavar="MODEL.onnx", help="the file; its weights within, or beside it")
    parser.add_argument("--labels", default="", metavar="A,B", help="names of the classes, in the order of the scores")
    parser.add_argument("--columns", default="", metavar="X,Y", help="columns of the model's numbers, in order")
    parser.add_argument("--target", metavar="COLUMN", help="what the answer is called (default: as the output)")
    parser.add_argument("--out", metavar="DIR", help="where the bundle goes (default: beside the file, named like it)")
    given = parser.parse_args(arguments)
    path = Path(given.model)
    out = Path(given.out) if given.out else path.with_suffix("")
    if out.exists():
        raise InputError(f"{out} must not exist", "something of that name", "Name another folder with --out")
    labels, columns = (listed(text) for text in (given.labels, given.columns))
    found = resolve("ceiba.export:import_onnx")(path, out, labels, columns, given.target)
    for name, kind in found["inputs"].items():
        print(f"reads {name}: {kind}")
    for name, one in found["outputs"].items():
        shown = f", {len(one['labels'])} labels" if one["labels"] else ""
        print(f"answers {name}: {one['kind']}{shown}, largest relative error {found['worst'][name]:.1e}")
    print(f"Bundle: {out}")
    return finish(given.json, found)


def listed(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
