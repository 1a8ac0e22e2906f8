"""`ceiba schema`: the JSON Schema of a recipe."""

import json

from ceiba.cli import resolve
from ceiba.cli.words import words


def main(arguments: list[str]) -> int:
    """Print the schema, for editors that complete and check YAML by it."""
    given = words("schema", "Print the JSON Schema of a recipe, for editors.").parse_args(arguments)
    print(json.dumps(resolve("ceiba.recipe:json_schema")(), indent=None if given.json else 1, ensure_ascii=False))
    return 0
