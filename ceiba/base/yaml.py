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
_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
}
for _kind, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _first)
_KNOWN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in (*_SCALARS, "str", "map", "seq")}
_NOT_TEXT = re.compile("|".join(pattern for pattern, _ in _SCALARS.values()))


def _plain(loader: _Loader, node: yaml.Node, at: Path, marks: Marks, name: str) -> Any:
    line = node.start_mark.line + 1
    marks[at] = line
    if node.tag not in _KNOWN_TAGS:
        raise RecipeError(
            f"{name}:{line} a value must be plain text, a number, true, false or null", node.tag, "Remove the tag"
        )
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = f"{name}:{key_node.start_mark.line + 1}"
            word = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if word is None:
                raise RecipeError(f"{place} a key must be a word", "a list or a mapping", "Quote it")
            if word in result:
                raise RecipeError(f"{place} a mapping must name each key once", f"'{word}' twice", "Keep one")
            result[word] = _plain(loader, value_node, (*at, word), marks, name)
            marks[(*at, word)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, child, (*at, place), marks, name) for place, child in enumerate(node.value)]
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
        raise RecipeError(
            f"{name}:{line} must be YAML", problem, "Check the indentation and the quotes there"
        ) from error
    except RecursionError as error:
        raise RecipeError(f"{name} must not nest without end", "a cycle of anchors", "Write the values out") from error
    finally:
        loader.dispose()


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 and 1.2 read differently, and keeps the order of keys."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if _NOT_TEXT.fullmatch(value) else None)


_Dumper.add_representer(str, _text)


def write_yaml(value: object) -> str:
    """Plain values → YAML that both version 1.1 and version 1.2 read back equal."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
