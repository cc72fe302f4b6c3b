"""YAML as plain JSON values, and the line of each: so that whoever wrote the file is told where it is wrong."""

from collections.abc import Mapping
from typing import NamedTuple

import yaml
from pydantic import JsonValue

JsonObject = dict[str, JsonValue]
Path = tuple[str | int, ...]
"""The members that lead to a value, from the root."""


class WrongPlace(NamedTuple):
    """Where a policy is wrong, by line and by the path of members, and what would be right."""

    line: int | None
    sentence: str
    path: Path = ()


class PolicyFileError(ValueError):
    """A policy that cannot be taken: where it is wrong, as far as can be told at once; of many places the first."""

    def __init__(self, name: str, *wrong: WrongPlace) -> None:
        told = (f"{name}:{one.line}: {one.sentence}" if one.line else f"{name}: {one.sentence}" for one in wrong)
        super().__init__("\n".join(told))
        self.wrong = wrong


def located(text: str, *, name: str) -> tuple[JsonValue, Mapping[Path, int]]:
    """The values of a YAML text, and the lines of their members. Raises PolicyFileError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _not_yaml(name, error) from None
    lines: dict[Path, int] = {}
    return _plain(name, root, (), lines), lines


def line_of(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of the nearest member on the way to the root."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _plain(name: str, node: yaml.Node | None, path: Path, lines: dict[Path, int]) -> JsonValue:
    """The YAML node as plain JSON, each member's line noted. A scalar stays text unless it is a number or a boolean."""
    if node is None:
        raise PolicyFileError(name, WrongPlace(None, "the file is empty"))
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(name, node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(name, item, (*path, i), lines) for i, item in enumerate(node.value)]
    return _scalar(name, node, line)


def _mapping(name: str, node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> JsonObject:
    made: JsonObject = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in made:
            raise PolicyFileError(name, WrongPlace(line, f"`{key}` stands here twice; keep one"))
        lines[(*path, key)] = line
        made[key] = _plain(name, value_node, (*path, key), lines)
    return made


def _scalar(name: str, node: yaml.Node, line: int) -> JsonValue:
    kind, text = node.tag.rpartition(":")[2], str(node.value)
    try:
        match kind:
            case "int":
                return int(text)
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "null":
                return None
            case _:
                return text
    except (KeyError, ValueError):
        told = f"write {text} as a plain number, true or false, or put it in quotes"
        raise PolicyFileError(name, WrongPlace(line, told)) from None


def _not_yaml(name: str, error: yaml.YAMLError) -> PolicyFileError:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", "unreadable")
    return PolicyFileError(name, WrongPlace(mark and mark.line + 1, f"this is not YAML: {problem}"))
