"""`ceiba init`: data → a profile on the screen and a recipe in a file. No torch."""

from pathlib import Path

from ceiba.base.errors import InputError
from ceiba.base.files import write_bytes
from ceiba.cli.words import finish, words
from ceiba.prepare import draft


def main(arguments: list[str]) -> int:
    """Print what the data hold and what is wrong with them; write a complete recipe beside where one stands."""
    parser = words("init", "Look at data: print a profile with warnings and write a recipe a person would keep.")
    parser.add_argument("data", metavar="DATA", help="a file, a folder or a pattern")
    parser.add_argument(
        "--target", action="append", default=[], metavar="COLUMN", help="column to predict (repeatable)"
    )
    parser.add_argument("--test", metavar="DATA", help="test rows")
    parser.add_argument("--out", metavar="RECIPE.yaml", help="where the recipe goes (default: NAME.yaml here)")
    given = parser.parse_args(arguments)
    out = Path(given.out or f"{Path(given.data).name.split('.')[0]}.yaml")
    if out.exists():
        raise InputError(f"{out} must not exist", "a file of that name", "Name another with --out")
    profile, recipe = draft(given.data, given.target, given.test, out.parent)
    print(profile.to_text())
    if given.target:
        write_bytes(out, recipe.encode())
        print(f"\nRecipe: {out}\nNext:   ceiba train {out}")
    else:
        print("\nNo recipe yet: name what to predict with --target COLUMN.")
    return finish(given.json, {"recipe": str(out) if given.target else None, "profile": profile.to_json()})
