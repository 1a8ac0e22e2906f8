"""YAML read as version 1.2 with line marks: `no` is text, `1e-3` a number, `12:30` text, a duplicate key an error."""

import re
from typing import Any

import yaml

from ceiba.base.errors import RecipeError

Path = tuple[str | int, ...]
Marks = dict[Path, int]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalar rules of YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first) if _tag != "null" else [*"~nN", ""])


def _plain(loader: _Loader, node: yaml.Node, at: Path, marks: Marks, name: str) -> Any:
    line = node.start_mark.line + 1
    marks[at] = line
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            word = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if word is None:
                raise RecipeError(f"{name}:{key_node.start_mark.line + 1} a key must be a word", "a list or a mapping", "Quote it")
            if word in result:
                raise RecipeError(f"{name}:{key_node.start_mark.line + 1} {'.'.join(map(str, at))} has the key '{word}' twice".replace("  ", " "), None, "Keep one")
            result[word] = _plain(loader, value_node, (*at, word), marks, name)
            marks[(*at, word)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, child, (*at, place), marks, name) for place, child in enumerate(node.value)]
    if node.tag not in {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "null", "int", "float", "str")}:
        raise RecipeError(f"{name}:{line} a value must be plain text, a number, true, false or null", node.tag, "Remove the tag")
    if node.tag.endswith(":int"):
        return int(node.value, 0) if node.value[:2] in ("0o", "0x") else int(node.value)
    return loader.construct_object(node)


def read_yaml(text: str, name: str) -> tuple[Any, Marks]:
    """A YAML document → plain values, and the line (from 1) of every path in it.

    Raises: RecipeError for text that is not YAML, duplicate keys, tags and anchors' cycles.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        marks: Marks = {}
        return (None if node is None else _plain(loader, node, (), marks, name)), marks
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{name}:{line} must be YAML", problem, "Check the indentation and the quotes there") from error
    except RecursionError as error:
        raise RecipeError(f"{name} must not nest without end", "a cycle of anchors", "Write the values out") from error
    finally:
        loader.dispose()


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 and 1.2 read differently, and keeps the order of keys."""


def write_yaml(value: object) -> str:
    """Plain values → YAML that both version 1.1 and version 1.2 read back equal."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
